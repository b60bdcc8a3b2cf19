"""Delivery by RabbitMQ: sends are confirmed, messages acknowledged after the commit, invalid messages kept as rejected.

The queues are those of Dramatiq's RabbitMQ broker, so that its producers and tools keep working: QUEUE, QUEUE.DQ for
delayed messages, QUEUE.XQ for dead letters. Dramatiq's connections and consumer are not used, because they leak one
connection per thread and, after a lost connection, can acknowledge the wrong message.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pika
import pika.exceptions
import structlog
from dramatiq import Broker, Message, Middleware
from dramatiq.common import current_millis, dq_name, q_name
from dramatiq.errors import BrokerConnectionError

from delivery import bundles, messages
from delivery.messages import NotEnqueued
from delivery.rabbitmq import liveness
from delivery.rabbitmq.consumer import RabbitConsumer
from delivery.rabbitmq.delays import RabbitDelays
from delivery.rabbitmq.queues import declare
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
PERSISTENT: Final = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
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


class SpendgateRabbitBroker(Broker):
    """A broker for RabbitMQ with publisher confirms. It connects at the first use."""

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

        Raises NotEnqueued if RabbitMQ is unreachable or refuses the message, and MessageTooLarge for more than
        SPENDGATE_MAX_MESSAGE_BYTES, unless this process is a worker. `delay` None: not delayed.
        """
        self.declare_queue(message.queue_name)
        if delay is not None:
            later = {"eta": current_millis() + delay}
            message = message.copy(queue_name=dq_name(message.queue_name), options=later)
        data = message.encode()
        if not self.is_worker:
            messages.check_size(data)
        self.emit_before("enqueue", message, delay)
        self._put(message.queue_name, data)
        self.emit_after("enqueue", message, delay)
        return message

    def _put(self, queue_name: str, data: bytes, properties: pika.BasicProperties = PERSISTENT) -> None:
        """Sends a message and returns once RabbitMQ has written it to disk. Raises NotEnqueued if that fails."""
        try:
            self.senders.do(lambda channel: self._publish(channel, queue_name, data, properties))
        except tuple(FULL) as error:
            raise NotEnqueued(f"{FULL[type(error)]}; send it again when it has drained", is_full=True) from error
        except LOST as error:
            raise NotEnqueued(f"RabbitMQ: {error!r}") from error

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Returns a consumer of a queue, or for a delay queue the object that sends its due messages to the queue.

        Raises BrokerConnectionError if RabbitMQ is unreachable.
        """
        if queue_name.endswith(messages.DELAYED):
            worker_id = self.broker_id if queue_name == dq_name(bundles.QUEUE) else ""  # one connection shows it
            return RabbitDelays(self.parameters, self.actors, queue_name, self._put, worker_id)
        return RabbitConsumer(self.parameters, self.actors, queue_name, prefetch, timeout, self._put)

    def ping(self) -> None:
        """Raises BrokerConnectionError if RabbitMQ does not answer."""
        self._ask(lambda channel: channel.basic_qos(prefetch_count=1))

    def lengths(self) -> dict[tuple[str, str], int]:
        """Returns the number of messages in RabbitMQ, by (queue name, state of STATES). Raises BrokerConnectionError.

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
        """Returns an empty dict: RabbitMQ limits its memory itself, so Spendgate does not check it."""
        return {}

    def oldest_waiting(self) -> dict[str, float]:
        """Returns an empty dict: the age of a waiting message is unknown, because only its consumer can read it."""
        return {}

    def mark(self, epoch: str) -> str | None:
        """Stores nothing and returns None: RabbitMQ has no place for `epoch`, the identity of the database."""
        del epoch
        return None

    def is_alive(self, worker_id: str) -> bool:
        """Returns whether the exclusive queue exists by which the worker shows that it lives.

        Raises BrokerConnectionError.
        """
        answer: bool = self._ask(lambda channel: liveness.is_alive(channel.connection, worker_id))
        return answer

    def hasten(self, queue_name: str, redis_ids: Sequence[str]) -> None:
        """Does nothing: workers have fetched RabbitMQ's delayed messages already, and wait until they are due."""

    def return_messages_of(self, worker_id: str, working_on: Iterable[str]) -> None:
        """Does nothing: RabbitMQ redelivers the messages of a lost connection, marked as redelivered."""

    def close(self) -> None:
        """Closes the connections of senders; each consumer closes its own connection."""
        self.senders.close()

    def _publish(self, channel: Any, queue_name: str, data: bytes, properties: pika.BasicProperties) -> None:
        send = partial(channel.basic_publish, "", queue_name, data, properties, mandatory=True)
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
