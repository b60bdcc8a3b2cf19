"""Rate limits, counted in Redis for all processes; counted in this process if Redis is unset or unreachable."""

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import redis
import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from runtime.once import Once
from runtime.settings import settings

log = structlog.get_logger()

FAILURES_AS_PERSON_FROM_ADDRESS: Final = RateLimitItemPerMinute(10, 15, "sign-in-failures")
"""10 failed logins of one person from one address in 15 minutes, after which further ones are refused.

Low, because the person can still sign in from other addresses; the limit over all addresses is higher.
"""
FAILURES_FROM_ADDRESS: Final = RateLimitItemPerMinute(50, 15, "sign-in-failures-from-address")
FAILURES_AS_PERSON: Final = RateLimitItemPerMinute(100, 15, "sign-in-failures-as-person")
FAILURES_IN_KNOWN_BROWSER: Final = RateLimitItemPerMinute(10, 15, "sign-in-failures-in-known-browser")
"""10 failed logins in 15 minutes in a browser in which the person has signed in before. Replaces the other limits
there, so that failures of others do not lock the person out."""

WRONG_KEYS_FROM_ADDRESS: Final = RateLimitItemPerMinute(60, 1, "wrong-keys-from-address")
"""60 wrong API keys from one address in a minute, after which its further requests are refused."""

_in_process_lock = threading.Lock()
"""Guards the in-memory storage of the library `limits`, which is not thread-safe."""


class RateStatus(NamedTuple):
    """Whether the request is within its rate limit, how many more are allowed, and seconds until the window ends."""

    allowed: bool
    remaining: int
    resets_in_seconds: int


@Once
def _shared() -> RateLimiter | None:
    url = settings().redis_url
    if url is None:
        return None
    return SlidingWindowCounterRateLimiter(storage_from_string(url, key_prefix="spendgate-rates"))


@Once
def _in_process() -> RateLimiter:
    return SlidingWindowCounterRateLimiter(MemoryStorage())


def hit(rate: RateLimitItem, who: str) -> RateStatus:
    """Counts one request of the caller `who` against the rate. A request over the rate is refused and not counted."""
    return _with_fallback(_hit, rate, who)


def uncount(rate: RateLimitItem, who: str) -> None:
    """Takes back one count of the caller `who` against the rate."""
    _with_fallback(_uncount, rate, who)


def _with_fallback(
    call: Callable[[RateLimiter, RateLimitItem, str], RateStatus], rate: RateLimitItem, who: str
) -> RateStatus:
    shared = _shared()
    if shared is not None:
        try:
            return call(shared, rate, who)
        except redis.RedisError as error:
            log.warning("rates.redis_away", error=type(error).__name__)
    with _in_process_lock:
        return call(_in_process(), rate, who)


def _hit(limiter: RateLimiter, rate: RateLimitItem, who: str) -> RateStatus:
    allowed = limiter.hit(rate, who)
    return _status(limiter, rate, who)._replace(allowed=allowed)


def _uncount(limiter: RateLimiter, rate: RateLimitItem, who: str) -> RateStatus:
    limiter.hit(rate, who, cost=-1)
    return _status(limiter, rate, who)


def _status(limiter: RateLimiter, rate: RateLimitItem, who: str) -> RateStatus:
    resets_at, remaining = limiter.get_window_stats(rate, who)
    return RateStatus(remaining > 0, remaining, max(1, round(resets_at - time.time())))  # noqa: TID251 - the library's clock
