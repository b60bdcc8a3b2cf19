"""Logs settings and memory use of Redis that endanger messages, when workers or the scheduler start and each minute."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import structlog
from dramatiq.errors import BrokerConnectionError

from delivery.broker import get_broker

log = structlog.get_logger()

OLDEST_VERSION: Final = 7
NEARLY_FULL: Final = 0.7
"""Fraction of Redis's memory limit from which Redis is logged as nearly full."""

LARGE_QUEUE: Final = 0.35
"""Fraction of Redis's memory limit from which a queue is logged as large.

It is half of NEARLY_FULL, to leave time to react.
"""

ERROR_EVENTS: Final = frozenset({"redis.evicts", "redis.nearly_full", "redis.queue_large"})
"""Concerns logged as errors, because Redis loses messages or will soon refuse them; the others are warnings."""


class Concern(NamedTuple):
    """A problem with Redis's settings or memory: the event and fields of its log line."""

    event: str
    fields: dict[str, Any]


def log_concerns() -> None:
    """Logs the concerns about Redis; does nothing if the broker does not answer."""
    try:
        info = get_broker().info()
        held = get_broker().bytes_held()
    except BrokerConnectionError:
        return
    for concern in (*concerns(info), *large_queues(info, held)):
        write = log.error if concern.event in ERROR_EVENTS else log.warning
        write(concern.event, **concern.fields)


def large_queues(info: Mapping[str, Any], held: Mapping[str, int]) -> list[Concern]:
    """Returns a concern for each queue whose messages take at least LARGE_QUEUE of Redis's memory limit.

    Without a limit, returns an empty list. `held`: bytes by queue. A few large messages can fill Redis, which a count
    of messages does not show.
    """
    limit = int(info.get("maxmemory", 0))
    return [
        Concern("redis.queue_large", {"queue": queue, "used_bytes": used, "limit_bytes": limit})
        for queue, used in held.items()
        if limit and used >= LARGE_QUEUE * limit
    ]


def concerns(info: Mapping[str, Any]) -> list[Concern]:
    """Returns the concerns about the settings and memory in Redis's INFO; none for RabbitMQ, whose info is empty."""
    if not info:
        return []
    all_concerns = []
    version = str(info.get("redis_version", ""))
    if int(version.partition(".")[0] or 0) < OLDEST_VERSION:
        all_concerns.append(Concern("redis.too_old", {"version": version, "oldest": OLDEST_VERSION}))
    if info.get("maxmemory_policy") != "noeviction":
        all_concerns.append(
            Concern("redis.evicts", {"maxmemory_policy": info.get("maxmemory_policy"), "wanted": "noeviction"})
        )
    if not info.get("aof_enabled"):
        all_concerns.append(Concern("redis.forgets", {"appendonly": "no", "wanted": "yes"}))
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit == 0:
        all_concerns.append(Concern("redis.unbounded", {"maxmemory": 0}))
    elif used >= NEARLY_FULL * limit:
        all_concerns.append(Concern("redis.nearly_full", {"used_bytes": used, "limit_bytes": limit}))
    return all_concerns
