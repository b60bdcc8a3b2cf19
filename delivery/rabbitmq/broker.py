"""Delivery by RabbitMQ: sends are confirmed, messages acknowledged after the commit, invalid messages kept as rejected.

The queues are those of Dramatiq's RabbitMQ broker, so that its producers and tools keep working: QUEUE, QUEUE.DQ for
delayed messages, QUEUE.XQ for dead letters. Dramatiq's connections and consumer are not used, because they leak one
connection per thread and, after a lost connection, can acknowledge the wrong message.
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
from delivery.messages import POSTPONED, POSTPONED_MS, REDELIVERED, Fault, NotEnqueued
from delivery.rabbitmq.senders import LOST, Senders

log = structlog.get_logger()

BLOCKED_SECONDS: Final = 10
"""Timeout of a send that RabbitMQ blocks because it lacks memory or disk."""

FULL: Final = {
    pika.exceptions.ConnectionBlockedTimeout: "RabbitMQ accepts nothing now, because it lacks memory or disk",
    pika.exceptions.NackError: "RabbitMQ refuses the message, because this queue has reached its limit",
}
"""pika's exceptions for a broker without room, with the reason given to the sender."""

HEARTBEAT_SECONDS: Final = 30
PERSISTENT: Final = pika.BasicProperties(delivery_mode=2)
TIDY_SECONDS: Final = 5.0
DEAD_LETTERS_A_TIDYING: Final = 20
POLLED_MS: Final = 100
"""Poll interval of a consumer, and so the longest delay of another thread's acknowledgement or of a stop."""

STATES: Final = ("waiting", "delayed", "dead")

logging.getLogger("pika").setLevel(logging.CRITICAL)  # pika also raises what it logs, and we log that


def parameters_of(url: str) -> pika.connection.Parameters:
    """Returns pika's parameters for a URL, with our timeouts if the URL sets none. Raises ValueError for a bad URL."""
    parameters = pika.URLParameters(url)
    if parameters.blocked_connection_timeout is None:
        parameters.blocked_connection_timeout = BLOCKED_SECONDS
    if parameters.heartbeat is None:
        parameters.heartbeat = HEARTBEAT_SECONDS
    return parameters


def declare(channel: Any, queue_name: str) -> list[int]:
    """Declares a queue with its delay queue and dead-letter queue; returns the number of waiting messages in each."""
    dead_name = xq_name(queue_name)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_name}
    declared = [
        channel.queue_declare(queue_name, durable=True, arguments=arguments),
        channel.queue_declare(dq_name(queue_name), durable=True, arguments=arguments),
        channel.queue_declare(dead_name, durable=True, arguments={"x-message-ttl": DEAD_MESSAGE_TTL}),
    ]
    return [answer.method.message_count for answer in declared]


class SpendgateRabbitBroker(Broker):
    """A broker for RabbitMQ with publisher confirms and the consumer below. It connects at the first use."""

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
        """Registers the queue; RabbitMQ creates it at its first use."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)
            self.delay_queues.add(dq_name(queue_name))
            self.emit_after("declare_delay_queue", dq_name(queue_name))

    def get_declared_queues(self) -> set[str]:
        return self.queues.copy()

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueues a message, delayed by `delay` milliseconds, and returns it once RabbitMQ has written it to disk.

        Raises NotEnqueued, or MessageTooLarge if this process is not a worker.
        """
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
        """Returns a consumer of a queue. Raises BrokerConnectionError."""
        return RabbitConsumer(self, queue_name, prefetch, timeout)

    def ping(self) -> None:
        """Raises BrokerConnectionError if RabbitMQ does not answer."""
        self._ask(lambda channel: channel.basic_qos(prefetch_count=1))

    def lengths(self) -> dict[tuple[str, str], int]:
        """Returns the number of waiting messages by queue and state. Raises BrokerConnectionError.

        Messages that workers have fetched are not counted; workers fetch delayed messages before they are due.
        """
        counts = self._ask(lambda channel: {queue: declare(channel, queue) for queue in sorted(self.queues)})
        return {
            (queue, state): count
            for queue, of_queue in counts.items()
            for state, count in zip(STATES, of_queue, strict=True)
        }

    def info(self) -> dict[str, Any]:
        """Returns an empty dict: RabbitMQ has no INFO as Redis has."""
        return {}

    def bytes_held(self) -> dict[str, int]:
        """Returns an empty dict: RabbitMQ limits its memory itself, so that it is not checked here."""
        return {}

    def oldest_waiting(self) -> dict[str, float]:
        """Returns an empty dict: RabbitMQ shows a message only to whoever takes it."""
        return {}

    def mark(self, epoch: str) -> str | None:
        """Returns None: RabbitMQ has no place for a value beside its messages."""
        del epoch
        return None

    def is_alive(self, worker_id: str) -> bool:
        """Returns False: RabbitMQ has no heartbeats that show whether a worker still lives."""
        del worker_id
        return False

    def hasten(self, queue_name: str, redis_ids: Sequence[str]) -> None:
        """Does nothing: workers have fetched RabbitMQ's delayed messages already, and wait until they are due."""

    def return_messages_of(self, worker_id: str, working_on: Iterable[str]) -> None:
        """Does nothing: RabbitMQ redelivers the messages of a lost connection, marked as redelivered."""

    def close(self) -> None:
        """Closes the connections of senders; each consumer closes its own connection."""
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

    def _ask(self, work: Any) -> Any:
        try:
            return self.senders.do(work)
        except LOST as error:
            raise BrokerConnectionError(type(error).__name__) from None  # type: ignore[no-untyped-call]


class RabbitMessage(MessageProxy):
    """A message with the consumer that fetched it and its delivery tag there."""

    def __init__(self, message: Message[Any], consumer: "RabbitConsumer", tag: int) -> None:
        super().__init__(message)
        self.consumer = consumer
        self.tag = tag


class RabbitConsumer(Consumer):
    """Consumes one queue for one worker on its own connection; other threads may acknowledge.

    When a connection is lost, RabbitMQ redelivers its unacknowledged messages, marked as redelivered, and they become
    suspect, except delayed ones. A message that was finished meanwhile is worked on twice and counted once; its
    acknowledgement has no effect.
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
        """Returns the next message; None if none arrives within the poll interval or it is invalid.

        Raises BrokerConnectionError.
        """
        try:
            if not self.is_delayed and time.monotonic() - self.tidied > TIDY_SECONDS:
                self._keep_dead_letters()
            method, _, body = next(self.deliveries)
            return None if method is None else self._decode(method, body)
        except StopIteration:
            raise BrokerConnectionError("the queue was deleted") from None  # type: ignore[no-untyped-call]
        except LOST as error:
            raise BrokerConnectionError(repr(error)) from None  # type: ignore[no-untyped-call]

    def ack(self, message: MessageProxy) -> None:
        """Acknowledges a finished message."""
        self._settle(message, self.channel.basic_ack)

    def nack(self, message: MessageProxy) -> None:
        """Dead-letters a failed message: removes it if Postgres keeps it already, else moves it to the dead letters."""
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
        """Schedules an ack or nack on the connection's thread; does nothing if it is lost or not the message's."""
        if not isinstance(message, RabbitMessage) or message.consumer is not self:
            return
        try:
            self.connection.add_callback_threadsafe(partial(with_tag, message.tag))
        except LOST as error:
            log.info("rabbitmq.consumer_lost", queue=self.queue_name, error=repr(error))

    def _return_later(self, tag: int) -> None:
        """Returns a message to the queue after POSTPONED_MS, marked as redelivered; until then it is unacknowledged."""
        returned = partial(self.channel.basic_nack, tag, requeue=True)
        self.connection.call_later(POSTPONED_MS / 1000, returned)

    def _decode(self, method: Any, body: bytes) -> MessageProxy | None:
        read = self._read(body)
        if isinstance(read, Fault):
            self._keep_invalid(method.delivery_tag, body, read)
            return None
        suspicion = {REDELIVERED: 0} if method.redelivered and not self.is_delayed else {}
        message = replace(read, options={**read.options, **suspicion})
        return RabbitMessage(message, self, method.delivery_tag)

    def _read(self, body: bytes) -> Message[Any] | Fault:
        if len(body) > messages.largest_bytes():
            return Fault("too_large")
        return messages.read(body, self.queue_name, self.broker.actors)

    def _keep_invalid(self, tag: int, body: bytes, fault: Fault) -> None:
        if messages.keep_bytes(body, fault.reason, self.queue_name):
            self.channel.basic_ack(tag)
        else:
            self.channel.basic_nack(tag, requeue=False)

    def _keep_dead_letters(self) -> None:
        """Moves dead letters to the rejected inputs: those Postgres could not store before, or of other programs."""
        self.tidied = time.monotonic()
        for _ in range(DEAD_LETTERS_A_TIDYING):
            method, _, body = self.channel.basic_get(xq_name(self.queue_name))
            if method is None:
                return
            if not messages.keep_bytes(body, "dead_letter", self.queue_name):
                self.channel.basic_nack(method.delivery_tag, requeue=True)
                return
            self.channel.basic_ack(method.delivery_tag)
