"""How often somebody may ask: counted in Redis for all processes, or in this one while Redis is away."""

import time
from functools import lru_cache
from typing import Final, NamedTuple

import redis
import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from runtime.settings import settings

log = structlog.get_logger()

SIGN_INS_A_MINUTE_BY_ADDRESS: Final = RateLimitItemPerMinute(10, 5, "sign-in-address")
SIGN_INS_A_MINUTE_BY_PERSON: Final = RateLimitItemPerMinute(10, 15, "sign-in-person")


class Standing(NamedTuple):
    """Whether this request is within its rate, how many more are, and after how many seconds the window ends."""

    allowed: bool
    remaining: int
    resets_in_seconds: int


@lru_cache(maxsize=1)
def _shared() -> RateLimiter:
    storage = storage_from_string(settings().required_redis_url(), key_prefix="spendgate-rates")
    return SlidingWindowCounterRateLimiter(storage)


@lru_cache(maxsize=1)
def _own() -> RateLimiter:
    return SlidingWindowCounterRateLimiter(MemoryStorage())


def hit(rate: RateLimitItem, who: str) -> Standing:
    """Counts one request of `who` against the rate."""
    try:
        return _hit(_shared(), rate, who)
    except redis.RedisError as error:
        log.warning("rates.redis_away", error=type(error).__name__)
        return _hit(_own(), rate, who)


def _hit(limiter: RateLimiter, rate: RateLimitItem, who: str) -> Standing:
    allowed = limiter.hit(rate, who)
    resets_at, remaining = limiter.get_window_stats(rate, who)
    return Standing(allowed, remaining, max(1, round(resets_at - time.time())))  # noqa: TID251 - the library's clock
