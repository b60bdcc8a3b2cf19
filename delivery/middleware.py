"""What happens around each message: retries that lose nothing, dead letters, suspects, logs."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import structlog
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Retries, SkipMessage
from sqlalchemy.exc import DBAPIError

from db.engine import is_transient, sql_state, transaction
from db.repository.delivery import suspects
from delivery import bundles, messages
from delivery.in_flight import KILL_AFTER_SECONDS, InFlightBoard
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

MAX_RETRIES: Final = 5
IDS_LOGGED: Final = 20
DEATHS_ALLOWED: Final = 3
PARENT_LOOKED_AT_SECONDS: Final = 1.0
BUNDLE_RETURNED_AFTER_SECONDS: Final = 1.0
"""How long a thread pauses before it returns a bundle that Postgres did not take: the next one would fail as well."""

WAITED_OUT: Final = (redis.RedisError, BrokerConnectionError, OSError)
NOT_MIGRATED_STATES: Final = frozenset({"42P01", "42703", "42883"})
"""A table, column or function that is not there: a worker of the new version started before the migration."""


def is_retried(retries: int, error: BaseException) -> bool:
    """A fault that passes is waited out however long it takes; any other error gets MAX_RETRIES more tries."""
    not_migrated_yet = isinstance(error, DBAPIError) and sql_state(error) in NOT_MIGRATED_STATES
    return not_migrated_yet or is_transient(error) or isinstance(error, WAITED_OUT) or retries < MAX_RETRIES


class LogContext(Middleware):
    """Binds the message and its actor to every line logged while the message is worked on."""

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        if bundles.is_bundle(message):
            ids = message.options["message_ids"]
            named: dict[str, Any] = {"messages": len(ids), "message_ids": ids[:IDS_LOGGED]}
        else:
            named = {"message_id": message.message_id}
        structlog.contextvars.bind_contextvars(**named, actor=message.actor_name)

    def after_process_message(self, *_: object, **__: object) -> None:
        structlog.contextvars.clear_contextvars()

    after_skip_message = after_process_message


class DeadLetters(Middleware):
    """Keeps in Postgres what was given up, with its last error."""

    def before_nack(self, _broker: Broker, message: MessageProxy) -> None:
        if "kept" not in message.options and not bundles.is_bundle(message):
            error = str(message.options.get("traceback", "")).strip().rpartition("\n")[2]
            message.options["kept"] = messages.keep("dead_letter", error[:500], message.asdict())


class PatientRetries(Retries):
    """Gives a message up whose retry cannot be enqueued: the stock middleware would let it be acknowledged.

    The messages of a bundle go back to the queue: see `_return_bundle`.
    """

    def after_process_message(self, broker: Broker, message: MessageProxy, **outcome: Any) -> None:
        if bundles.is_bundle(message):
            error = outcome.get("exception")
            if error is not None:
                _return_bundle(broker, message, error)
            return
        try:
            super().after_process_message(broker, message, **outcome)  # type: ignore[no-untyped-call]
        except Exception:
            log.exception("message.retry_not_enqueued")
            message.fail()


def _return_bundle(broker: Broker, bundle: MessageProxy, error: BaseException) -> None:
    """Has the consumer give the bundle's messages back, after a pause where the error passes by itself."""
    passes = is_transient(error)
    log.warning("bundle.returned" if passes else "bundle.parted", error=type(error).__name__)
    bundle.options[bundles.PASSING] = passes
    bundle.fail()
    if passes and not getattr(broker, "is_ending", False):
        time.sleep(random.uniform(0.5, 1) * BUNDLE_RETURNED_AFTER_SECONDS)  # noqa: S311 - jitter


class Turns:
    """Many at a time, or one alone; who wants to be alone waits for those at work and holds up those who come."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work = 0
        self._wanting = 0
        self._alone = False

    @property
    def wanted(self) -> bool:
        """Whether somebody waits to be alone."""
        return self._wanting > 0

    def begin(self) -> None:
        """Waits until nobody is alone or wants to be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and self._wanting == 0)
            self._at_work += 1

    def begin_alone(self) -> None:
        """Waits until nobody else is at work."""
        with self._changed:
            self._wanting += 1
            self._changed.wait_for(lambda: not self._alone and self._at_work == 0)
            self._wanting -= 1
            self._alone = True

    def end(self) -> None:
        """Ends either."""
        with self._changed:
            if self._alone:
                self._alone = False
            else:
                self._at_work -= 1
            self._changed.notify_all()


class Suspects(Middleware):
    """Works alone on a message with which a process died, and gives it up when DEATHS_ALLOWED are surely its doing.

    Alone, so that no message pays for another's deed. The count of the deaths lies in Postgres, whatever the broker;
    a message that was never suspect costs a write to memory.
    """

    def __init__(self) -> None:
        self.board: InFlightBoard | None = None
        self._turns = Turns()

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
        """Notes that this process works on it alone from now on; returns the deaths that are surely its doing.

        Whoever began it before and has not ended it may still be at work, cut off from the queue: that is no death.
        """
        with transaction() as connection:
            before = suspects.begun_by(connection, message_id)
            has_died = before is not None and before != broker.broker_id and not broker.is_alive(before)
            suspect = suspects.Suspect(message_id, broker.broker_id, known_deaths)
            return suspects.begin(connection, suspect, clock.now(), has_died=has_died)

    def after_nack(self, _broker: Broker, message: MessageProxy) -> None:
        """What was given up is forgotten when it has left its queue: a process that dies before brings it back."""
        self._forget(message)

    def _forget(self, message: MessageProxy) -> None:
        if messages.REDELIVERED in message.options:
            with transaction() as connection:
                suspects.end(connection, message.message_id)

    def _note(self, redis_ids: Sequence[str]) -> None:
        if self.board is not None:
            self.board.write(redis_ids)


class ContentLetGo(Middleware):
    """Lets a message's content go when it has left its queue: an idle thread of Dramatiq's holds on to its last one."""

    def after_ack(self, _broker: Broker, message: MessageProxy) -> None:
        message._message = message._message.copy(args=(), kwargs={})

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        self.after_ack(broker, message)


class NoOrphans(Middleware):
    """Ends a worker process, in order where it can, once the master that started it is gone."""

    def __init__(self) -> None:
        # who imports this in a master is that master; in Dramatiq's own, each worker process imports it for itself
        parent = multiprocessing.parent_process()
        self._master = os.getpid() if parent is None else parent.pid

    def after_process_boot(self, _broker: Broker) -> None:
        threading.Thread(target=self._watch, args=(self._master,), name="parent-watch", daemon=True).start()

    @staticmethod
    def _watch(master: int) -> None:
        while os.getppid() == master:
            time.sleep(PARENT_LOOKED_AT_SECONDS)
        log.warning("worker.orphaned", master=master)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(settings().shutdown_seconds + KILL_AFTER_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
