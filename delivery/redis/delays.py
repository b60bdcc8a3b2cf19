"""Delayed messages in Redis: no worker holds them, and a script moves each to its queue when it is due.

Dramatiq's own consumer holds delayed messages in memory, so that a due message can wait behind others that are not.
"""

import math
import random
import time
from collections.abc import Iterable
from typing import Final

from dramatiq import MessageProxy
from dramatiq.common import q_name

from delivery import messages
from delivery.messages import Fault
from delivery.redis.connection import DedicatedConnection
from delivery.redis.consumer import HEARTBEAT_SECONDS
from delivery.redis.steps import RedisSteps

MOVED_AT_ONCE: Final = 200
MOVED_BYTES: Final = 4_000_000
"""Bytes of messages that one run of the script reads: about 10 ms, during which Redis serves no other client."""

POLLED_MS: Final = 200
"""Poll interval if Redis sends no notifications of new delayed messages."""

PAUSE_SECONDS: Final = 0.05
"""Least timeout, in seconds, of a wait for the first due time, so that a due message that was not moved causes no busy
loop. A newly delayed message ends the wait early."""

LEASE_MS: Final = 3_000
"""Milliseconds in which only the worker that took a due message may move it; then another worker may take it."""


class DelayedMessages:
    """Moves the due messages of one delay queue to its queue.

    It has the interface of a consumer, but never returns a message.
    """

    def __init__(self, steps: RedisSteps, queue_name: str, timeout: int) -> None:
        self.steps = steps
        self.queue_name = queue_name
        self.timeout_ms = timeout
        self.connection = DedicatedConnection(steps)
        key = f"{steps.namespace}:{queue_name}"
        self.reads = (("LLEN", key), ("ZRANGE", f"{key}.etas", 0, 0, "WITHSCORES"))

    def __iter__(self) -> "DelayedMessages":
        return self

    def __next__(self) -> None:
        """Moves due messages, or waits if none is due. Raises BrokerConnectionError."""
        if self.steps.is_ending:
            time.sleep(HEARTBEAT_SECONDS)
            return
        with self.steps.answering():
            now_ms, moved = self._move_due()
        if not moved:
            self._wait(now_ms)

    def _wait(self, now_ms: int) -> None:
        """Waits until the first message is due, a message is enqueued with a delay, or the timeout passes."""
        answers = self.connection.watch(*self.reads)
        if answers is None:
            self.connection.wait(random.uniform(0.5, 1) * POLLED_MS / 1000)  # noqa: S311 - jitter
            return
        unread, first = answers
        if not unread:
            due_ms = float(first[0][1]) if first else math.inf
            self.connection.wait(max(PAUSE_SECONDS, min(self.timeout_ms, due_ms - now_ms) / 1000))

    def ack(self, message: MessageProxy) -> None:
        """Does nothing, because no message is ever returned."""

    def nack(self, message: MessageProxy) -> None:
        """Does nothing, because no message is ever returned."""

    def requeue(self, returned: Iterable[MessageProxy]) -> None:
        """Does nothing, because no message is ever returned."""

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()

    def _move_due(self) -> tuple[int, int]:
        """Moves due messages; returns Redis's time in milliseconds and the number of messages moved or rescheduled.

        The number includes invalid messages, which it keeps as rejected.
        """
        bounds = (MOVED_AT_ONCE, LEASE_MS, messages.largest_bytes(), MOVED_BYTES, messages.MAX_DELAY_MS)
        now_ms, moved, undecided = self.connection.run("DUE", self.queue_name, q_name(self.queue_name), *bounds)
        for redis_id, data in undecided:
            self._move(redis_id.decode(), data, now_ms)
        return now_ms, moved + len(undecided)

    def _move(self, redis_id: str, data: bytes | None, now_ms: int) -> None:
        """Moves a message to its queue if it is due, else stores its due time, and removes its `eta`.

        `data` None: it is too large to fetch. `now_ms`: Redis's time. The `eta` is of its sender's clock, which may be
        wrong: it is cut to MAX_DELAY_MS after Redis's time. An invalid message is kept as rejected and leaves the delay
        queue.
        """
        read = self.steps.read(data, self.queue_name)
        if isinstance(read, Fault):
            if self.steps.kept(self.queue_name, redis_id, data, read):
                self.steps.run("MOVE", self.queue_name, redis_id, "")
            return
        due_ms = min(read.options.get("eta", 0), now_ms + messages.MAX_DELAY_MS)
        if due_ms > now_ms:
            stored = messages.without_eta(read, self.queue_name, redis_message_id=redis_id)
            self.steps.run("SET_ETA", self.queue_name, redis_id, due_ms, stored)
        else:
            queue_name = q_name(self.queue_name)
            due = messages.without_eta(read, queue_name, redis_message_id=redis_id)
            self.steps.run("MOVE", self.queue_name, redis_id, queue_name, due)
