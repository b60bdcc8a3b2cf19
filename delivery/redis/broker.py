"""Delivery by Redis: every enqueued message is processed or kept as rejected, even if processes or connections die.

Dramatiq's own Redis broker can strand, repeat or lose messages after the death of a process or connection. This broker
uses the same keys, so that Dramatiq's producers work with it, and its own scripts (delivery/redis/scripts.py).
"""

import os
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import redis
import structlog
from dramatiq import Message, Middleware
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import dq_name

from delivery import bundles, messages
from delivery.messages import NotEnqueued
from delivery.redis.consumer import SpendgateConsumer
from delivery.redis.delays import DelayedMessages
from delivery.redis.steps import RedisSteps
from runtime.settings import settings

log = structlog.get_logger()

NAMESPACE: Final = "dramatiq"
"""The prefix of every key, the default of Dramatiq, so that its producers need no setting."""

HASTENED_AT_ONCE: Final = 50
STATES: Final = {"waiting": ("llen", ""), "delayed": ("hlen", ".DQ.msgs"), "dead": ("zcard", ".XQ")}
"""By state of a message: the Redis command that counts such messages and the suffix of its key."""


def _error_name(error: Exception) -> str:
    return type(error).__name__


class SpendgateBroker(RedisBroker):
    """A broker for Redis. Without a URL it can declare actors, and raises SettingsError when it sends."""

    def __init__(self, url: str | None, middleware: list[Middleware]) -> None:
        self.has_url = url is not None
        client = redis.Redis(connection_pool=redis.ConnectionPool.from_url(url or "redis://127.0.0.1:0"))
        self.steps = RedisSteps(client, NAMESPACE)
        super().__init__(client=client, namespace=NAMESPACE, middleware=middleware)  # type: ignore[no-untyped-call]
        self.steps.actors = lambda: self.actors
        self.steps.queue_names = lambda: self.queues | self.delay_queues
        os.register_at_fork(after_in_child=self.steps.reset_after_fork)

    @property
    def broker_id(self) -> str:
        """The id under which Redis lists the messages that this process fetched (`RedisSteps.worker_id`).

        Dramatiq calls it `broker_id`.
        """
        return self.steps.worker_id

    @broker_id.setter
    def broker_id(self, worker_id: str) -> None:
        self.steps.worker_id = worker_id

    @property
    def is_worker(self) -> bool:
        """Whether this process is a worker, which may enqueue messages of any size, and into a full Redis."""
        return self.steps.is_worker

    @is_worker.setter
    def is_worker(self, is_worker: bool) -> None:
        self.steps.is_worker = is_worker

    @property
    def is_ending(self) -> bool:
        """Whether the worker is stopping: it fetches no more messages and returns those it has not started."""
        return self.steps.is_ending

    @is_ending.setter
    def is_ending(self, ends: bool) -> None:
        self.steps.is_ending = ends

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Returns a consumer of a queue, or for a delay queue the object that moves its due messages.

        Raises BrokerConnectionError.
        """
        if queue_name.endswith(messages.DELAYED):
            return DelayedMessages(self.steps, queue_name, timeout)
        consumer = SpendgateConsumer(self.steps, queue_name, prefetch, timeout)
        if queue_name == bundles.QUEUE:
            self.load_producer_scripts()
        return consumer

    def load_producer_scripts(self) -> None:
        """Loads the producers' scripts into Redis, so that their Redis user needs no right to `SCRIPT LOAD`.

        Ignores errors of Redis.
        """
        own_scripts = (self.steps.scripts[name] for name in ("ENQUEUE", "ENQUEUE_LATER"))
        with suppress(redis.RedisError):
            for script in (*self.scripts.values(), *own_scripts):
                self.client.script_load(script.script)

    def bytes_held(self) -> dict[str, int]:
        """Returns Redis's estimate of the memory that messages take, in bytes by name of a queue or delay queue.

        Raises BrokerConnectionError.
        """
        queues = sorted(self.queues | self.delay_queues)
        with self.steps.answering(_error_name), self.client.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.memory_usage(f"{self.namespace}:{queue}.msgs")
            sizes = pipeline.execute()
        return {queue: int(size or 0) for queue, size in zip(queues, sizes, strict=True)}

    def oldest_waiting(self) -> dict[str, float]:
        """Returns the age of the first waiting message of each queue, in seconds by queue name; 0 if none waits.

        Raises BrokerConnectionError.
        """
        queues, client = sorted(self.queues), self.client
        with self.steps.answering(_error_name):
            with client.pipeline(transaction=False) as pipeline:
                for queue in queues:
                    pipeline.lindex(f"{self.namespace}:{queue}", 0)
                names = pipeline.execute()
            waiting: dict[str, Any] = {
                queue: client.hget(f"{self.namespace}:{queue}.msgs", name)
                for queue, name in zip(queues, names, strict=True)
                if name is not None
            }
        return {queue: messages.age_seconds(waiting.get(queue)) for queue in queues}

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueues a message, delayed by `delay` milliseconds (None: not delayed), and returns it.

        Raises NotEnqueued if Redis is unreachable or, unless this process is a worker, full. Raises MessageTooLarge for
        more than SPENDGATE_MAX_MESSAGE_BYTES, unless this process is a worker, and SettingsError without a URL.
        """
        if not self.has_url:
            settings().required_queue_url()
        # a new id for each enqueue, because a retry is in Redis at the same time as its first delivery
        message = message.copy(options={"redis_message_id": str(uuid.uuid4())})
        if delay is not None:
            message = message.copy(queue_name=dq_name(message.queue_name))
        self.emit_before("enqueue", message, delay)
        self._put(message, delay)
        self.emit_after("enqueue", message, delay)
        return message

    def _put(self, message: Message[Any], delay: int | None) -> None:
        data = message.encode()
        if not self.is_worker:
            messages.check_size(data)
        name = "ENQUEUE" if delay is None else "ENQUEUE_LATER"
        later = () if delay is None else (delay,)
        arguments = (message.queue_name, message.options["redis_message_id"], data, *later)
        try:
            self.steps.run(f"{name}_ALWAYS" if self.is_worker else name, *arguments)
        except redis.RedisError as error:
            is_full = isinstance(error, redis.exceptions.OutOfMemoryError)
            reason = "Redis is full; send it again when it has drained" if is_full else f"Redis: {error}"
            raise NotEnqueued(reason, is_full=is_full) from error

    def ping(self) -> None:
        """Raises BrokerConnectionError if Redis does not answer."""
        with self.steps.answering(_error_name):
            self.client.ping()

    def info(self) -> dict[str, Any]:
        """Returns Redis's INFO. Raises BrokerConnectionError."""
        with self.steps.answering(_error_name):
            info: Any = self.client.info()
        return dict(info)

    def lengths(self) -> dict[tuple[str, str], int]:
        """Returns the number of messages by (queue name, state of STATES), without fetched ones.

        Raises BrokerConnectionError.
        """
        places = [(queue, state) for queue in sorted(self.queues) for state in STATES]
        with self.steps.answering(_error_name), self.client.pipeline(transaction=False) as pipeline:
            for queue, state in places:
                command, suffix = STATES[state]
                getattr(pipeline, command)(f"{self.namespace}:{queue}{suffix}")
            lengths = pipeline.execute()
        return dict(zip(places, lengths, strict=True))

    def mark(self, epoch: str) -> str | None:
        """Stores the epoch of this worker's database in Redis; returns the epoch stored before, None if there was none.

        `epoch` differs between databases, and changes when a backup is restored. Raises BrokerConnectionError.
        """
        with self.steps.answering(_error_name):
            before: Any = self.client.set(f"{self.namespace}:__database__", epoch, get=True)
        return None if before is None else before.decode(errors="replace")

    def is_alive(self, worker_id: str) -> bool:
        """Returns whether the worker has sent heartbeats and no other worker has taken over its messages.

        Raises BrokerConnectionError.
        """
        with self.steps.answering():
            return self.client.zscore(f"{self.namespace}:__heartbeats__", worker_id) is not None

    def hasten(self, queue_name: str, redis_ids: Sequence[str]) -> None:
        """Moves messages that are still delayed to `queue_name` at once; without an answer of Redis, once due."""
        with suppress(redis.RedisError):
            for first in range(0, len(redis_ids), HASTENED_AT_ONCE):
                self.steps.run("HASTEN", dq_name(queue_name), queue_name, *redis_ids[first : first + HASTENED_AT_ONCE])

    def return_messages_of(self, worker_id: str, working_on: Iterable[str]) -> None:
        """Returns a dead worker's messages to their queues; those it worked on become suspect.

        If it worked on one message alone, that message has caused one death. Raises redis.RedisError.
        """
        ids = list(working_on)
        self.steps.run("GIVE_BACK", worker_id, int(len(ids) == 1), *ids)
