"""What one worker holds of one queue in Redis."""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import structlog
from dramatiq import Message, MessageProxy
from dramatiq.common import current_millis

from delivery import bundles
from delivery.bundles import Bundle, BundleKind
from delivery.messages import REDELIVERED, Fault, largest_bytes
from delivery.redis.connection import DedicatedConnection, Read
from delivery.redis.steps import RedisSteps

log = structlog.get_logger()

SILENT_MS: Final = 20_000
"""A worker not seen for so long is dead, and what it held goes to others."""

HELD_BYTES: Final = 16_000_000
"""So many bytes of messages a consumer holds before it fetches no more: decoded they are several times as large."""

BUNDLED_AHEAD: Final = 4
"""Where messages go in bundles, so many times as many are held: others are fetched while some are worked on."""

SPEND_POLLED_MS: Final = 20
"""Where Redis does not wake an idle worker, so often it looks for spend: it is part of how late a campaign closes."""

POLLED_MS: Final = 100
"""The same for the other queues."""

APART_REMEMBERED: Final = 10_000
RETURNS_BUNDLED: Final = 30
"""How often a message is bundled again after errors that pass, a second apart: a server may be away for a while."""

TIDY_SECONDS: Final = 5.0
SIGN_OF_LIFE_SECONDS: Final = 0.2
DEAD_LETTERS_A_TIDYING: Final = 20


class Held(NamedTuple):
    """A message as Redis gave it. `data` is None where it is too large; `deaths` is None where none died with it."""

    redis_id: str
    data: bytes | None
    deaths: int | None


class SpendgateConsumer:
    """What one worker holds of one queue. Dramatiq calls it from one thread, and acknowledges from others.

    Whatever Redis does not answer, in time or at all, is a connection lost: Dramatiq then starts a consumer anew, or
    tries an acknowledgement again, and has forgotten what the last consumer held. What Redis still has down as this
    worker's, and this consumer does not hold, goes back to the queue: at the start, and now and then, because a reply
    can be lost with a connection that lives on. What is done twice for it is counted once.

    What may share a transaction is handed out in bundles; what a bundle failed with is handed out by itself.
    """

    def __init__(self, steps: RedisSteps, queue_name: str, prefetch: int, timeout: int) -> None:
        self.steps = steps
        self.connection = DedicatedConnection(steps)
        self.queue_name = queue_name
        is_spend = queue_name == bundles.QUEUE
        self.waiting: Read = ("LLEN", f"{steps.namespace}:{queue_name}")
        self.prefetch = prefetch * (BUNDLED_AHEAD if is_spend else 1)
        self.timeout_ms = timeout
        self.polled_ms = min(timeout, SPEND_POLLED_MS if is_spend else POLLED_MS)
        self.held: dict[str, int] = {}
        self.freed = threading.Event()
        self.fetched: list[Held] = []
        self.open: dict[BundleKind, Bundle] = {}
        self.ready: deque[Message[Any]] = deque()
        self.apart: set[str] = set()
        self.returned: Counter[str] = Counter()
        self.taking = threading.Lock()
        self.is_closed = False
        self.tidied = time.monotonic()
        with self.steps.answering():
            self._reclaim()

    def __iter__(self) -> "SpendgateConsumer":
        return self

    def __next__(self) -> MessageProxy | None:
        """The next message to work on; None where there is none, after `timeout` or once Redis tells of one."""
        with self.taking:
            return None if self.is_closed else self._taken_next()

    def _taken_next(self) -> MessageProxy | None:
        with self.steps.answering():
            if time.monotonic() - self.tidied > TIDY_SECONDS:
                self._tidy()
            if self.steps.is_ending:
                self._give_back_all()
                self._show_life()
                return None
            if (message := self._next_message()) is not None:
                return MessageProxy(message)
        if self._room()[0]:
            self._wait()
        else:
            self.freed.wait(self.polled_ms / 1000)
        return None

    def _wait(self) -> None:
        told = self.connection.watch(self.waiting)
        if told is None:
            pause_ms = random.uniform(0.5, 1) * self.polled_ms  # noqa: S311 - so that workers look in turn
            self.connection.wait(pause_ms / 1000)
        elif told == [0]:
            self.connection.wait(self.timeout_ms / 1000)

    def ack(self, message: MessageProxy) -> None:
        """The message is done."""
        self._finish("ACK", message)

    def nack(self, message: MessageProxy) -> None:
        """The message is given up: kept as rejected already, or left among Redis's dead letters until it can be.

        A bundle is not: its messages wait again, each for itself.
        """
        if bundles.is_bundle(message):
            self._part(message)
        elif message.options.get("kept"):
            self._finish("ACK", message)
        else:
            self._finish("NACK", message, self.queue_name)

    def requeue(self, given_up: Iterable[MessageProxy]) -> None:
        """The messages will not be worked on by this worker: others may have them at once."""
        self._give_back(bundles.all_redis_ids(given_up))

    def close(self) -> None:
        """Gives back what was fetched and never handed out. Another thread in `__next__` gets nothing more."""
        with self.taking:
            self.is_closed = True
            try:
                self._give_back_all()
            finally:
                self.connection.close()

    def _part(self, bundle: MessageProxy) -> None:
        """Gives the messages of a bundle back: after an error that passes to be bundled again, else one by one.

        Errors that seem to pass may be one message's, so a message is bundled again only RETURNS_BUNDLED times.
        """
        ids = bundles.redis_ids(bundle)
        for remembered in (self.apart, self.returned):
            if len(remembered) > APART_REMEMBERED:
                remembered.clear()
        self.returned.update(ids)
        if not bundle.options.get(bundles.IS_TRANSIENT) or max(self.returned[one] for one in ids) > RETURNS_BUNDLED:
            self.apart.update(ids)
        self._give_back(ids)
        self.freed.set()

    def _give_back_all(self) -> None:
        """Others may have at once what was fetched and not handed out."""
        self._complete()
        ids = [*bundles.all_redis_ids(self.ready), *(held.redis_id for held in self.fetched)]
        self.ready.clear()
        self.fetched.clear()
        self._give_back(ids)

    def _give_back(self, ids: Sequence[str]) -> None:
        for redis_id in ids:  # first: what is given back may be fetched again at once
            self.held.pop(redis_id, None)
        if ids:
            self._step("REQUEUE", *ids)

    def _finish(self, step: str, message: MessageProxy, *arguments: str) -> None:
        ids = bundles.redis_ids(message)
        self._step(step, *arguments, *ids)
        for redis_id in ids:
            self.held.pop(redis_id, None)
            self.apart.discard(redis_id)
            self.returned.pop(redis_id, None)
        self.freed.set()

    def _step(self, name: str, *arguments: str) -> Any:
        with self.steps.answering():
            return self.steps.run(name, self.queue_name, self.steps.worker_id, *arguments)

    def _room(self) -> tuple[int, int]:
        """For how many messages, of how many bytes, there is room; none until half of what may be held is done.

        To ask for each message that is done would cost a round trip for each.
        """
        room, room_bytes = self.prefetch - len(self.held), HELD_BYTES - sum(list(self.held.values()))
        return (room, room_bytes) if room >= max(self.prefetch // 2, 1) and room_bytes > 0 else (0, 0)

    def _show_life(self) -> None:
        """What is still in work is not for others."""
        self._taken(0, 0)
        time.sleep(SIGN_OF_LIFE_SECONDS)

    def _next_message(self) -> Message[Any] | None:
        """The next message, with those that may share its transaction."""
        if not (self.ready or self.open or self.fetched):
            self._fetch()
        while self.fetched and not self.ready:
            message = self._workable(self.fetched.pop(0))
            if message is not None:
                self._put_to_others(message)
        if not self.ready:
            self._complete()
        return self.ready.popleft() if self.ready else None

    def _put_to_others(self, message: Message[Any]) -> None:
        """Puts the message into the open bundle of its kind; nothing of that kind overtakes another."""
        kind = None if message.options["redis_message_id"] in self.apart else bundles.kind_of(message)
        if kind is None:
            self._complete()
            self.ready.append(message)
        elif kind not in self.open:
            self.open[kind] = Bundle(message)
        elif not self.open[kind].add(message):
            self._complete(kind)
            self.open[kind] = Bundle(message)

    def _complete(self, last: BundleKind = BundleKind.MANY_EVENTS) -> None:
        """Makes ready the open bundles up to that kind: few events do not wait for many."""
        self.ready.extend(self.open.pop(kind).message() for kind in sorted(self.open) if kind <= last)

    def _fetch(self) -> None:
        """Gets what waits, as far as there is room for it."""
        self.freed.clear()
        room, room_bytes = self._room()
        if room:
            found = self._taken(room, room_bytes)
            self.fetched = [
                Held(redis_id.decode(), data, None if deaths is None else int(deaths))
                for redis_id, data, deaths in found
            ]
            self.held.update((held.redis_id, len(held.data or b"")) for held in self.fetched)

    def _taken(self, room: int, room_bytes: int) -> Any:
        """Shows that the worker lives, and takes what there is room for."""
        bounds = (room, SILENT_MS, largest_bytes(), room_bytes)
        return self.connection.run("FETCH", self.queue_name, self.steps.worker_id, *bounds)

    def _workable(self, held: Held) -> Message[Any] | None:
        """The message with the options we know; None, and what Redis has set aside, where there is none."""
        read = self.steps.read(held.data, self.queue_name)
        if isinstance(read, Fault):
            self._set_aside(held, read)
            return None
        suspicion = {} if held.deaths is None else {REDELIVERED: held.deaths}
        return replace(read, options={**read.options, **suspicion, "redis_message_id": held.redis_id})

    def _set_aside(self, held: Held, fault: Fault) -> None:
        if self.steps.kept(self.queue_name, held.redis_id, held.data, fault):
            self._step("ACK", held.redis_id)
        else:
            self._step("NACK", self.queue_name, held.redis_id)
        self.held.pop(held.redis_id, None)

    def _tidy(self) -> None:
        self.tidied = time.monotonic()
        self._reclaim()
        self._keep_dead_letters()

    def _reclaim(self) -> None:
        """Puts back what Redis has down as this worker's and this consumer does not hold."""
        key = f"{self.steps.namespace}:__acks__.{self.steps.worker_id}.{self.queue_name}"
        held = set(self.held)  # before the look: what is acknowledged meanwhile is not stranded
        down: Any = self.steps.client.smembers(key)
        stranded = {redis_id.decode() for redis_id in down} - held
        if stranded:
            log.warning("message.reclaimed", queue=self.queue_name, messages=len(stranded))
            self._step("REQUEUE", *stranded)

    def _keep_dead_letters(self) -> None:
        """Moves the dead letters that Postgres would not keep, or another program left, to the rejected inputs."""
        key = f"{self.steps.namespace}:{self.queue_name}.XQ"
        waiting: Any = self.steps.client.zrange(key, 0, DEAD_LETTERS_A_TIDYING - 1)
        for redis_id in waiting:
            if not self.steps.kept(f"{self.queue_name}.XQ", redis_id, None, Fault("dead_letter")):
                # to the end of the line: Postgres is away, or will never have this one
                self.steps.client.zadd(key, {redis_id: current_millis()})
                return
            self.steps.client.hdel(f"{key}.msgs", redis_id)
            self.steps.client.zrem(key, redis_id)
