"""The consumer of one Redis queue in one worker."""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import structlog
from dramatiq import Message, MessageProxy
from dramatiq.common import dq_name

from delivery import bundles
from delivery.bundles import Bundle, BundleKind
from delivery.messages import POSTPONED, POSTPONED_MS, REDELIVERED, Fault, largest_bytes, postponed
from delivery.redis import dead_letters
from delivery.redis.connection import DedicatedConnection, Read
from delivery.redis.kept import keeping, make_room
from delivery.redis.steps import RedisSteps
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

SILENT_MS: Final = 20_000
"""Milliseconds without a heartbeat after which a worker counts as dead and others take over its messages."""

HELD_BYTES: Final = 16_000_000
"""Bytes of fetched messages from which a consumer fetches no more; decoded they take several times as much memory."""

BUNDLED_AHEAD: Final = 4
"""Factor by which the prefetch of queue `spend` is larger, so that messages are fetched while others are worked on."""

SPEND_POLLED_MS: Final = 20
"""Poll interval of queue `spend`, if Redis sends no notifications; it adds to the delay until a campaign pauses."""

POLLED_MS: Final = 100
"""Poll interval of queues other than `spend`, if Redis sends no notifications."""

LATE_SECONDS: Final = 0.002
"""Delay of a consumer after a notification if the one before brought it no message, so that fewer processes fetch."""

BUSY_SECONDS: Final = 0.003
"""Delay of a consumer after a notification while it has messages, so that an idle process takes the new one."""

REMEMBERED_IDS: Final = 10_000
RETURNS_BUNDLED: Final = 30
"""How often a message is bundled again after transient errors, about 1 s apart, so as to outlast a short outage."""

TIDY_SECONDS: Final = 5.0
HEARTBEAT_SECONDS: Final = 0.2


class FetchedMessage(NamedTuple):
    """A message as fetched from Redis. `data`: the encoded message; None if it is too large.

    `deaths`: how many process deaths it certainly caused; None if it is not suspect.
    """

    redis_id: str
    data: bytes | None
    deaths: int | None


class SpendgateConsumer:
    """Fetches messages of one queue for one worker; one thread iterates over it, others acknowledge.

    It yields spend messages in bundles, and the messages of a failed bundle one by one, or after a transient error in
    bundles again. If Redis does not answer, it raises BrokerConnectionError, and Dramatiq creates a new consumer or
    repeats the acknowledgement. At the start and every TIDY_SECONDS it puts stranded messages back on the queue: those
    that Redis lists as fetched by this worker, but that this consumer does not have, because a reply of Redis got lost.
    Such a message may be worked on twice and is counted once.
    """

    def __init__(self, steps: RedisSteps, queue_name: str, prefetch: int, timeout: int) -> None:
        self.steps = steps
        self.connection = DedicatedConnection(steps)
        self.queue_name = queue_name
        is_spend = queue_name == bundles.QUEUE
        self.keeping = keeping(settings(), is_spend)
        self.waiting: Read = ("LLEN", f"{steps.namespace}:{queue_name}")
        self.prefetch = prefetch * (BUNDLED_AHEAD if is_spend else 1)
        self.timeout_ms = timeout
        self.polled_ms = min(timeout, SPEND_POLLED_MS if is_spend else POLLED_MS)
        self.held: dict[str, int] = {}
        self.freed = threading.Event()
        self.fetched: list[FetchedMessage] = []
        self.is_drained = False
        self.is_notified = False
        self.came_late = False
        self.open: dict[BundleKind, Bundle] = {}
        self.ready: deque[Message[Any]] = deque()
        self.never_bundled: set[str] = set()
        self.returned: Counter[str] = Counter()
        self.next_lock = threading.Lock()
        self.is_closed = False
        self.tidied = time.monotonic()
        with self.steps.answering():
            self._reclaim()

    def __iter__(self) -> "SpendgateConsumer":
        return self

    def __next__(self) -> MessageProxy | None:
        """Returns the next message or bundle; None if none came within a wait, if the worker is stopping, or if closed.

        Also None while this machine's clock is off. Raises BrokerConnectionError.
        """
        with self.next_lock:
            return None if self.is_closed else self._next()

    def _next(self) -> MessageProxy | None:
        with self.steps.answering():
            if time.monotonic() - self.tidied > TIDY_SECONDS:
                self._tidy()
            if self.steps.is_ending or clock.guard.is_off:
                self._return_unstarted()
                self._send_heartbeat()
                return None
            if (message := self._next_message()) is not None:
                return MessageProxy(message)
        if self._room()[0]:
            self._wait()
        else:
            self.freed.wait(self.polled_ms / 1000)
        self.is_drained = False
        return None

    def _wait(self) -> None:
        lengths = self.connection.watch(self.waiting)
        if lengths is None:
            pause_ms = random.uniform(0.5, 1) * self.polled_ms  # noqa: S311 - jitter
            self.connection.wait(pause_ms / 1000)
        elif lengths == [0]:
            self.is_notified = self.connection.wait(self.timeout_ms / 1000)
            if self.is_notified and (self.held or self.came_late):
                time.sleep(BUSY_SECONDS if self.held else LATE_SECONDS)

    def ack(self, message: MessageProxy) -> None:
        """Acknowledges a finished message or bundle. Raises BrokerConnectionError."""
        self._finish(self.keeping.step, message, *self.keeping.bounds)

    def nack(self, message: MessageProxy) -> None:
        """Dead-letters a failed message: removes it if Postgres keeps it already, else moves it to the dead letters.

        Returns the messages of a failed bundle to the queue, and a postponed message after POSTPONED_MS. Raises
        BrokerConnectionError.
        """
        if bundles.is_bundle(message):
            self._return_bundle(message)
        elif POSTPONED in message.options:
            self._finish("POSTPONE", message, dq_name(self.queue_name), postponed(message._message), POSTPONED_MS)
        elif message.options.get("kept"):
            self.ack(message)
        else:
            self._finish("NACK", message, self.queue_name)

    def requeue(self, returned: Iterable[MessageProxy]) -> None:
        """Returns fetched messages that this worker will not work on to the queue. Raises BrokerConnectionError."""
        self._return(bundles.all_redis_ids(returned))

    def close(self) -> None:
        """Returns unstarted messages to the queue and closes the connection; `__next__` returns None from then on."""
        with self.next_lock:
            self.is_closed = True
            try:
                self._return_unstarted()
            finally:
                self.connection.close()

    def _return_bundle(self, bundle: MessageProxy) -> None:
        """Returns the messages of a failed bundle to the queue; after a transient error they may be bundled again.

        A message is bundled again at most RETURNS_BUNDLED times, since it may itself cause a transient-looking error.
        """
        ids = bundles.redis_ids(bundle)
        for remembered in (self.never_bundled, self.returned):
            if len(remembered) > REMEMBERED_IDS:
                remembered.clear()
        self.returned.update(ids)
        if (
            not bundle.options.get(bundles.IS_TRANSIENT)
            or max(self.returned[redis_id] for redis_id in ids) > RETURNS_BUNDLED
        ):
            self.never_bundled.update(ids)
        self._return(ids)
        self.freed.set()

    def _return_unstarted(self) -> None:
        """Returns messages to the queue that were fetched and that no thread has started."""
        self._close_bundles()
        ids = [*bundles.all_redis_ids(self.ready), *(fetched.redis_id for fetched in self.fetched)]
        self.ready.clear()
        self.fetched.clear()
        self._return(ids)

    def _return(self, ids: Sequence[str]) -> None:
        for redis_id in ids:  # before REQUEUE, because this consumer may fetch them again at once
            self.held.pop(redis_id, None)
        if ids:
            self._step("REQUEUE", *ids)
            self.is_drained = False

    def _finish(self, step: str, message: MessageProxy, *arguments: str | bytes | int) -> None:
        ids = bundles.redis_ids(message)
        self._step(step, *arguments, *ids)
        for redis_id in ids:
            self.held.pop(redis_id, None)
            self.never_bundled.discard(redis_id)
            self.returned.pop(redis_id, None)
        self.freed.set()

    def _step(self, name: str, *arguments: str | bytes | int) -> Any:
        with self.steps.answering():
            return self.steps.run(name, self.queue_name, self.steps.worker_id, *arguments)

    def _room(self) -> tuple[int, int]:
        """Returns how many messages and bytes may be fetched; zeros until half of the prefetch and some bytes are free.

        Fetching for each finished message would cost one round trip per message.
        """
        room, room_bytes = self.prefetch - len(self.held), HELD_BYTES - sum(list(self.held.values()))
        return (room, room_bytes) if room >= max(self.prefetch // 2, 1) and room_bytes > 0 else (0, 0)

    def _send_heartbeat(self) -> None:
        """Sends a heartbeat, so that no other worker takes over messages in progress, and sleeps HEARTBEAT_SECONDS."""
        self._run_fetch(0, 0)
        time.sleep(HEARTBEAT_SECONDS)

    def _next_message(self) -> Message[Any] | None:
        """Returns the next message or bundle, for which it may fetch; None if there is none or no room to fetch it.

        After a fetch that emptied the queue it returns None once without fetching, so that `_wait` reads the queue's
        length while threads work on the fetched messages.
        """
        if not (self.ready or self.open or self.fetched or self.is_drained):
            self._fetch()
        while self.fetched and not self.ready:
            message = self._decode(self.fetched.pop(0))
            if message is not None:
                self._bundle(message)
        if not self.ready:
            self._close_bundles()
        return self.ready.popleft() if self.ready else None

    def _bundle(self, message: Message[Any]) -> None:
        """Adds the message to the open bundle of its kind, or to `ready` if it must not be bundled.

        Messages of one kind keep their order.
        """
        kind = None if message.options["redis_message_id"] in self.never_bundled else bundles.kind_of(message)
        if kind is None:
            self._close_bundles()
            self.ready.append(message)
        elif kind not in self.open:
            self.open[kind] = Bundle(message)
        elif not self.open[kind].add(message):
            self._close_bundles(kind)
            self.open[kind] = Bundle(message)

    def _close_bundles(self, last: BundleKind = BundleKind.MANY_EVENTS) -> None:
        """Moves the open bundles up to kind `last` to `ready`, those of few events first."""
        self.ready.extend(self.open.pop(kind).message() for kind in sorted(self.open) if kind <= last)

    def _fetch(self) -> None:
        """Fetches waiting messages into `fetched`, up to the free room; without room does nothing."""
        self.freed.clear()
        room, room_bytes = self._room()
        if room:
            rows = self._run_fetch(room, room_bytes, watched=(self.waiting,))
            self.fetched = [
                FetchedMessage(redis_id.decode(), data, None if deaths is None else int(deaths))
                for redis_id, data, deaths in rows
            ]
            self.is_drained = len(rows) < room
            if self.is_notified:
                self.is_notified, self.came_late = False, not rows
            self.held.update((fetched.redis_id, len(fetched.data or b"")) for fetched in self.fetched)

    def _run_fetch(self, room: int, room_bytes: int, watched: Sequence[Read] = ()) -> Any:
        """Sends a heartbeat and fetches up to `room` messages, until they have `room_bytes` bytes or more in all.

        Returns the script's rows: (id, data or None if too large, deaths or None if not suspect).
        """
        bounds = (room, SILENT_MS, largest_bytes(), room_bytes)
        return self.connection.run("FETCH", self.queue_name, self.steps.worker_id, *bounds, watched=watched)

    def _decode(self, fetched: FetchedMessage) -> Message[Any] | None:
        """Returns the decoded message; keeps an invalid one as rejected and returns None."""
        read = self.steps.read(fetched.data, self.queue_name)
        if isinstance(read, Fault):
            self._keep_invalid(fetched, read)
            return None
        suspicion = {} if fetched.deaths is None else {REDELIVERED: fetched.deaths}
        return replace(read, options={**read.options, **suspicion, "redis_message_id": fetched.redis_id})

    def _keep_invalid(self, fetched: FetchedMessage, fault: Fault) -> None:
        if self.steps.kept(self.queue_name, fetched.redis_id, fetched.data, fault):
            self._step(self.keeping.step, *self.keeping.bounds, fetched.redis_id)
        else:
            self._step("NACK", self.queue_name, fetched.redis_id)
        self.held.pop(fetched.redis_id, None)

    def _tidy(self) -> None:
        self.tidied = time.monotonic()
        self._reclaim()
        dead_letters.keep_some(self.steps, self.queue_name, self.keeping.bounds)
        if self.keeping.bounds:
            make_room(self.steps, self.queue_name)

    def _reclaim(self) -> None:
        """Returns messages to the queue that Redis lists as fetched by this worker but that it does not have."""
        key = f"{self.steps.namespace}:__acks__.{self.steps.worker_id}.{self.queue_name}"
        held = set(self.held)  # copied before the read, so that a message acknowledged meanwhile is not reclaimed
        listed: Any = self.steps.client.smembers(key)
        stranded = {redis_id.decode() for redis_id in listed} - held
        if stranded:
            log.warning("message.reclaimed", queue=self.queue_name, messages=len(stranded))
            self._step("REQUEUE", *stranded)
