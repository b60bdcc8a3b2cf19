"""Delayed messages in RabbitMQ: each worker holds a bounded number, and sends each to its queue when it is due.

Dramatiq's own consumer fetches a thousand messages a thread and holds them decoded, which in an outage of Postgres,
when every message is retried, takes all memory.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import pika
from dramatiq import Actor, Consumer, Message, MessageProxy
from dramatiq.common import current_millis, q_name
from dramatiq.errors import BrokerConnectionError

from delivery import messages
from delivery.messages import Fault
from delivery.rabbitmq.liveness import show_alive
from delivery.rabbitmq.queues import declare
from delivery.rabbitmq.received import keep_invalid, read
from delivery.rabbitmq.senders import LOST
from runtime import clock

HELD_MESSAGES: Final = 2_000
"""Delayed messages that a worker holds, at most; with so many, or with HELD_BYTES, it fetches no more."""

HELD_BYTES: Final = 16_000_000
"""Bytes of delayed messages from which a worker fetches no more.

Further messages wait in RabbitMQ, at most MAX_DELAY_MS: by then each message fetched before them is due.
"""

FETCHED_AT_ONCE: Final = 100
"""Largest number of due messages that a round sends, and of messages that it then fetches."""

POLLED_SECONDS: Final = 0.2
"""Poll interval. Messages are polled because RabbitMQ bounds pushed ones by their number alone, not by their bytes."""


class Held(NamedTuple):
    """A fetched message: the monotonic time at which it is due, its delivery tag, and its bytes for the queue."""

    due_at: float
    tag: int
    data: bytes


class RabbitDelays(Consumer):
    """Sends the due messages of one delay queue to its queue. It never returns a message.

    RabbitMQ shows clients no clock, so a message is due by the difference of its sender's clock and this machine's, at
    most MAX_DELAY_MS after it was fetched. A due message is acknowledged after it was sent: if the connection is lost
    meanwhile, it is worked on twice and counted once. `send(queue, data)` returns once RabbitMQ has it on disk.
    `worker_id`: the connection shows to other workers that this worker lives; empty: it does not.
    """

    def __init__(
        self,
        parameters: pika.connection.Parameters,
        actors: Mapping[str, Actor[..., Any]],
        queue_name: str,
        send: Callable[[str, bytes], None],
        worker_id: str = "",
    ) -> None:
        self.actors = actors
        self.queue_name = queue_name
        self.send = send
        self.held: list[Held] = []
        self.connection: Any = None
        try:
            self.connection = pika.BlockingConnection(parameters)
            self.channel = self.connection.channel()
            declare(self.channel, q_name(queue_name))
            if worker_id:
                show_alive(self.connection, worker_id)
        except LOST as error:
            self.close()
            raise BrokerConnectionError(repr(error)) from None  # type: ignore[no-untyped-call]

    def __iter__(self) -> "RabbitDelays":
        return self

    def __next__(self) -> None:
        """Sends due messages and fetches others, or waits if there are none. Raises BrokerConnectionError."""
        try:
            if clock.guard.is_off:
                self._return_held()
            elif self._send_due() + self._fetch():
                self.connection.process_data_events(0)
                return
            until_due = self.held[0].due_at - time.monotonic() if self.held else POLLED_SECONDS
            self.connection.process_data_events(max(0.0, min(until_due, POLLED_SECONDS)))
        except LOST as error:
            raise BrokerConnectionError(repr(error)) from None  # type: ignore[no-untyped-call]

    def ack(self, message: MessageProxy) -> None:
        """Does nothing, because no message is ever returned."""

    def nack(self, message: MessageProxy) -> None:
        """Does nothing, because no message is ever returned."""

    def requeue(self, returned: Iterable[MessageProxy]) -> None:
        """Does nothing, because no message is ever returned."""

    def close(self) -> None:
        """Closes the connection, which returns the held messages to the delay queue. May be called twice."""
        self.held.clear()
        try:
            if self.connection is not None and self.connection.is_open:
                self.connection.close()
        except LOST:
            pass

    def _send_due(self) -> int:
        """Sends due messages to the queue, FETCHED_AT_ONCE at most; returns how many."""
        sent = 0
        while self.held and self.held[0].due_at <= time.monotonic() and sent < FETCHED_AT_ONCE:
            self.send(q_name(self.queue_name), self.held[0].data)
            self.channel.basic_ack(heapq.heappop(self.held).tag)
            sent += 1
        return sent

    def _fetch(self) -> int:
        """Fetches delayed messages while there is room, FETCHED_AT_ONCE at most; returns how many."""
        fetched = 0
        held_bytes = sum(len(one.data) for one in self.held)
        while fetched < FETCHED_AT_ONCE and len(self.held) < HELD_MESSAGES and held_bytes < HELD_BYTES:
            method, _, body = self.channel.basic_get(self.queue_name)
            if method is None:
                break
            fetched += 1
            held_bytes += self._hold(method.delivery_tag, body)
        return fetched

    def _hold(self, tag: int, body: bytes) -> int:
        """Holds a message until it is due, or keeps an invalid one as rejected; returns the number of bytes held."""
        message = read(body, self.queue_name, self.actors)
        if isinstance(message, Fault):
            keep_invalid(self.channel, tag, body, message.reason, self.queue_name)
            return 0
        delay_ms = min(message.options.get("eta", 0) - current_millis(), messages.MAX_DELAY_MS)
        due_at = time.monotonic() + max(0, delay_ms) / 1000
        heapq.heappush(self.held, Held(due_at, tag, self._due(message, body)))
        return len(body)

    def _due(self, message: Message[Any], body: bytes) -> bytes:
        """Returns the bytes of a message for its queue, whose consumer ignores `eta`.

        A message that begins with its queue name, as our and Dramatiq's encoders write it, is not encoded again.
        """
        queue_name = q_name(self.queue_name)
        head = f'{{"queue_name":"{self.queue_name}",'.encode()
        if body.startswith(head):
            return f'{{"queue_name":"{queue_name}",'.encode() + body[len(head) :]
        return messages.without_eta(message, queue_name)

    def _return_held(self) -> None:
        """Returns the held messages to the delay queue, for a worker whose clock is right."""
        for one in self.held:
            self.channel.basic_nack(one.tag, requeue=True)
        self.held.clear()
