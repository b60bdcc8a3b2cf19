"""Whether the Redis that holds the queues can be trusted with them: looked at at the start, then each minute."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import structlog
from dramatiq.errors import BrokerConnectionError

from delivery.broker import get_broker

log = structlog.get_logger()

OLDEST_VERSION: Final = 7
NEARLY_FULL: Final = 0.7
LARGE_QUEUE: Final = 0.35
"""Of the memory Redis may have: of one queue, half of what is nearly full, so that there is time to look."""

LOUD: Final = frozenset({"redis.evicts", "redis.nearly_full", "redis.queue_large"})
"""What loses messages, or soon refuses them: errors; the rest are warnings."""


class Concern(NamedTuple):
    """What is wrong with the server's settings or its memory: a log line's name and fields."""

    event: str
    fields: dict[str, Any]


def log_concerns() -> None:
    """Logs what is wrong with the queue's server; nothing where it does not answer."""
    try:
        info = get_broker().info()
        held = get_broker().bytes_held()
    except BrokerConnectionError:
        return
    for concern in (*concerns(info), *large_queues(info, held)):
        say = log.error if concern.event in LOUD else log.warning
        say(concern.event, **concern.fields)


def large_queues(info: Mapping[str, Any], held: Mapping[str, int]) -> list[Concern]:
    """The queues whose messages take much of Redis's memory: few large ones do, that a count of messages does not show.

    `held`: bytes by queue.
    """
    limit = int(info.get("maxmemory", 0))
    return [
        Concern("redis.queue_large", {"queue": queue, "used_bytes": used, "limit_bytes": limit})
        for queue, used in held.items()
        if limit and used >= LARGE_QUEUE * limit
    ]


def concerns(info: Mapping[str, Any]) -> list[Concern]:
    """What is wrong, read from Redis's INFO; nothing of an empty one, which is RabbitMQ's."""
    if not info:
        return []
    found = []
    version = str(info.get("redis_version", ""))
    if int(version.partition(".")[0] or 0) < OLDEST_VERSION:
        found.append(Concern("redis.too_old", {"version": version, "oldest": OLDEST_VERSION}))
    if info.get("maxmemory_policy") != "noeviction":
        found.append(
            Concern("redis.evicts", {"maxmemory_policy": info.get("maxmemory_policy"), "wanted": "noeviction"})
        )
    if not info.get("aof_enabled"):
        found.append(Concern("redis.forgets", {"appendonly": "no", "wanted": "yes"}))
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit == 0:
        found.append(Concern("redis.unbounded", {"maxmemory": 0}))
    elif used >= NEARLY_FULL * limit:
        found.append(Concern("redis.nearly_full", {"used_bytes": used, "limit_bytes": limit}))
    return found
