"""Suspect messages: those that a worker process worked on when it died. Three proven deaths make one a dead letter.

If it is unknown which messages the process worked on, all that it had fetched are suspect. The states of a message, the
events that change them, and the place where each state is stored:

    ordinary  a process dies working on several messages   suspect, 0 deaths
    ordinary  a process dies working on this one alone      suspect, 1 death
    suspect   a worker begins it alone                      alone
    alone     the actor returns, or its retry is enqueued   ordinary
    suspect   other work holds the process for too long    suspect, delayed
    alone     its worker is dead when another begins it     alone, one death more
    alone     DEATHS_ALLOWED deaths                         dead letter, reason `kills_its_worker`

    ordinary  in the queue
    suspect   in the queue; the option `redelivered` counts its deaths
    alone     a row of `suspect_messages` names the worker; it is deleted when the message leaves its queue

«Alone» means: the process works on no other message meanwhile, so no other message is suspected of its death. A worker
that still lives, cut off from the queue, counts as no death. Postgres counts the deaths, whichever broker delivers.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.middleware import SkipMessage

from db.engine import transaction
from db.repository.delivery import suspects
from delivery import bundles, messages
from delivery.in_flight import InFlightBoard
from runtime import clock

log = structlog.get_logger()

DEATHS_ALLOWED: Final = 3
"""Deaths of processes that a message may cause; with the last of them it becomes a dead letter."""

EXCLUSIVE_SECONDS: Final = 2.0
"""Timeout in seconds of the wait until a process works on no other message than the suspect one.

The process begins no other message meanwhile.
"""

REST_SECONDS: Final = 10.0
"""Seconds after a timeout of EXCLUSIVE_SECONDS in which suspects do not wait, so that other messages are worked on."""


class SharedLock:
    """A lock held by many threads (shared) or by one (exclusive); waiting exclusive requests go first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shared_holders = 0
        self._exclusive_waiters = 0
        self._is_exclusive = False
        self._rests_until = 0.0

    @property
    def is_exclusive_wanted(self) -> bool:
        """Returns whether a thread waits for the exclusive lock."""
        return self._exclusive_waiters > 0

    def acquire_shared(self) -> None:
        """Waits until no thread holds the exclusive lock or waits for it, then takes the shared lock."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_exclusive and self._exclusive_waiters == 0)
            self._shared_holders += 1

    def acquire_exclusive(self) -> bool:
        """Waits until no thread holds the lock, takes it exclusively and returns True; False after EXCLUSIVE_SECONDS.

        Within REST_SECONDS after such a timeout it returns False at once if the lock is held.
        """
        with self._changed:
            is_resting = time.monotonic() < self._rests_until
            self._exclusive_waiters += 1
            is_free = self._changed.wait_for(
                lambda: not self._is_exclusive and self._shared_holders == 0, 0 if is_resting else EXCLUSIVE_SECONDS
            )
            self._exclusive_waiters -= 1
            if is_free:
                self._is_exclusive = True
            elif not is_resting:
                self._rests_until = time.monotonic() + REST_SECONDS
            self._changed.notify_all()
            return is_free

    def release(self) -> None:
        """Releases the shared or exclusive lock of this thread."""
        with self._changed:
            if self._is_exclusive:
                self._is_exclusive = False
            else:
                self._shared_holders -= 1
            self._changed.notify_all()


class SuspectMessages(Middleware):
    """Works on a suspect message alone in its process, and dead-letters it after DEATHS_ALLOWED deaths it caused.

    A message is suspect if a process died that worked on it, or that had fetched it if its work is unknown. While a
    process works on the message alone, the message certainly caused the death of that process. Postgres stores the
    count of deaths, for every broker. A message that is not suspect costs one write to memory. A suspect that finds the
    process busy for too long returns to its queue after a delay.
    """

    def __init__(self) -> None:
        self.board: InFlightBoard | None = None
        self._lock = SharedLock()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        known_deaths = message.options.get(messages.REDELIVERED)
        if known_deaths is None:
            self._lock.acquire_shared()
        elif not self._lock.acquire_exclusive():
            message.options[messages.POSTPONED] = True
            message.fail()
            log.info("message.suspect_postponed", message_id=message.message_id)
            raise SkipMessage("another message holds this process")
        self._record(bundles.redis_ids(message) if "redis_message_id" in message.options else [])
        if known_deaths is None:
            return
        deaths = self._count_deaths(broker, message.message_id, known_deaths)
        log.warning("message.suspect", deaths=deaths)
        if deaths >= DEATHS_ALLOWED:
            detail = f"{deaths} processes died while they worked on it alone"
            message.options["kept"] = messages.keep("kills_its_worker", detail, message.asdict())
            message.fail()
            raise SkipMessage(detail)

    def after_process_message(
        self, _broker: Broker, message: MessageProxy, *, result: object = None, exception: BaseException | None = None
    ) -> None:
        del result, exception
        self.after_skip_message(_broker, message)

    def after_skip_message(self, _broker: Broker, message: MessageProxy) -> None:
        if messages.POSTPONED in message.options:
            return
        self._record([])
        self._lock.release()
        if not message.failed:
            self._forget(message)

    @staticmethod
    def _count_deaths(broker: Any, message_id: str, known_deaths: int) -> int:
        """Records that this process works on the message, and returns the deaths that the message certainly caused.

        A worker that began the message before counts as dead only if it no longer sends heartbeats: it may have lost
        its connection and still work on the message.
        """
        with transaction() as connection:
            before = suspects.begun_by(connection, message_id)
            has_died = before is not None and before != broker.broker_id and not broker.is_alive(before)
            suspect = suspects.Suspect(message_id, broker.broker_id, known_deaths)
            return suspects.begin(connection, suspect, clock.read(), has_died=has_died)

    def after_nack(self, _broker: Broker, message: MessageProxy) -> None:
        """Deletes the count of a dead-lettered suspect once it has left its queue; until then it may be redelivered."""
        if messages.POSTPONED not in message.options:
            self._forget(message)

    def _forget(self, message: MessageProxy) -> None:
        if messages.REDELIVERED in message.options:
            with transaction() as connection:
                suspects.end(connection, message.message_id)

    def _record(self, redis_ids: Sequence[str]) -> None:
        if self.board is not None:
            self.board.write(redis_ids)
