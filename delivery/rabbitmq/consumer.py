"""The consumer of one RabbitMQ queue in one worker."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pika
import structlog
from dramatiq import Actor, Consumer, Message, MessageProxy
from dramatiq.common import xq_name
from dramatiq.errors import BrokerConnectionError

from delivery import messages
from delivery.messages import POSTPONED, POSTPONED_MS, REDELIVERED, Fault, NotEnqueued
from delivery.rabbitmq.queues import declare
from delivery.rabbitmq.received import keep_invalid, read
from delivery.rabbitmq.senders import LOST
from runtime import clock

log = structlog.get_logger()

TIDY_SECONDS: Final = 5.0
DEAD_LETTERS_A_TIDYING: Final = 20
POLLED_MS: Final = 100
"""Poll interval of a consumer, in milliseconds: the longest delay of another thread's acknowledgement, or of a stop."""


HELD_BYTES: Final = 16_000_000
"""Bytes of unfinished messages at which a consumer decodes no more: decoded they take several times as much memory."""

Send = Callable[[str, bytes, pika.BasicProperties], None]
"""Sends bytes to a queue, and returns once RabbitMQ has written them to disk."""


class RabbitMessage(MessageProxy):
    """A message with the consumer that fetched it, and the delivery tag by which the consumer acknowledges it."""

    def __init__(self, message: Message[Any], consumer: "RabbitConsumer", tag: int) -> None:
        super().__init__(message)
        self.consumer = consumer
        self.tag = tag


class RabbitConsumer(Consumer):
    """Consumes one queue for one worker on its own connection; other threads may acknowledge.

    When a connection is lost, RabbitMQ redelivers its unacknowledged messages, marked as redelivered, and they become
    suspect. A message that was finished meanwhile is worked on twice and counted once; its acknowledgement has no
    effect.
    """

    def __init__(
        self,
        parameters: pika.connection.Parameters,
        actors: Mapping[str, Actor[..., Any]],
        queue_name: str,
        prefetch: int,
        timeout: int,
        send: Send,
    ) -> None:
        self.actors = actors
        self.send = send
        self.queue_name = queue_name
        self.polled_seconds = min(timeout, POLLED_MS) / 1000
        self.tidied = time.monotonic()
        self.deliveries: Any = None
        self.held: dict[int, int] = {}
        self.connection: Any = None
        try:
            self.connection = pika.BlockingConnection(parameters)
            self.channel = self.connection.channel()
            declare(self.channel, queue_name)
            self.channel.basic_qos(prefetch_count=prefetch)
        except LOST as error:
            self.close()
            raise BrokerConnectionError(repr(error)) from None  # type: ignore[no-untyped-call]

    def __iter__(self) -> "RabbitConsumer":
        return self

    def __next__(self) -> MessageProxy | None:
        """Returns the next message; None if none came in the poll interval, HELD_BYTES are held, or it is invalid.

        While this machine's clock is off it consumes nothing, so that workers whose clock is right get the messages.
        Raises BrokerConnectionError.
        """
        try:
            if clock.guard.is_off:
                self._rest()
                return None
            if time.monotonic() - self.tidied > TIDY_SECONDS:
                self._keep_dead_letters()
            if sum(list(self.held.values())) >= HELD_BYTES:
                self.connection.process_data_events(self.polled_seconds)  # returns at an acknowledgement
                return None
            if self.deliveries is None:
                self.deliveries = self.channel.consume(self.queue_name, inactivity_timeout=self.polled_seconds)
            method, _, body = next(self.deliveries)
            return None if method is None else self._decode(method, body)
        except StopIteration:
            raise BrokerConnectionError("the queue was deleted") from None  # type: ignore[no-untyped-call]
        except LOST as error:
            raise BrokerConnectionError(repr(error)) from None  # type: ignore[no-untyped-call]

    def _rest(self) -> None:
        """Stops consuming, which returns messages that were not begun; serves the connection for one poll interval."""
        if self.deliveries is not None:
            self.channel.cancel()
            self.deliveries = None
        self.connection.process_data_events(self.polled_seconds)

    def ack(self, message: MessageProxy) -> None:
        """Acknowledges a finished message."""
        self._settle(message, self.channel.basic_ack)

    def nack(self, message: MessageProxy) -> None:
        """Dead-letters a failed message: removes it if Postgres keeps it already, else moves it to the dead letters.

        Returns a postponed message to the queue after POSTPONED_MS.
        """
        if message.options.get("kept"):
            self.ack(message)
        elif POSTPONED in message.options:
            self._settle(message, self._return_later)
        else:
            self._settle(message, partial(self.channel.basic_nack, requeue=False))

    def requeue(self, returned: Iterable[MessageProxy]) -> None:
        """Does nothing: RabbitMQ requeues the messages of a closed connection."""

    def close(self) -> None:
        """Sends pending acknowledgements and closes the connection, which requeues the rest. May be called twice."""
        try:
            if self.connection is not None and self.connection.is_open:
                sent = threading.Event()
                self.connection.add_callback_threadsafe(sent.set)
                while not sent.is_set():
                    self.connection.process_data_events(0)
                self.connection.close()
        except LOST as error:
            log.info("rabbitmq.consumer_lost", queue=self.queue_name, error=repr(error))

    def _settle(self, message: MessageProxy, with_tag: Any) -> None:
        """Schedules an ack or nack on the connection's thread.

        Does nothing if the connection is lost, or if another consumer fetched the message.
        """
        if not isinstance(message, RabbitMessage) or message.consumer is not self:
            return
        self.held.pop(message.tag, None)
        try:
            self.connection.add_callback_threadsafe(partial(with_tag, message.tag))
        except LOST as error:
            log.info("rabbitmq.consumer_lost", queue=self.queue_name, error=repr(error))

    def _return_later(self, tag: int) -> None:
        """Returns a message to the queue after POSTPONED_MS, marked as redelivered; until then it is unacknowledged."""
        returned = partial(self.channel.basic_nack, tag, requeue=True)
        self.connection.call_later(POSTPONED_MS / 1000, returned)

    def _decode(self, method: Any, body: bytes) -> MessageProxy | None:
        message = read(body, self.queue_name, self.actors)
        if isinstance(message, Fault):
            keep_invalid(self.channel, method.delivery_tag, body, message.reason, self.queue_name)
            return None
        self.held[method.delivery_tag] = len(body)
        suspicion = {REDELIVERED: 0} if method.redelivered else {}
        suspected = replace(message, options={**message.options, **suspicion})
        return RabbitMessage(suspected, self, method.delivery_tag)

    def _keep_dead_letters(self) -> None:
        """Moves up to DEAD_LETTERS_A_TIDYING dead letters from RabbitMQ to the rejected inputs in Postgres.

        They are messages that Postgres could not store before, or dead letters of other programs. A letter that
        Postgres does not store now goes to the end of the dead letters, so that it blocks no other. There RabbitMQ
        keeps it for another week, after which it deletes a dead letter.
        """
        self.tidied = time.monotonic()
        dead_letters = xq_name(self.queue_name)
        for _ in range(DEAD_LETTERS_A_TIDYING):
            method, properties, body = self.channel.basic_get(dead_letters)
            if method is None:
                return
            if not messages.keep_bytes(body, "dead_letter", self.queue_name):
                self._move_to_the_end(dead_letters, method.delivery_tag, body, properties)
                return
            self.channel.basic_ack(method.delivery_tag)

    def _move_to_the_end(self, queue_name: str, tag: int, body: bytes, properties: pika.BasicProperties) -> None:
        properties.delivery_mode = pika.DeliveryMode.Persistent.value
        try:
            self.send(queue_name, body, properties)
        except NotEnqueued as error:
            log.info("message.not_moved", queue=queue_name, error=str(error))
            self.channel.basic_nack(tag, requeue=True)
        else:
            self.channel.basic_ack(tag)
