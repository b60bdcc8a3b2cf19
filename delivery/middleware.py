"""Middleware for retries, dead letters, metrics, log context, freeing memory, and ending a worker without master."""

import multiprocessing
import os
import random
import signal
import threading
import time
from functools import partial
from typing import Any, Final

import redis
import structlog
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.common import current_millis
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Retries
from sqlalchemy.exc import DBAPIError

from db.failures import is_transient, is_unreachable, sql_state
from delivery import bundles, messages, ticks
from delivery.in_flight import KILL_AFTER_SECONDS
from delivery.queues import QUEUE_OF
from runtime import clock
from runtime.metrics import ENQUEUED, ENQUEUED_TO_COMMITTED_SECONDS, JOB_DONE, MESSAGE_RETRIES, MESSAGES, OTHER
from runtime.settings import settings

log = structlog.get_logger()

MAX_RETRIES: Final = 5
IDS_LOGGED: Final = 20
PARENT_POLL_SECONDS: Final = 1.0
BACKOFF_SECONDS: Final = 1.0
"""Longest backoff of a thread after a bundle failed with a transient error, or while Postgres is unreachable: its next
message would fail too. Meanwhile messages wait in their queue, instead of being delayed one by one."""

TRANSIENT_ERRORS: Final = (redis.RedisError, BrokerConnectionError, OSError)
NOT_MIGRATED_STATES: Final = frozenset({"42P01", "42703", "42883"})
"""SQLSTATEs of a missing table, column or function, which a new worker meets if it starts before the migration."""


def is_retried(retries: int, error: BaseException) -> bool:
    """Returns whether a message that failed with `error`, after `retries` retries, is retried.

    Always after a transient error, and while the database is not migrated yet; else at most MAX_RETRIES times.
    """
    not_migrated_yet = isinstance(error, DBAPIError) and sql_state(error) in NOT_MIGRATED_STATES
    return not_migrated_yet or is_transient(error) or isinstance(error, TRANSIENT_ERRORS) or retries < MAX_RETRIES


class LogContext(Middleware):
    """Adds the message's id and its actor to every log line written while the message is worked on.

    For a bundle: the number of its messages and the first IDS_LOGGED of their ids.
    """

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        if bundles.is_bundle(message):
            ids = message.options["message_ids"]
            fields: dict[str, Any] = {"messages": len(ids), "message_ids": ids[:IDS_LOGGED]}
        else:
            fields = {"message_id": message.message_id}
        structlog.contextvars.bind_contextvars(**fields, actor=message.actor_name)

    def after_process_message(self, *_: object, **__: object) -> None:
        structlog.contextvars.clear_contextvars()

    after_skip_message = after_process_message


class Metrics(Middleware):
    """Counts enqueued messages by actor, and messages worked on by actor and outcome.

    Also measures the time from the enqueue of spend until its commit, and records when each scheduled job succeeded.
    """

    def after_process_boot(self, broker: Broker) -> None:
        """Adds a sample of 0 for each scheduled job, so that an alert sees a job that was never done."""
        for name in filter(partial(ticks.schedule_of, broker), broker.actors):
            JOB_DONE.labels(name)

    def after_enqueue(self, _broker: Broker, message: Any, _delay: int | None) -> None:
        ENQUEUED.labels(_actor_label(message)).inc()

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,  # noqa: ARG002 - Dramatiq passes it by name
        exception: BaseException | None = None,
    ) -> None:
        outcome = "done" if exception is None else "failed"
        actor = _actor_label(message)
        if exception is None and ticks.schedule_of(broker, actor) is not None:
            JOB_DONE.labels(actor).set(clock.read().timestamp())
        MESSAGES.labels(actor, outcome).inc(len(message.options.get("message_ids", "1")))
        if exception is None and message.queue_name == bundles.QUEUE:
            seconds = (current_millis() - message.message_timestamp) / 1000
            ENQUEUED_TO_COMMITTED_SECONDS.observe(max(0.0, seconds))


def _actor_label(message: Any) -> str:
    name: str = message.actor_name
    return name if name in QUEUE_OF else OTHER


class DeadLetters(Middleware):
    """Keeps dead-lettered messages in Postgres as rejected inputs, with their last error."""

    def before_nack(self, _broker: Broker, message: MessageProxy) -> None:
        if not ({"kept", messages.POSTPONED} & message.options.keys() or bundles.is_bundle(message)):
            error = str(message.options.get("traceback", "")).strip().rpartition("\n")[2]
            message.options["kept"] = messages.keep("dead_letter", error[:500], message.asdict())


class SafeRetries(Retries):
    """Dead-letters a message whose retry cannot be enqueued; Dramatiq's middleware would acknowledge and lose it.

    The messages of a failed bundle return to the queue. While Postgres is unreachable, a thread backs off after each
    failure. A tick (a scheduler's message to a job) is not retried once the next one is due.
    """

    def after_process_message(self, broker: Broker, message: MessageProxy, **outcome: Any) -> None:
        error = outcome.get("exception")
        if bundles.is_bundle(message):
            if error is not None:
                _return_bundle(broker, message, error)
            return
        if ticks.IS_OVER in message.options:
            return
        if error is not None and is_unreachable(error):
            _back_off(broker)
        try:
            super().after_process_message(broker, message, **outcome)  # type: ignore[no-untyped-call]
        except Exception:
            log.exception("message.retry_not_enqueued")
            message.fail()
        if error is not None and not message.failed:
            MESSAGE_RETRIES.labels(_actor_label(message)).inc()


def _return_bundle(broker: Broker, bundle: MessageProxy, error: BaseException) -> None:
    """Marks the bundle as failed, so that the consumer returns its messages; backs off after a transient error."""
    has_transient_error = is_transient(error)
    log.warning("bundle.returned" if has_transient_error else "bundle.parted", error=type(error).__name__)
    bundle.options[bundles.IS_TRANSIENT] = has_transient_error
    bundle.fail()
    if has_transient_error:
        _back_off(broker)


def _back_off(broker: Broker) -> None:
    if not getattr(broker, "is_ending", False):
        time.sleep(random.uniform(0.5, 1) * BACKOFF_SECONDS)  # noqa: S311 - jitter


class FreePayloads(Middleware):
    """Frees a message's payload after its ack or nack, because an idle Dramatiq thread keeps its last message."""

    def after_ack(self, _broker: Broker, message: MessageProxy) -> None:
        message._message = message._message.copy(args=(), kwargs={})

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        self.after_ack(broker, message)


class ExitWithMaster(Middleware):
    """Ends a worker process when its master has died: by SIGTERM, after the shutdown timeout by SIGKILL."""

    def __init__(self) -> None:
        # Our master makes this before it forks, so this process is the master; Dramatiq's workers make one each.
        parent = multiprocessing.parent_process()
        self._master = os.getpid() if parent is None else parent.pid

    def after_process_boot(self, _broker: Broker) -> None:
        threading.Thread(target=self._watch, args=(self._master,), name="parent-watch", daemon=True).start()

    @staticmethod
    def _watch(master: int) -> None:
        while os.getppid() == master:
            time.sleep(PARENT_POLL_SECONDS)
        log.warning("worker.orphaned", master=master)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(settings().shutdown_seconds + KILL_AFTER_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
