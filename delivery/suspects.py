"""Suspect messages: those that a worker process held when it died. Three proven deaths make a message a dead letter.

The states of a message, what moves it from one to the next, and where each state is stored:

    ordinary  a process dies working on several messages   suspect, 0 deaths
    ordinary  a process dies working on this one alone      suspect, 1 death
    suspect   a worker begins it alone                      alone
    alone     the actor returns, or its retry is enqueued   ordinary
    alone     its worker is dead when another begins it     alone, one death more
    alone     DEATHS_ALLOWED deaths                         dead letter, reason `kills_its_worker`

    ordinary  in the queue
    suspect   in the queue; the option `redelivered` holds its deaths
    alone     a row of `suspect_messages` names the worker; it is deleted when the message leaves its queue

«Alone» means: the process works on no other message meanwhile, so no other message is suspected of its death. A worker
that still lives, cut off from the queue, counts as no death. Postgres counts the deaths, whichever broker delivers.
"""

import threading
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


class SharedOrExclusive:
    """A lock that many threads share or one has exclusively. A thread that waits to have it blocks new sharers."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work = 0
        self._wanting = 0
        self._alone = False

    @property
    def wanted(self) -> bool:
        """Whether a thread waits for the exclusive mode."""
        return self._wanting > 0

    def begin(self) -> None:
        """Takes the lock shared, once no thread has it exclusively or waits for that."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and self._wanting == 0)
            self._at_work += 1

    def begin_alone(self) -> None:
        """Takes the lock exclusively, once no other thread has it."""
        with self._changed:
            self._wanting += 1
            self._changed.wait_for(lambda: not self._alone and self._at_work == 0)
            self._wanting -= 1
            self._alone = True

    def end(self) -> None:
        """Releases the lock, in whichever mode this thread has it."""
        with self._changed:
            if self._alone:
                self._alone = False
            else:
                self._at_work -= 1
            self._changed.notify_all()


class SuspectMessages(Middleware):
    """Runs each suspect message alone, and keeps it as a dead letter after DEATHS_ALLOWED proven deaths.

    An ordinary message costs one write to shared memory.
    """

    def __init__(self) -> None:
        self.board: InFlightBoard | None = None
        self._turns = SharedOrExclusive()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        self._note(bundles.redis_ids(message) if "redis_message_id" in message.options else [])
        known_deaths = message.options.get(messages.REDELIVERED)
        if known_deaths is None:
            self._turns.begin()
            return
        self._turns.begin_alone()
        deaths = self._begun(broker, message.message_id, known_deaths)
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
        self._turns.end()
        self._note([])
        if not message.failed:
            self._forget(message)

    @staticmethod
    def _begun(broker: Any, message_id: str, known_deaths: int) -> int:
        """Stores that this process works on the message alone; returns how many deaths are proven by now."""
        with transaction() as connection:
            before = suspects.begun_by(connection, message_id)
            has_died = before is not None and before != broker.broker_id and not broker.is_alive(before)
            suspect = suspects.Suspect(message_id, broker.broker_id, known_deaths)
            return suspects.begin(connection, suspect, clock.now(), has_died=has_died)

    def after_nack(self, _broker: Broker, message: MessageProxy) -> None:
        """Deletes the row of a dead letter once it left its queue: until then a death would bring the message back."""
        self._forget(message)

    def _forget(self, message: MessageProxy) -> None:
        if messages.REDELIVERED in message.options:
            with transaction() as connection:
                suspects.end(connection, message.message_id)

    def _note(self, redis_ids: Sequence[str]) -> None:
        if self.board is not None:
            self.board.write(redis_ids)
