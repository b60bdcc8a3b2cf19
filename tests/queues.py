"""The queues as an operator looks into them, past our code: those of Redis, or of RabbitMQ where it has them."""

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
    """Whether this run's messages are carried by RabbitMQ."""
    return bool(rabbitmq.servers)


ON_RABBITMQ = pytest.mark.skipif(not is_rabbitmq(), reason="is about RabbitMQ")
ON_REDIS = pytest.mark.skipif(is_rabbitmq(), reason="is about Redis")


class Queues(Protocol):
    """What tests ask of either. A queue is meant by its name in the broker: `spend`, `spend.DQ`, `spend.XQ`."""

    def put(self, queue_name: str, name: str, data: bytes) -> None:
        """Puts bytes there as a producer does, under a name."""

    def count(self, queue_name: str) -> int:
        """How many messages it has, with those that are worked on or held back."""

    def waiting(self, queue_name: str) -> list[bytes]:
        """Those that nobody works on."""

    def dead_letters(self, queue_name: str) -> set[str]:
        """The names of those that were given up."""

    def lose_connections(self) -> None:
        """Whoever is connected is no longer."""

    def refusing(self, queue_name: str) -> AbstractContextManager[None]:
        """Meanwhile the broker takes nothing for the queue."""


class RedisQueues:
    """In the keys that Dramatiq's own broker has."""

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
        """Its key is of another type than the broker's script expects."""
        key = f"dramatiq:{queue_name}.msgs"
        self._client.set(key, "no hash")
        yield
        self._client.delete(key)


class RabbitQueues:
    """In the queues that Dramatiq's own broker has."""

    def __init__(self, server: RabbitMQ) -> None:
        self._server = server

    def put(self, queue_name: str, name: str, data: bytes) -> None:
        from delivery.rabbitmq.broker import declare  # noqa: PLC0415 - after the environment is set

        properties = pika.BasicProperties(delivery_mode=2, message_id=name)
        with self._channel() as channel:
            declare(channel, queue_name)
            channel.confirm_delivery()
            channel.basic_publish("", queue_name, data, properties, mandatory=True)

    def count(self, queue_name: str) -> int:
        return self._server.lengths().get(queue_name, 0)

    def waiting(self, queue_name: str) -> list[bytes]:
        return [body for _, body in self._taken_and_given_back(queue_name)]

    def dead_letters(self, queue_name: str) -> set[str]:
        return {properties.message_id for properties, _ in self._taken_and_given_back(f"{queue_name}.XQ")}

    def lose_connections(self) -> None:
        self._server.close_connections()

    @contextmanager
    def refusing(self, queue_name: str) -> Iterator[None]:
        """A policy lets it hold nothing, and say so."""
        self._server.ask(FULL.replace("QUEUE", queue_name.replace(".", "[.]")))
        yield
        self._server.ask(NOT_FULL)

    def _taken_and_given_back(self, queue_name: str) -> list[tuple[Any, bytes]]:
        if queue_name not in self._server.lengths():
            return []
        with self._channel() as channel:
            taken = iter(lambda: channel.basic_get(queue_name)[1:], (None, None))
            return list(taken)

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with pika.BlockingConnection(pika.URLParameters(self._server.url)) as connection:
            yield connection.channel()


@lru_cache(maxsize=1)
def queues() -> Queues:
    """Those of this run."""
    if is_rabbitmq():
        return RabbitQueues(rabbitmq.servers[0])
    return RedisQueues(redis.Redis.from_url(os.environ["REDIS_URL"]))
