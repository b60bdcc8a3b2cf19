"""Checks of the broker: that it answers, and that Redis keeps the messages safely."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from dramatiq.errors import BrokerConnectionError

from app.doctor.findings import Finding, right, unsafe, wrong
from app.ingest import kept_messages
from delivery.broker import get_broker
from delivery.queue_health import ERROR_EVENTS, Concern, concerns, large_queues
from delivery.redis.kept import MEGABYTE
from runtime.settings import settings

NEARLY_ALL: Final = 0.95
"""Fraction of SPENDGATE_KEEP_MESSAGES_MEGABYTES above which kept messages count as cut by that setting, not by time."""

SENTENCES: Final = {
    "redis.too_old": ("Redis {version}", "upgrade to Redis {oldest} or later"),
    "redis.evicts": ("maxmemory-policy {maxmemory_policy}: a full Redis deletes messages", "set it to {wanted}"),
    "redis.forgets": ("appendonly no: a restart loses every message", "set appendonly yes"),
    "redis.unbounded": ("maxmemory 0: Redis may take all memory", "set maxmemory to what the machine has"),
    "redis.nearly_full": ("{used_bytes:,} of {limit_bytes:,} bytes used", "start workers, or raise maxmemory"),
    "redis.queue_large": ("queue {queue} takes {used_bytes:,} of {limit_bytes:,} bytes", "start more workers"),
}
"""The finding and the advice, by the log event of a concern about Redis; its fields fill the braces."""


def findings() -> Iterator[Finding]:
    """Runs all checks of the broker and yields their findings; a single finding if it does not answer."""
    broker, carrier = get_broker(), "rabbitmq" if settings().queue_is_rabbitmq else "redis"
    try:
        broker.ping()
        info = broker.info()
        found = [*concerns(info), *large_queues(info, broker.bytes_held())]
    except BrokerConnectionError as error:
        variable = "BROKER_URL" if settings().broker_url else "REDIS_URL"
        yield wrong(carrier, str(error), f"check {variable}, and that the server runs")
        return
    yield right(carrier, f"answers{_version(info)}")
    yield from map(_finding_of, found)
    if info and not found:
        yield right("redis memory", "append-only file, no eviction, room for messages")
    if info and settings().keep_messages_minutes:
        yield _kept()


def _kept() -> Finding:
    """Asks Redis whether it keeps messages for SPENDGATE_KEEP_MESSAGES_MINUTES after their commit."""
    state, wanted = kept_messages.state(), timedelta(minutes=settings().keep_messages_minutes)
    minutes = state.reach / timedelta(minutes=1)
    size = f"{state.size_bytes / MEGABYTE:.0f} MB"
    found = f"{state.messages} messages of the last {minutes:.0f} minutes of counting, {size}"
    is_cut = state.size_bytes > NEARLY_ALL * settings().keep_messages_megabytes * MEGABYTE and state.reach < wanted
    if is_cut:
        longer = f"{wanted / timedelta(minutes=1):.0f} minutes"
        advice = f"raise SPENDGATE_KEEP_MESSAGES_MEGABYTES to keep messages for {longer}"
        return unsafe("kept messages", found, advice)
    return right("kept messages", found)


def _version(info: dict[str, object]) -> str:
    name, version = info.get("server_name", "redis"), info.get("valkey_version", info.get("redis_version"))
    return f": {name} {version}" if version else ""


def _finding_of(concern: Concern) -> Finding:
    found, advice = (sentence.format(**concern.fields) for sentence in SENTENCES[concern.event])
    return (wrong if concern.event in ERROR_EVENTS else unsafe)("redis memory", found, advice)
