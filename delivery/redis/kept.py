"""Messages that Redis keeps for a while after their commit.

After a failover to a Postgres that lacks the last commits, they can be counted again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import structlog

from delivery.redis.steps import RedisSteps
from runtime.settings import Settings

log = structlog.get_logger()

MEGABYTE: Final = 1_000_000
FULL_ENOUGH: Final = 0.6
"""Fraction of Redis's memory limit above which kept messages are dropped to leave room for the queue."""

READ_AT_ONCE: Final = 100
"""Messages that one run of a script counts or returns to the queue, at most."""


class Keeping(NamedTuple):
    """The name of the script that acknowledges messages, and its arguments between the worker and the ids.

    `bounds`: how long acknowledged messages are kept, in milliseconds that do not count outages, and how many bytes of
    them; empty: none is kept.
    """

    step: str
    bounds: tuple[int, ...]


class KeptState(NamedTuple):
    """The kept messages of a queue. `since`: the time from which on every acknowledged message is kept.

    `reach`: the time from the oldest message's acknowledgement to the last one, without outages.
    """

    messages: int
    size_bytes: int
    since: datetime
    reach: timedelta


def keeping(read: Settings, queue_is_spend: bool) -> Keeping:
    """Returns how messages of a queue are acknowledged.

    Messages of the queue `spend` (`queue_is_spend`) are kept for SPENDGATE_KEEP_MESSAGES_MINUTES, if that is more than
    0, and up to SPENDGATE_KEEP_MESSAGES_MEGABYTES. All other messages are removed when they are acknowledged.
    """
    if not (queue_is_spend and read.keep_messages_minutes):
        return Keeping("ACK", ())
    return Keeping("ACK_AND_KEEP", (read.keep_messages_minutes * 60_000, read.keep_messages_megabytes * MEGABYTE))


def make_room(steps: RedisSteps, queue_name: str) -> None:
    """Drops the oldest kept messages if Redis is FULL_ENOUGH, so that producers are not refused because of them."""
    memory: Any = steps.client.info("memory")
    over_bytes = int(memory["used_memory"] - FULL_ENOUGH * memory.get("maxmemory", 0))
    if memory.get("maxmemory") and over_bytes > 0 and (dropped := steps.run("MAKE_ROOM", queue_name, over_bytes)):
        log.warning("redis.kept_dropped", queue=queue_name, messages=dropped)


class KeptMessages:
    """The kept messages of a queue, to be counted and replayed. Methods raise redis.RedisError."""

    def __init__(self, steps: RedisSteps, queue_name: str) -> None:
        self._steps, self._queue_name = steps, queue_name

    def state(self) -> KeptState:
        """Returns the number, size and age of the kept messages."""
        messages, size_bytes, since_ms, reach_ms = self._steps.run("KEPT_STATE", self._queue_name)
        return KeptState(messages, size_bytes, _moment(since_ms), timedelta(milliseconds=reach_ms))

    def extent(self, since: datetime | None) -> tuple[int, int]:
        """Returns the number and the bytes of the kept messages that were acknowledged since `since`; None: of all."""
        messages = size_bytes = 0
        for count, some_bytes, _ in self._pages("COUNT_KEPT", since):
            messages, size_bytes = messages + count, size_bytes + some_bytes
        return messages, size_bytes

    def replay(self, since: datetime | None) -> Iterator[int]:
        """Moves the messages acknowledged since `since` (None: all kept) to the queue, in the order of acknowledgement.

        Moves at most READ_AT_ONCE messages for each item of the iterator, which is the number of messages moved.
        """
        for count, _ in self._pages("REPLAY", since):
            yield count

    def _pages(self, step: str, since: datetime | None) -> Iterator[Any]:
        """Runs the script `step` for the messages that are kept now, READ_AT_ONCE at a time, and yields its results.

        `since`: only for messages acknowledged from this moment on; None: for all.
        The last value of each result is the id of the last message.
        """
        key = f"{self._steps.namespace}:{self._queue_name}.kept"
        newest: Any = self._steps.client.xrevrange(key, count=1)
        first = "-" if since is None else str(int(since.timestamp() * 1000))
        while newest:
            found = self._steps.run(step, self._queue_name, first, newest[0][0], READ_AT_ONCE)
            if not found[0]:
                return
            yield found
            first = f"({found[-1].decode()}"


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
