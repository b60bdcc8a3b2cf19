"""What became of a message, told in Redis to the sender who waits for it; nobody pays for it who did not ask."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import uuid4

import redis
import structlog

from delivery.broker import get_broker
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import SILENT_MS
from domain.inputs import Rejection
from runtime.settings import settings

log = structlog.get_logger()

KEY: Final = "spendgate:receipts"
KEPT_SECONDS: Final = 24 * 3600
READ_AT_ONCE: Final = 1_000


class Receipt(NamedTuple):
    """The outcome of one message's inputs. `later`: the receipts of the messages that took over the rest of them."""

    taken: int
    known: int
    rejected: dict[str, int]
    later: list[str]


def new_submission() -> str:
    """A name under which the receipts of several messages are kept together."""
    return uuid4().hex


def another(name: str) -> str:
    """The name of a receipt for one more message of the submission, which a name or the submission itself says."""
    return f"{name.partition('/')[0]}/{uuid4().hex}"


def write(name: str, taken: int, known: int, rejections: Sequence[Rejection], later: list[str]) -> None:
    """Tells the outcome, after the commit and before the message is acknowledged. Of two deliveries the first tells.

    A message that comes again finds its events known: they were taken, by it, in a commit that was not told.
    """
    if settings().redis_url is None:
        log.warning("receipt.not_written", reason="this worker has no REDIS_URL")
        return
    rejected = Counter(str(rejection.reason) for rejection in rejections)
    key, field = _place(name)
    with _redis().pipeline() as pipeline:
        pipeline.hsetnx(key, field, json.dumps(Receipt(taken, known, rejected, later)))
        pipeline.expire(key, KEPT_SECONDS)
        pipeline.execute()


def read(names: Sequence[str]) -> dict[str, Receipt]:
    """The receipts of one submission that are there, by name. Raises SettingsError where there is no Redis."""
    found: dict[str, Receipt] = {}
    for start in range(0, len(names), READ_AT_ONCE):
        some = names[start : start + READ_AT_ONCE]
        told: Any = _redis().hmget(_place(some[0])[0], [_place(name)[1] for name in some])
        found |= {name: Receipt(*json.loads(one)) for name, one in zip(some, told, strict=True) if one is not None}
    return found


def is_worker_seen() -> bool | None:
    """Whether a worker looked at the queue within the last seconds; None where the queue does not tell."""
    broker = get_broker()
    if isinstance(broker, SpendgateBroker):
        server: Any = _redis().time()
        since_ms = server[0] * 1000 - SILENT_MS
        return bool(_redis().zcount(f"{broker.namespace}:__heartbeats__", since_ms, "+inf"))
    return None


def _place(name: str) -> tuple[str, str]:
    submission, _, field = name.partition("/")
    return f"{KEY}:{submission}", field


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    """Redis, whatever carries the messages. Raises SettingsError where there is none."""
    return redis.Redis.from_url(settings().required_redis_url())
