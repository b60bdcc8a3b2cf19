"""The queues of RabbitMQ, named and declared as Dramatiq's broker for RabbitMQ does."""

from typing import Any

from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL
from dramatiq.common import dq_name, xq_name


def declare(channel: Any, queue_name: str) -> list[int]:
    """Declares a queue, its delay queue and its dead-letter queue; returns their numbers of messages, in this order."""
    dead_name = xq_name(queue_name)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_name}
    declared = [
        channel.queue_declare(queue_name, durable=True, arguments=arguments),
        channel.queue_declare(dq_name(queue_name), durable=True, arguments=arguments),
        channel.queue_declare(dead_name, durable=True, arguments={"x-message-ttl": DEAD_MESSAGE_TTL}),
    ]
    return [answer.method.message_count for answer in declared]
