"""What waits for its time in Redis: no worker holds it, and when its time has come it goes to its queue in one step.

Dramatiq's own consumer holds delayed messages in memory, in the order in which they were put there: behind as many as
it may hold, one whose time has come long since is not even looked at.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dramatiq import Message, MessageProxy
from dramatiq.common import compute_backoff, q_name

from workers.messages import Fault, largest_bytes
from workers.redis_consumer import HELD_BYTES

if TYPE_CHECKING:
    from workers.redis_broker import SpendgateBroker

MOVED_AT_ONCE: Final = 200
IDLE_MS: Final = 200
"""How seldom an idle look is: what was put off for half a second or more can wait for so long."""

LEASE_MS: Final = 3_000
"""So long nobody else moves what one worker has begun to move; if it dies, another one does."""


class DelayedMessages:
    """Moves the delayed messages of one queue. To Dramatiq it is a consumer that never has anything to work on."""

    def __init__(self, broker: "SpendgateBroker", queue_name: str, timeout: int) -> None:
        self.broker = broker
        self.queue_name = queue_name
        self.timeout_ms = max(timeout, IDLE_MS)
        self.misses = 0

    def __iter__(self) -> "DelayedMessages":
        return self

    def __next__(self) -> None:
        """Moves what is due, or pauses where nothing is. Raises BrokerConnectionError."""
        with self.broker.answering():
            if self._move_due():
                self.misses = 0
                return
        self.misses, pause_ms = compute_backoff(self.misses, max_backoff=self.timeout_ms)
        time.sleep(pause_ms / 1000)

    def ack(self, message: MessageProxy) -> None:
        """Nothing was handed out."""

    def nack(self, message: MessageProxy) -> None:
        """Nothing was handed out."""

    def requeue(self, given_up: Iterable[MessageProxy]) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    def _move_due(self) -> int:
        bounds = (MOVED_AT_ONCE, LEASE_MS, largest_bytes(), HELD_BYTES)
        now_ms, found = self.broker.step("DUE", self.queue_name, *bounds)
        for redis_id, data in found:
            self._move(redis_id.decode(), data, now_ms)
        return len(found)

    def _move(self, redis_id: str, data: bytes | None, now_ms: int) -> None:
        read = self.broker.read(data, self.queue_name)
        if isinstance(read, Fault):
            if self.broker.kept(self.queue_name, redis_id, data, read):
                self.broker.step("MOVE", self.queue_name, redis_id, "")
            return
        eta = read.options.get("eta", 0)
        if eta > now_ms:
            self.broker.step("SET_ETA", self.queue_name, redis_id, eta)
        else:
            self.broker.step("MOVE", self.queue_name, redis_id, q_name(self.queue_name), self._due(read, redis_id))

    def _due(self, message: Message[Any], redis_id: str) -> bytes:
        """The message as it is written for the queue on which it will be worked on."""
        options = {name: value for name, value in message.options.items() if name != "eta"}
        options["redis_message_id"] = redis_id
        return replace(message, queue_name=q_name(self.queue_name), options=options).encode()
