"""Receipts: the outcome of a message, which a worker writes to Redis if the sender asked for it."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

import redis
import structlog

from delivery.broker import get_broker
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import SILENT_MS
from domain.inputs.reasons import Rejection
from runtime.once import Once
from runtime.settings import settings

log = structlog.get_logger()

KEY: Final = "spendgate:receipts"
KEPT_SECONDS: Final = 24 * 3600
READ_AT_ONCE: Final = 1_000


class Receipt(NamedTuple):
    """The outcome of one message: how many of its inputs were counted (`taken`), known already, and rejected by reason.

    `later`: the receipt names of the messages in which its delayed inputs were enqueued again.
    """

    taken: int
    known: int
    rejected: dict[str, int]
    later: list[str]


def new_submission() -> str:
    """Returns a new name for a submission, a group of receipts."""
    return uuid4().hex


def new_name(name: str) -> str:
    """Returns a new receipt name in a submission; `name` is the submission or one of its receipt names."""
    return f"{name.partition('/')[0]}/{uuid4().hex}"


def write(name: str, taken: int, known: int, rejections: Sequence[Rejection], later: list[str]) -> None:
    """Writes a receipt after the commit and before the acknowledgement; keeps a receipt that already exists.

    Redis deletes it after KEPT_SECONDS. Without REDIS_URL this only logs a warning. If the process dies between commit
    and receipt, the redelivered message counts its events as known. Raises redis.RedisError.
    """
    if settings().redis_url is None:
        log.warning("receipt.not_written", reason="this worker has no REDIS_URL")
        return
    rejected = Counter(str(rejection.reason) for rejection in rejections)
    key, field = _key_and_field(name)
    with _redis().pipeline() as pipeline:
        pipeline.hsetnx(key, field, json.dumps(Receipt(taken, known, rejected, later)))
        pipeline.expire(key, KEPT_SECONDS)
        pipeline.execute()


def read(names: Sequence[str]) -> dict[str, Receipt]:
    """Reads the receipts that exist, and returns them by receipt name. `names`: receipt names, all of one submission.

    Raises SettingsError without REDIS_URL, and redis.RedisError.
    """
    receipts: dict[str, Receipt] = {}
    for start in range(0, len(names), READ_AT_ONCE):
        some = names[start : start + READ_AT_ONCE]
        values: Any = _redis().hmget(_key_and_field(some[0])[0], [_key_and_field(name)[1] for name in some])
        receipts |= {
            name: Receipt(*json.loads(value)) for name, value in zip(some, values, strict=True) if value is not None
        }
    return receipts


def is_worker_seen() -> bool | None:
    """Returns whether a worker sent a heartbeat to Redis within the last SILENT_MS; None if the broker is RabbitMQ.

    Raises redis.RedisError.
    """
    broker = get_broker()
    if isinstance(broker, SpendgateBroker):
        queue: redis.Redis = broker.client  # where workers send heartbeats, which need not be REDIS_URL
        server: Any = queue.time()
        since_ms = server[0] * 1000 - SILENT_MS
        return bool(queue.zcount(f"{broker.namespace}:__heartbeats__", since_ms, "+inf"))
    return None


def _key_and_field(name: str) -> tuple[str, str]:
    submission, _, field = name.partition("/")
    return f"{KEY}:{submission}", field


@Once
def _redis() -> redis.Redis:
    """Returns a client for REDIS_URL, also if RabbitMQ is the broker. Raises SettingsError without REDIS_URL."""
    return redis.Redis.from_url(settings().required_redis_url())
