"""Delivery by Redis, hardened: what was enqueued is worked on, or kept as rejected, whatever dies in between.

Dramatiq's own broker strands, repeats or loses messages when a process, a connection or a message goes bad. This one
keeps its keys and its ways towards producers, and takes its own steps within Redis (workers/redis_scripts.py).
"""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import redis
import structlog
from dramatiq import Message, Middleware
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name
from dramatiq.errors import BrokerConnectionError

from runtime.settings import settings
from runtime.signals import Stop
from workers import messages, redis_scripts
from workers.messages import Fault, NotEnqueued
from workers.redis_consumer import SpendgateConsumer
from workers.redis_delays import DelayedMessages

log = structlog.get_logger()

STEPS: Final = (
    *("ENQUEUE", "ENQUEUE_ALWAYS", "ENQUEUE_LATER", "ENQUEUE_LATER_ALWAYS", "DUE", "SET_ETA", "MOVE", "HEAD"),
    *("GIVE_BACK", "FETCH", "SET_ASIDE", "ACK", "NACK", "REQUEUE"),
)
STATES: Final = {"waiting": ("llen", ""), "delayed": ("hlen", ".DQ.msgs"), "dead": ("zcard", ".XQ")}
"""How the messages of a queue lie in Redis, by state."""


def _kind(error: Exception) -> str:
    return type(error).__name__


class SpendgateBroker(RedisBroker):
    """Redis with consumers of its own. Without a URL it can declare actors, and says so when asked to send."""

    def __init__(self, url: str | None, middleware: list[Middleware]) -> None:
        self.has_url = url is not None
        self.is_worker = False
        self.is_polled = False
        self.ending = Stop()
        super().__init__(url=url or "redis://127.0.0.1:0", middleware=middleware)  # type: ignore[no-untyped-call]
        self.steps = {name: self.client.register_script(getattr(redis_scripts, name)) for name in STEPS}
        os.register_at_fork(after_in_child=self.become_another)

    def become_another(self) -> None:
        """What a process holds lies in Redis under its broker's id: forked processes must not share one."""
        self.broker_id = str(uuid.uuid4())
        self.ending = Stop()

    @property
    def is_ending(self) -> bool:
        """Whether this worker gives back what it has not begun, and takes no more."""
        return self.ending.is_set()

    @is_ending.setter
    def is_ending(self, ends: bool) -> None:
        if ends:
            self.ending.set()
        else:
            self.ending = Stop()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """What a worker asks for messages: of a queue, or of the delayed ones for a queue."""
        if queue_name.endswith(messages.DELAYED):
            return DelayedMessages(self, queue_name, timeout)
        return SpendgateConsumer(self, queue_name, prefetch, timeout)

    def step(self, name: str, *arguments: Any) -> Any:
        """Takes one of the steps of workers/redis_scripts.py."""
        return self.steps[name](keys=[self.namespace], args=arguments)

    @contextmanager
    def answering(self, told: Callable[[Exception], str] = str) -> Iterator[None]:
        """Whatever Redis does not answer, in time or at all, is a BrokerConnectionError, in the words of `told`."""
        try:
            yield
        except redis.RedisError as error:
            if self.is_worker and "WRONGTYPE" in str(error):
                self._set_wrong_types_aside()
            raise BrokerConnectionError(told(error)) from None  # type: ignore[no-untyped-call]

    def _set_wrong_types_aside(self) -> None:
        """Renames the keys that another program made with another type: until then the queue stands still."""
        with suppress(redis.RedisError):
            for queue in sorted(self.queues | self.delay_queues):
                for key, kind in self.step("SET_ASIDE", queue, self.broker_id):
                    log.error("redis.wrong_type", key=key.decode(), type=kind.decode())

    def load_producer_scripts(self) -> None:
        """Loads what Dramatiq's own producers and ours run: with that, their Redis user needs no `SCRIPT LOAD`."""
        ours = (self.steps[name] for name in ("ENQUEUE", "ENQUEUE_LATER"))
        with suppress(redis.RedisError):
            for script in (*self.scripts.values(), *ours):
                self.client.script_load(script.script)

    def bytes_held(self) -> dict[str, int]:
        """Redis's estimate of the memory of each queue's messages, in bytes. Raises BrokerConnectionError."""
        queues = sorted(self.queues | self.delay_queues)
        with self.answering(_kind), self.client.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.memory_usage(f"{self.namespace}:{queue}.msgs")
            sizes = pipeline.execute()
        return {queue: int(size or 0) for queue, size in zip(queues, sizes, strict=True)}

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Puts the message on its queue, `delay` milliseconds from now.

        Raises NotEnqueued; where it is too large, of whoever is no worker, MessageTooLarge.
        """
        if not self.has_url:
            settings().required_queue_url()
        # each time anew: a message that is tried again lies beside what it repeats
        message = message.copy(options={"redis_message_id": str(uuid.uuid4())})
        if delay is not None:
            later = {"eta": current_millis() + delay}
            message = message.copy(queue_name=dq_name(message.queue_name), options=later)
        self.emit_before("enqueue", message, delay)
        self._put(message)
        self.emit_after("enqueue", message, delay)
        return message

    def _put(self, message: Message[Any]) -> None:
        data, eta = message.encode(), message.options.get("eta")
        if not self.is_worker:
            messages.check_size(data)
        name = "ENQUEUE" if eta is None else "ENQUEUE_LATER"
        arguments = (message.queue_name, message.options["redis_message_id"], data, *([] if eta is None else [eta]))
        try:
            self.step(f"{name}_ALWAYS" if self.is_worker else name, *arguments)
        except redis.RedisError as error:
            is_full = isinstance(error, redis.exceptions.OutOfMemoryError)
            reason = "Redis is full; send it again when it has drained" if is_full else f"Redis: {error}"
            raise NotEnqueued(reason, is_full=is_full) from error

    def read(self, data: bytes | None, queue_name: str) -> Message[Any] | Fault:
        """The message in `data`, or what is wrong with it; None stands for what was too large to be fetched."""
        return Fault("too_large") if data is None else messages.read(data, queue_name, self.actors)

    def kept(self, queue_name: str, redis_id: str, data: bytes | None, fault: Fault) -> bool:
        """Keeps as rejected what cannot be worked on; false where Postgres will not have it now."""
        key = f"{self.namespace}:{queue_name}.msgs"
        size = len(data) if data is not None else int(self.client.hstrlen(key, redis_id))
        whole: Any = data
        if data is None and size <= messages.KEPT_BYTES:
            whole = self.client.hget(key, redis_id)
        elif data is None:
            whole = self.step("HEAD", queue_name, redis_id, messages.HEAD_BYTES)
        return whole is None or messages.keep_bytes(whole, fault.reason, queue_name, size)

    def ping(self) -> None:
        """Raises BrokerConnectionError where Redis does not answer."""
        with self.answering(_kind):
            self.client.ping()

    def info(self) -> dict[str, Any]:
        """What Redis says of itself. Raises BrokerConnectionError."""
        with self.answering(_kind):
            told: Any = self.client.info()
        return dict(told)

    def lengths(self) -> dict[tuple[str, str], int]:
        """How many messages each queue has in each state. Raises BrokerConnectionError."""
        places = [(queue, state) for queue in sorted(self.queues) for state in STATES]
        with self.answering(_kind), self.client.pipeline(transaction=False) as pipeline:
            for queue, state in places:
                command, suffix = STATES[state]
                getattr(pipeline, command)(f"{self.namespace}:{queue}{suffix}")
            lengths = pipeline.execute()
        return dict(zip(places, lengths, strict=True))

    def is_alive(self, worker_id: str) -> bool:
        """Whether a worker of this id has shown that it lives, and nobody has taken over what it held."""
        with self.answering():
            return self.client.zscore(f"{self.namespace}:__heartbeats__", worker_id) is not None

    def give_back(self, worker_id: str, working_on: Iterable[str]) -> None:
        """Puts back what a worker held that is known to be dead, and notes what it died with."""
        ids = list(working_on)
        self.step("GIVE_BACK", worker_id, int(len(ids) == 1), *ids)
