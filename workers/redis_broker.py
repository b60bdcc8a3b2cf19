"""Delivery by Redis, hardened: what was enqueued is worked on, or kept as rejected, whatever dies in between.

Dramatiq's own broker strands, repeats or loses messages when a process, a connection or a message goes bad. This one
keeps its keys and its ways towards producers, and takes its own steps within Redis (workers/redis_scripts.py).
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple

import redis
import structlog
from dramatiq import Message, MessageProxy, Middleware
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import compute_backoff, q_name
from dramatiq.errors import BrokerConnectionError

from runtime.settings import settings
from workers import messages, redis_scripts
from workers.messages import REDELIVERED, Fault, NotEnqueued

log = structlog.get_logger()

SILENT_MS: Final = 20_000
"""A worker not seen for so long is dead, and what it held goes to others."""

HELD_BYTES: Final = 16_000_000
"""So many bytes of messages a consumer holds before it fetches no more: decoded they are several times as large."""

TIDY_SECONDS: Final = 5.0
DEAD_LETTERS_A_TIDYING: Final = 20
STATES: Final = {"waiting": ("llen", ""), "delayed": ("hlen", ".DQ.msgs"), "dead": ("zcard", ".XQ")}
"""How the messages of a queue lie in Redis, by state."""


class Held(NamedTuple):
    """A message as Redis gave it. `data` is None where it is too large; `deaths` is None where none died with it."""

    redis_id: str
    data: bytes | None
    deaths: int | None


@contextmanager
def _lost_if_unanswered(told: Callable[[Exception], str] = lambda error: type(error).__name__) -> Iterator[None]:
    """Whatever Redis does not answer, in time or at all, is a BrokerConnectionError, in the words of `told`."""
    try:
        yield
    except redis.RedisError as error:
        raise BrokerConnectionError(told(error)) from None  # type: ignore[no-untyped-call]


class SpendgateBroker(RedisBroker):
    """Redis with the consumer below. Without a URL it can declare actors, and says so when asked to send."""

    def __init__(self, url: str | None, middleware: list[Middleware]) -> None:
        self.has_url = url is not None
        self.is_worker = False
        super().__init__(url=url or "redis://127.0.0.1:0", middleware=middleware)  # type: ignore[no-untyped-call]
        self.steps = {
            name: self.client.register_script(getattr(redis_scripts, name))
            for name in ("ENQUEUE", "ENQUEUE_ALWAYS", "GIVE_BACK", "FETCH", "ACK", "NACK", "REQUEUE")
        }
        os.register_at_fork(after_in_child=self.become_another)

    def become_another(self) -> None:
        """What a process holds lies in Redis under its broker's id: forked processes must not share one."""
        self.broker_id = str(uuid.uuid4())

    @property
    def consumer_class(self) -> type["SpendgateConsumer"]:
        return SpendgateConsumer

    def step(self, name: str, *arguments: Any) -> Any:
        """Takes one of the steps of workers/redis_scripts.py."""
        return self.steps[name](keys=[self.namespace], args=arguments)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Puts the message on its queue. Raises NotEnqueued, where it is too large MessageTooLarge."""
        if not self.has_url:
            settings().required_queue_url()
        return super().enqueue(message, delay=delay)

    def do_enqueue(self, queue_name: str, redis_id: str, data: bytes) -> None:
        messages.check_size(data)
        try:
            self.step("ENQUEUE_ALWAYS" if self.is_worker else "ENQUEUE", queue_name, redis_id, data)
        except redis.RedisError as error:
            is_full = isinstance(error, redis.exceptions.OutOfMemoryError)
            reason = "Redis is full; send it again when it has drained" if is_full else f"Redis: {error}"
            raise NotEnqueued(reason, is_full=is_full) from error

    def ping(self) -> None:
        """Raises BrokerConnectionError where Redis does not answer."""
        with _lost_if_unanswered():
            self.client.ping()

    def info(self) -> dict[str, Any]:
        """What Redis says of itself. Raises BrokerConnectionError."""
        with _lost_if_unanswered():
            told: Any = self.client.info()
        return dict(told)

    def lengths(self) -> dict[tuple[str, str], int]:
        """How many messages each queue has in each state. Raises BrokerConnectionError."""
        places = [(queue, state) for queue in sorted(self.queues) for state in STATES]
        with _lost_if_unanswered(), self.client.pipeline(transaction=False) as pipeline:
            for queue, state in places:
                command, suffix = STATES[state]
                getattr(pipeline, command)(f"{self.namespace}:{queue}{suffix}")
            lengths = pipeline.execute()
        return dict(zip(places, lengths, strict=True))

    def give_back(self, worker_id: str, working_on: Iterable[str]) -> None:
        """Puts back what a worker held that is known to be dead, and notes what it died with."""
        ids = list(working_on)
        self.step("GIVE_BACK", worker_id, int(len(ids) == 1), *ids)


class SpendgateConsumer:
    """What one worker holds of one queue. Dramatiq calls it from one thread, and acknowledges from others.

    Whatever Redis does not answer, in time or at all, is a connection lost: Dramatiq then starts a consumer anew, or
    tries an acknowledgement again, and has forgotten what the last consumer held. What Redis still has down as this
    worker's, and this consumer does not hold, goes back to the queue: at the start, and now and then, because a reply
    can be lost with a connection that lives on. What is done twice for it is counted once.
    """

    def __init__(self, broker: SpendgateBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self.broker = broker
        self.queue_name = queue_name
        self.prefetch = prefetch
        self.timeout_ms = timeout
        self.held: dict[str, int] = {}
        self.freed = threading.Event()
        self.fetched: list[Held] = []
        self.misses = 0
        self.tidied = time.monotonic()
        with _lost_if_unanswered(str):
            self._reclaim()

    def __iter__(self) -> "SpendgateConsumer":
        return self

    def __next__(self) -> MessageProxy | None:
        """The next message to work on; None, after a pause that grows with every miss, where there is none."""
        with _lost_if_unanswered(str):
            if time.monotonic() - self.tidied > TIDY_SECONDS:
                self._tidy()
            while (held := self._next_held()) is not None:
                message = self._workable(held)
                if message is not None:
                    return MessageProxy(message)
        if self._room()[0]:
            self.misses, pause_ms = compute_backoff(self.misses, max_backoff=self.timeout_ms)
            time.sleep(pause_ms / 1000)
        else:
            self.freed.wait(self.timeout_ms / 1000)
        return None

    def ack(self, message: MessageProxy) -> None:
        """The message is done."""
        self._finish("ACK", message)

    def nack(self, message: MessageProxy) -> None:
        """The message is given up: kept as rejected already, or left among Redis's dead letters until it can be."""
        if message.options.get("kept"):
            self._finish("ACK", message)
        else:
            self._finish("NACK", message, q_name(self.queue_name))

    def requeue(self, given_up: Iterable[MessageProxy]) -> None:
        """The messages will not be worked on by this worker: others may have them at once."""
        ids = [message.options["redis_message_id"] for message in given_up]
        if ids:
            self._step("REQUEUE", *ids)
            for redis_id in ids:
                self.held.pop(redis_id, None)

    def close(self) -> None:
        """What was fetched and never handed out goes back."""
        if self.fetched:
            self._step("REQUEUE", *(held.redis_id for held in self.fetched))

    def _finish(self, step: str, message: MessageProxy, *arguments: str) -> None:
        redis_id = message.options["redis_message_id"]
        self._step(step, redis_id, *arguments)
        self.held.pop(redis_id, None)
        self.freed.set()

    def _step(self, name: str, *arguments: str) -> Any:
        with _lost_if_unanswered(str):
            return self.broker.step(name, self.queue_name, self.broker.broker_id, *arguments)

    def _room(self) -> tuple[int, int]:
        """For how many messages, of how many bytes, there is room; none until half of what may be held is done.

        To ask for each message that is done would cost a round trip for each.
        """
        room, room_bytes = self.prefetch - len(self.held), HELD_BYTES - sum(list(self.held.values()))
        least = 1 if self.queue_name.endswith(messages.DELAYED) else max(self.prefetch // 2, 1)
        return (room, room_bytes) if room >= least and room_bytes > 0 else (0, 0)

    def _next_held(self) -> Held | None:
        if not self.fetched:
            self._fetch()
        if not self.fetched:
            return None
        self.misses = 0
        return self.fetched.pop(0)

    def _fetch(self) -> None:
        """Gets what waits, as far as there is room for it."""
        self.freed.clear()
        room, room_bytes = self._room()
        if room:
            largest = settings().max_message_bytes
            bounds = (room, SILENT_MS, largest, room_bytes)
            found = self.broker.step("FETCH", self.queue_name, self.broker.broker_id, *bounds)
            self.fetched = [
                Held(redis_id.decode(), data, None if deaths is None else int(deaths))
                for redis_id, data, deaths in found
            ]
            self.held.update((held.redis_id, len(held.data or b"")) for held in self.fetched)

    def _workable(self, held: Held) -> Message[Any] | None:
        """The message with the options we know; None, and what Redis has set aside, where there is none."""
        read = Fault("too_large") if held.data is None else self._read(held.data)
        if isinstance(read, Fault):
            self._set_aside(held, read)
            return None
        suspicion = {} if held.deaths is None else {REDELIVERED: held.deaths}
        return replace(read, options={**read.options, **suspicion, "redis_message_id": held.redis_id})

    def _read(self, data: bytes) -> Message[Any] | Fault:
        return messages.read(data, self.queue_name, self.broker.actors)

    def _set_aside(self, held: Held, fault: Fault) -> None:
        key = f"{self.broker.namespace}:{self.queue_name}.msgs"
        data: Any = self.broker.client.hget(key, held.redis_id) if held.data is None else held.data
        if data is None or messages.keep_bytes(data, fault.reason, self.queue_name):
            self._step("ACK", held.redis_id)
        else:
            self._step("NACK", held.redis_id, q_name(self.queue_name))
        self.held.pop(held.redis_id, None)

    def _tidy(self) -> None:
        self.tidied = time.monotonic()
        self._reclaim()
        if self.queue_name == q_name(self.queue_name):
            self._keep_dead_letters()

    def _reclaim(self) -> None:
        """Puts back what Redis has down as this worker's and this consumer does not hold."""
        key = f"{self.broker.namespace}:__acks__.{self.broker.broker_id}.{self.queue_name}"
        held = set(self.held)  # before the look: what is acknowledged meanwhile is not stranded
        down: Any = self.broker.client.smembers(key)
        stranded = {redis_id.decode() for redis_id in down} - held
        if stranded:
            log.warning("message.reclaimed", queue=self.queue_name, messages=len(stranded))
            self._step("REQUEUE", *stranded)

    def _keep_dead_letters(self) -> None:
        """Moves the dead letters that Postgres would not keep, or another program left, to the rejected inputs."""
        key = f"{self.broker.namespace}:{self.queue_name}.XQ"
        waiting: Any = self.broker.client.zrange(key, 0, DEAD_LETTERS_A_TIDYING - 1)
        for redis_id in waiting:
            data: Any = self.broker.client.hget(f"{key}.msgs", redis_id)
            if data is not None and not messages.keep_bytes(data, "dead_letter", self.queue_name):
                return
            self.broker.client.hdel(f"{key}.msgs", redis_id)
            self.broker.client.zrem(key, redis_id)
