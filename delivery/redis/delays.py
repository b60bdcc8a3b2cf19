"""What waits for its time in Redis: no worker holds it, and when its time has come it goes to its queue in one step.

Dramatiq's own consumer holds delayed messages in memory, in the order in which they were put there: behind as many as
it may hold, one whose time has come long since is not even looked at.
"""

import math
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from dramatiq import Message, MessageProxy
from dramatiq.common import q_name

from delivery.messages import Fault, largest_bytes
from delivery.redis.connection import DedicatedConnection
from delivery.redis.consumer import SIGN_OF_LIFE_SECONDS
from delivery.redis.steps import RedisSteps

MOVED_AT_ONCE: Final = 200
MOVED_BYTES: Final = 4_000_000
"""So many bytes of messages one step within Redis looks at: about 10 ms, in which it serves nobody else."""

POLLED_MS: Final = 200
"""Where Redis does not wake an idle worker, so often it looks: what was put off for longer can wait for so long."""

PAUSE_SECONDS: Final = 0.05
"""Between two looks that moved nothing, however many messages are put off meanwhile."""

LEASE_MS: Final = 3_000
"""So long nobody else moves what one worker has begun to move; if it dies, another one does."""


class DelayedMessages:
    """Moves the delayed messages of one queue. To Dramatiq it is a consumer that never has anything to work on."""

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
        """Moves what is due; where nothing is, waits for it. Raises BrokerConnectionError."""
        if self.steps.is_ending:
            time.sleep(SIGN_OF_LIFE_SECONDS)
            return
        with self.steps.answering():
            now_ms, moved = self._move_due()
        if not moved:
            self._wait(now_ms)

    def _wait(self, now_ms: int) -> None:
        """Waits until the first is due, one is put off, or the time for an idle look has come."""
        told = self.connection.watch(*self.reads)
        if told is None:
            self.connection.wait(random.uniform(0.5, 1) * POLLED_MS / 1000)  # noqa: S311 - so that workers look in turn
            return
        unread, first = told
        if not unread:
            due_ms = float(first[0][1]) if first else math.inf
            self.connection.wait(max(PAUSE_SECONDS, min(self.timeout_ms, due_ms - now_ms) / 1000))

    def ack(self, message: MessageProxy) -> None:
        """Nothing was handed out."""

    def nack(self, message: MessageProxy) -> None:
        """Nothing was handed out."""

    def requeue(self, given_up: Iterable[MessageProxy]) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Gives up the connection."""
        self.connection.close()

    def _move_due(self) -> tuple[int, int]:
        """Redis's time in milliseconds, and how many messages were moved, or given their time."""
        bounds = (MOVED_AT_ONCE, LEASE_MS, largest_bytes(), MOVED_BYTES)
        now_ms, moved, found = self.connection.run("DUE", self.queue_name, q_name(self.queue_name), *bounds)
        for redis_id, data in found:
            self._move(redis_id.decode(), data, now_ms)
        return now_ms, moved + len(found)

    def _move(self, redis_id: str, data: bytes | None, now_ms: int) -> None:
        read = self.steps.read(data, self.queue_name)
        if isinstance(read, Fault):
            if self.steps.kept(self.queue_name, redis_id, data, read):
                self.steps.run("MOVE", self.queue_name, redis_id, "")
            return
        eta = read.options.get("eta", 0)
        if eta > now_ms:
            self.steps.run("SET_ETA", self.queue_name, redis_id, eta)
        else:
            self.steps.run("MOVE", self.queue_name, redis_id, q_name(self.queue_name), self._due(read, redis_id))

    def _due(self, message: Message[Any], redis_id: str) -> bytes:
        """The message as it is written for the queue on which it will be worked on."""
        options = {name: value for name, value in message.options.items() if name != "eta"}
        options["redis_message_id"] = redis_id
        return replace(message, queue_name=q_name(self.queue_name), options=options).encode()
