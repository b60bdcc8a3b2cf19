"""What happens around each message: retries that lose nothing, dead letters, suspects, logs."""

import multiprocessing
import os
import random
import signal
import threading
import time
from typing import Any, Final

import redis
import structlog
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Retries
from sqlalchemy.exc import DBAPIError

from db.engine import is_transient, sql_state
from delivery import bundles, messages
from delivery.in_flight import KILL_AFTER_SECONDS
from runtime.settings import settings

log = structlog.get_logger()

MAX_RETRIES: Final = 5
IDS_LOGGED: Final = 20
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
