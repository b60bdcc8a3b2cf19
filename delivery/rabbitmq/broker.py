"""Delivery by RabbitMQ: confirmed when sent, acknowledged when committed, and what is no message set aside.

The queues are those of Dramatiq's own RabbitMQ broker, so that its producers and tools go on working: QUEUE, QUEUE.DQ
for what is delayed, QUEUE.XQ for the dead letters. Its connections, consumer and acknowledgements are not used: they
leave a connection behind with each thread, and once a connection is lost acknowledge another message than the one
that was done.
"""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pika
import pika.exceptions
import structlog
from dramatiq import Broker, Consumer, Message, MessageProxy, Middleware
from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL
from dramatiq.common import current_millis, dq_name, q_name, xq_name
from dramatiq.errors import BrokerConnectionError

from delivery import messages
from delivery.messages import REDELIVERED, Fault, NotEnqueued
from delivery.rabbitmq.senders import LOST, Senders

log = structlog.get_logger()

BLOCKED_SECONDS: Final = 10
"""How long RabbitMQ may block a sender, for want of memory or disk, before the sender is refused."""

FULL: Final = {
    pika.exceptions.ConnectionBlockedTimeout: "RabbitMQ takes nothing now, for want of memory or disk",
    pika.exceptions.NackError: "RabbitMQ takes no more for this queue, which has a limit",
}
"""What pika raises where there is no room for a message, and what a sender is told."""

HEARTBEAT_SECONDS: Final = 30
PERSISTENT: Final = pika.BasicProperties(delivery_mode=2)
TIDY_SECONDS: Final = 5.0
DEAD_LETTERS_A_TIDYING: Final = 20
POLLED_MS: Final = 100
"""The longest a consumer leaves acknowledgements of other threads unsent, and the end of its worker unnoticed."""

STATES: Final = ("waiting", "delayed", "dead")

logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it logs as an error it raises as well, and we tell it


def parameters_of(url: str) -> pika.connection.Parameters:
    """How to connect: what the URL says, and ours where it says nothing. Raises ValueError for a URL that is none."""
    parameters = pika.URLParameters(url)
    if parameters.blocked_connection_timeout is None:
        parameters.blocked_connection_timeout = BLOCKED_SECONDS
    if parameters.heartbeat is None:
        parameters.heartbeat = HEARTBEAT_SECONDS
    return parameters


def declare(channel: Any, queue_name: str) -> list[int]:
    """Makes sure of a queue's three; returns how many messages wait in each."""
    dead_name = xq_name(queue_name)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_name}
    declared = [
        channel.queue_declare(queue_name, durable=True, arguments=arguments),
        channel.queue_declare(dq_name(queue_name), durable=True, arguments=arguments),
        channel.queue_declare(dead_name, durable=True, arguments={"x-message-ttl": DEAD_MESSAGE_TTL}),
    ]
    return [one.method.message_count for one in declared]


class SpendgateRabbitBroker(Broker):
    """RabbitMQ with publisher confirms and the consumer below. Nothing connects before it has to."""

    queues: set[str]

    def __init__(self, url: str, middleware: list[Middleware]) -> None:
        super().__init__(middleware=middleware)
        self.queues = set()
        self.parameters = parameters_of(url)
        self.senders = Senders(self.parameters)
        self.is_worker = False
        self.broker_id = ""
        self._declared: set[str] = set()

    def declare_queue(self, queue_name: str) -> None:
        """Knows the queue from now on; RabbitMQ has it once it is used."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)
            self.delay_queues.add(dq_name(queue_name))
            self.emit_after("declare_delay_queue", dq_name(queue_name))

    def get_declared_queues(self) -> set[str]:
        return self.queues.copy()

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Returns once RabbitMQ has the message on disk. Raises NotEnqueued, where it is too large MessageTooLarge."""
        self.declare_queue(message.queue_name)
        if delay is not None:
            later = {"eta": current_millis() + delay}
            message = message.copy(queue_name=dq_name(message.queue_name), options=later)
        data = message.encode()
        if not self.is_worker:
            messages.check_size(data)
        self.emit_before("enqueue", message, delay)
        try:
            self.senders.do(lambda channel: self._publish(channel, message.queue_name, data))
        except tuple(FULL) as error:
            raise NotEnqueued(f"{FULL[type(error)]}; send it again when it has drained", is_full=True) from error
        except LOST as error:
            raise NotEnqueued(f"RabbitMQ: {error!r}") from error
        self.emit_after("enqueue", message, delay)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> "RabbitConsumer":
        """Takes messages of a queue. Raises BrokerConnectionError."""
        return RabbitConsumer(self, queue_name, prefetch, timeout)

    def ping(self) -> None:
        """Raises BrokerConnectionError where RabbitMQ does not answer."""
        self._asked(lambda channel: channel.basic_qos(prefetch_count=1))

    def lengths(self) -> dict[tuple[str, str], int]:
        """How many messages wait in each queue and state, without those that workers hold, as they hold the delayed.

        Raises BrokerConnectionError.
        """
        counts = self._asked(lambda channel: {queue: declare(channel, queue) for queue in sorted(self.queues)})
        return {
            (queue, state): count
            for queue, of_queue in counts.items()
            for state, count in zip(STATES, of_queue, strict=True)
        }

    def info(self) -> dict[str, Any]:
        """What Redis would tell of itself: nothing."""
        return {}

    def bytes_held(self) -> dict[str, int]:
        """The same of each queue: RabbitMQ watches its own memory."""
        return {}

    def is_alive(self, worker_id: str) -> bool:
        """RabbitMQ tells of nobody: what it delivers again, somebody has lost, and lived on or not."""
        del worker_id
        return False

    def hasten(self, queue_name: str, redis_ids: Sequence[str]) -> None:
        """Nothing to do: workers hold what RabbitMQ delays, each until its time."""

    def give_back(self, worker_id: str, working_on: Iterable[str]) -> None:
        """Nothing to do: RabbitMQ delivers what a lost connection held, marked as delivered before."""

    def close(self) -> None:
        """Closes the connections of senders; each consumer closes its own."""
        self.senders.close()

    def _publish(self, channel: Any, queue_name: str, data: bytes) -> None:
        send = partial(channel.basic_publish, "", queue_name, data, PERSISTENT, mandatory=True)
        if q_name(queue_name) in self._declared:
            with suppress(pika.exceptions.UnroutableError):
                send()
                return
            log.warning("rabbitmq.queue_was_gone", queue=queue_name)
        declare(channel, q_name(queue_name))
        self._declared.add(q_name(queue_name))
        send()

    def _asked(self, work: Any) -> Any:
        try:
            return self.senders.do(work)
        except LOST as error:
            raise BrokerConnectionError(type(error).__name__) from None  # type: ignore[no-untyped-call]


class RabbitMessage(MessageProxy):
    """A message, by which consumer it was taken, and under which number there."""

    def __init__(self, message: Message[Any], consumer: "RabbitConsumer", tag: int) -> None:
        super().__init__(message)
        self.consumer = consumer
        self.tag = tag


class RabbitConsumer(Consumer):
    """What one worker holds of one queue, on a connection of its own. Dramatiq acknowledges from other threads.

    A connection that is lost takes with it what was held: RabbitMQ delivers it again, marked, and such a message is
    suspect. What was done meanwhile is done twice, and counted once; its acknowledgement is no longer of any use.
    """

    def __init__(self, broker: SpendgateRabbitBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self.broker = broker
        self.queue_name = queue_name
        self.is_delayed = queue_name != q_name(queue_name)
        self.tidied = time.monotonic()
        self.connection: Any = None
        try:
            self.connection = pika.BlockingConnection(broker.parameters)
            self.channel = self.connection.channel()
            declare(self.channel, q_name(queue_name))
            self.channel.basic_qos(prefetch_count=prefetch)
            self.deliveries = self.channel.consume(queue_name, inactivity_timeout=min(timeout, POLLED_MS) / 1000)
        except LOST as error:
            self.close()
            raise BrokerConnectionError(repr(error)) from None  # type: ignore[no-untyped-call]

    def __iter__(self) -> "RabbitConsumer":
        return self

    def __next__(self) -> MessageProxy | None:
        """The next message to work on; None where none came in time. Raises BrokerConnectionError."""
        try:
            if not self.is_delayed and time.monotonic() - self.tidied > TIDY_SECONDS:
                self._keep_dead_letters()
            method, _, body = next(self.deliveries)
            return None if method is None else self._workable(method, body)
        except StopIteration:
            raise BrokerConnectionError("the queue was deleted") from None  # type: ignore[no-untyped-call]
        except LOST as error:
            raise BrokerConnectionError(repr(error)) from None  # type: ignore[no-untyped-call]

    def ack(self, message: MessageProxy) -> None:
        """The message is done."""
        self._settle(message, self.channel.basic_ack)

    def nack(self, message: MessageProxy) -> None:
        """The message is given up: kept as rejected already, or left among the dead letters until it can be."""
        if message.options.get("kept"):
            self.ack(message)
        else:
            self._settle(message, partial(self.channel.basic_nack, requeue=False))

    def requeue(self, given_up: Iterable[MessageProxy]) -> None:
        """Nothing to do: RabbitMQ takes back what a closed connection held."""

    def close(self) -> None:
        """Sends the acknowledgements that are on their way, and gives back the rest. Closing twice is harmless."""
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
        """Hands it to the connection's own thread; on a connection that is lost there is nothing to settle."""
        if not isinstance(message, RabbitMessage) or message.consumer is not self:
            return
        try:
            self.connection.add_callback_threadsafe(partial(with_tag, message.tag))
        except LOST as error:
            log.info("rabbitmq.consumer_lost", queue=self.queue_name, error=repr(error))

    def _workable(self, method: Any, body: bytes) -> MessageProxy | None:
        read = self._read(body)
        if isinstance(read, Fault):
            self._set_aside(method.delivery_tag, body, read)
            return None
        suspicion = {REDELIVERED: 0} if method.redelivered and not self.is_delayed else {}
        message = replace(read, options={**read.options, **suspicion})
        return RabbitMessage(message, self, method.delivery_tag)

    def _read(self, body: bytes) -> Message[Any] | Fault:
        if len(body) > messages.largest_bytes():
            return Fault("too_large")
        return messages.read(body, self.queue_name, self.broker.actors)

    def _set_aside(self, tag: int, body: bytes, fault: Fault) -> None:
        if messages.keep_bytes(body, fault.reason, self.queue_name):
            self.channel.basic_ack(tag)
        else:
            self.channel.basic_nack(tag, requeue=False)

    def _keep_dead_letters(self) -> None:
        """Moves the dead letters that Postgres would not keep, or another program left, to the rejected inputs."""
        self.tidied = time.monotonic()
        for _ in range(DEAD_LETTERS_A_TIDYING):
            method, _, body = self.channel.basic_get(xq_name(self.queue_name))
            if method is None:
                return
            if not messages.keep_bytes(body, "dead_letter", self.queue_name):
                self.channel.basic_nack(method.delivery_tag, requeue=True)
                return
            self.channel.basic_ack(method.delivery_tag)
