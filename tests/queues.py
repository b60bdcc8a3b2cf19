"""Access to the broker's queues without our code: those of Redis, or of RabbitMQ if the run uses it."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any, Protocol

import pika
import pytest
import redis

from tests import rabbitmq
from tests.rabbitmq import RabbitMQ

FULL = (
    'rabbit_policy:set(<<"/">>, <<"full">>, <<"^QUEUE$">>, '
    '[{<<"max-length">>, 0}, {<<"overflow">>, <<"reject-publish">>}], 0, <<"queues">>, <<"test">>)'
)
NOT_FULL = 'rabbit_policy:delete(<<"/">>, <<"full">>, <<"test">>)'


def is_rabbitmq() -> bool:
    """Returns whether this test run uses RabbitMQ."""
    return bool(rabbitmq.servers)


ON_RABBITMQ = pytest.mark.skipif(not is_rabbitmq(), reason="is about RabbitMQ")
ON_REDIS = pytest.mark.skipif(is_rabbitmq(), reason="is about Redis")
USES_NO_BROKER = pytest.mark.skipif(
    is_rabbitmq() or "SPENDGATE_TEST_REDIS" in os.environ, reason="is the same on every broker"
)


class Queues(Protocol):
    """Operations on the queues of either broker; names are those in the broker: `spend`, `spend.DQ`, `spend.XQ`."""

    def put(self, queue_name: str, name: str, data: bytes) -> None:
        """Puts bytes on a queue under a message name, as a producer does."""

    def count(self, queue_name: str) -> int:
        """Returns the number of messages of a queue, including those in progress or delayed."""

    def waiting(self, queue_name: str) -> list[bytes]:
        """Returns the messages that no worker has fetched."""

    def dead_letters(self, queue_name: str) -> set[str]:
        """Returns the names of the dead letters of a queue."""

    def lose_connections(self) -> None:
        """Closes every client connection."""

    def refusing(self, queue_name: str) -> AbstractContextManager[None]:
        """Makes the broker refuse messages for the queue within the block."""


class RedisQueues:
    """Reads and writes the Redis keys of Dramatiq's broker."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def put(self, queue_name: str, name: str, data: bytes) -> None:
        self._client.hset(f"dramatiq:{queue_name}.msgs", name, data)
        self._client.rpush(f"dramatiq:{queue_name}", name)

    def count(self, queue_name: str) -> int:
        return int(self._client.hlen(f"dramatiq:{queue_name}.msgs"))

    def waiting(self, queue_name: str) -> list[bytes]:
        if queue_name.endswith(".DQ"):
            return list(self._client.hvals(f"dramatiq:{queue_name}.msgs"))
        names = self._client.lrange(f"dramatiq:{queue_name}", 0, -1)
        return [self._client.hget(f"dramatiq:{queue_name}.msgs", name) for name in names]

    def dead_letters(self, queue_name: str) -> set[str]:
        return {name.decode() for name in self._client.hkeys(f"dramatiq:{queue_name}.XQ.msgs")}

    def lose_connections(self) -> None:
        self._client.client_kill_filter(_type="normal", skipme=True)

    @contextmanager
    def refusing(self, queue_name: str) -> Iterator[None]:
        """Gives the queue's key a type that the broker's script does not expect."""
        key = f"dramatiq:{queue_name}.msgs"
        self._client.set(key, "not a hash")
        try:
            yield
        finally:
            self._client.delete(key)


class RabbitQueues:
    """Reads and writes the RabbitMQ queues of Dramatiq's broker."""

    def __init__(self, server: RabbitMQ) -> None:
        self._server = server

    def put(self, queue_name: str, name: str, data: bytes) -> None:
        from delivery.rabbitmq.queues import declare  # noqa: PLC0415 - after the environment is set

        properties = pika.BasicProperties(delivery_mode=2, message_id=name)
        with self._channel() as channel:
            declare(channel, queue_name)
            channel.confirm_delivery()
            channel.basic_publish("", queue_name, data, properties, mandatory=True)

    def count(self, queue_name: str) -> int:
        return self._server.lengths().get(queue_name, 0)

    def waiting(self, queue_name: str) -> list[bytes]:
        return [body for _, body in self._fetch_and_requeue(queue_name)]

    def dead_letters(self, queue_name: str) -> set[str]:
        return {properties.message_id for properties, _ in self._fetch_and_requeue(f"{queue_name}.XQ")}

    def lose_connections(self) -> None:
        self._server.close_connections()

    @contextmanager
    def refusing(self, queue_name: str) -> Iterator[None]:
        """Sets a policy with a maximum length of 0 that rejects messages."""
        self._server.ask(FULL.replace("QUEUE", queue_name.replace(".", "[.]")))
        try:
            yield
        finally:
            self._server.ask(NOT_FULL)

    def _fetch_and_requeue(self, queue_name: str) -> list[tuple[Any, bytes]]:
        if queue_name not in self._server.lengths():
            return []
        with self._channel() as channel:
            fetched = iter(lambda: channel.basic_get(queue_name)[1:], (None, None))
            return list(fetched)

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with pika.BlockingConnection(pika.URLParameters(self._server.url)) as connection:
            yield connection.channel()


@lru_cache(maxsize=1)
def queues() -> Queues:
    """Returns the queues of this test run's broker."""
    if is_rabbitmq():
        return RabbitQueues(rabbitmq.servers[0])
    return RedisQueues(redis.Redis.from_url(os.environ["REDIS_URL"]))
