"""How often somebody may ask: counted in Redis for all processes, in this one while there is none or it is away."""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import redis
import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from runtime.settings import settings

log = structlog.get_logger()

FAILURES_AS_PERSON_FROM_ADDRESS: Final = RateLimitItemPerMinute(10, 15, "sign-in-failures")
"""Failed logins in 15 minutes after which the next ones wait. Few for one address, so that whoever guesses elsewhere
does not lock a person out; many over all addresses, so that nobody guesses from everywhere."""
FAILURES_FROM_ADDRESS: Final = RateLimitItemPerMinute(50, 15, "sign-in-failures-from-address")
FAILURES_AS_PERSON: Final = RateLimitItemPerMinute(100, 15, "sign-in-failures-as-person")
FAILURES_IN_KNOWN_BROWSER: Final = RateLimitItemPerMinute(10, 15, "sign-in-failures-in-known-browser")
"""In place of the others where the person signed in before with this browser: nobody else's failures count there."""

WRONG_KEYS_FROM_ADDRESS: Final = RateLimitItemPerMinute(60, 1, "wrong-keys-from-address")
"""Wrong API keys a minute after which an address waits."""

_own_lock = threading.Lock()
"""The library's storage in memory counts hits one after the other only."""


class Standing(NamedTuple):
    """Whether this request is within its rate, how many more are, and after how many seconds the window ends."""

    allowed: bool
    remaining: int
    resets_in_seconds: int


@lru_cache(maxsize=1)
def _shared() -> RateLimiter:
    url = settings().redis_url
    if url is None:
        return _own()
    return SlidingWindowCounterRateLimiter(storage_from_string(url, key_prefix="spendgate-rates"))


@lru_cache(maxsize=1)
def _own() -> RateLimiter:
    return SlidingWindowCounterRateLimiter(MemoryStorage())


def hit(rate: RateLimitItem, who: str) -> Standing:
    """Counts one request of the caller `who` against the rate."""
    return _asked(_hit, rate, who)


def give_back(rate: RateLimitItem, who: str) -> None:
    """Uncounts one request of the caller `who`."""
    _asked(_given_back, rate, who)


def _asked(work: Callable[[RateLimiter, RateLimitItem, str], Standing], rate: RateLimitItem, who: str) -> Standing:
    try:
        return work(_shared(), rate, who)
    except redis.RedisError as error:
        log.warning("rates.redis_away", error=type(error).__name__)
        with _own_lock:
            return work(_own(), rate, who)


def _hit(limiter: RateLimiter, rate: RateLimitItem, who: str) -> Standing:
    allowed = limiter.hit(rate, who)
    return _standing(limiter, rate, who)._replace(allowed=allowed)


def _given_back(limiter: RateLimiter, rate: RateLimitItem, who: str) -> Standing:
    limiter.hit(rate, who, cost=-1)
    return _standing(limiter, rate, who)


def _standing(limiter: RateLimiter, rate: RateLimitItem, who: str) -> Standing:
    resets_at, remaining = limiter.get_window_stats(rate, who)
    return Standing(remaining > 0, remaining, max(1, round(resets_at - time.time())))  # noqa: TID251 - the library's clock
