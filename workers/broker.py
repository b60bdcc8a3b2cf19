"""The Redis broker of every process, its middleware, and what becomes of a message that cannot be worked on."""

import json
import os
import time
import uuid
from dataclasses import replace
from typing import Any, Final

import dramatiq
import redis
import structlog
from dramatiq import Broker, Message, MessageProxy, Middleware
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import compute_backoff, current_millis
from dramatiq.errors import BrokerConnectionError, DecodeError
from dramatiq.middleware import Retries, TimeLimit
from periodiq import PeriodiqMiddleware
from sqlalchemy.exc import DBAPIError

from db.engine import PASSING_FAULTS, sql_state, transaction
from db.repository import rejected
from runtime import clock
from runtime.settings import SettingsError, settings

log = structlog.get_logger()

MAX_RETRIES: Final = 5
MIN_BACKOFF_MS: Final = 500
MAX_BACKOFF_MS: Final = 60_000
TIME_LIMIT_MS: Final = 600_000
HEARTBEAT_TIMEOUT_MS: Final = 20_000
ALWAYS: Final = 1_000_000
DELAYED: Final = ".DQ"
A_YEAR_SECONDS: Final = 366 * 24 * 3600
WAITED_OUT: Final = (*PASSING_FAULTS, redis.RedisError, OSError)
NOT_MIGRATED_STATES: Final = frozenset({"42P01", "42703", "42883"})
"""A table, column or function that is not there: a worker of the new version started before the migration."""

OPTION_TYPES: Final = {"redis_message_id": str, "eta": int, "retries": int, "traceback": str, "requeue_timestamp": int}
"""The options a message may carry, and what each must be: another program may write anything there."""


def is_retried(retries: int, error: BaseException) -> bool:
    """A fault that passes is waited out however long it takes; any other error gets MAX_RETRIES more tries."""
    not_migrated_yet = isinstance(error, DBAPIError) and sql_state(error) in NOT_MIGRATED_STATES
    return not_migrated_yet or isinstance(error, WAITED_OUT) or retries < MAX_RETRIES


class LogContext(Middleware):
    """Binds the message and its actor to every line logged while the message is worked on."""

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        structlog.contextvars.bind_contextvars(message_id=message.message_id, actor=message.actor_name)

    def after_process_message(self, *_: object, **__: object) -> None:
        structlog.contextvars.clear_contextvars()

    after_skip_message = after_process_message


class DeadLetters(Middleware):
    """Keeps in Postgres what Redis would forget after a week."""

    def before_nack(self, _broker: Broker, message: MessageProxy) -> None:
        error = str(message.options.get("traceback", "")).strip().rpartition("\n")[2]
        keep_message("dead_letter", error[:500], message.asdict())


class PatientRetries(Retries):
    """Dead-letters a message whose retry cannot be enqueued: the stock middleware would let it be acknowledged."""

    def after_process_message(self, broker: Broker, message: MessageProxy, **outcome: Any) -> None:
        try:
            super().after_process_message(broker, message, **outcome)  # type: ignore[no-untyped-call]
        except redis.RedisError:
            log.exception("message.retry_not_enqueued")
            message.fail()


class SpendgateConsumer(_RedisConsumer):
    """Sets aside what is no message, where the stock consumer leaves it, and its neighbours, stuck.

    After a lost connection Dramatiq starts a consumer anew and forgets what the last one held. What Redis still has
    down as this process's goes back to the queue then: what is done twice is counted once.
    """

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        try:
            forgotten = broker.client.smembers(self._fetched_key())
            if forgotten:
                broker.do_requeue(queue_name, *forgotten)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise BrokerConnectionError(str(error)) from None  # type: ignore[no-untyped-call]

    def _fetched_key(self) -> str:
        return f"{self.broker.namespace}:__acks__.{self.broker.broker_id}.{self.queue_name}"

    def __next__(self) -> MessageProxy | None:
        try:
            while (data := self._next_data()) is not None:
                message = self._workable(data)
                if message is not None:
                    self.queued_message_ids.add(message.message_id)
                    return MessageProxy(message)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise BrokerConnectionError(str(error)) from None  # type: ignore[no-untyped-call]
        return None

    def _next_data(self) -> bytes | None:
        """The next prefetched message; None, after a pause that grows with every miss, where there is none."""
        room = self.prefetch - self.outstanding_message_count
        if not self.message_cache and room > 0:
            fetched = self.broker.do_fetch(self.queue_name, room)
            self.message_cache = [data for data in fetched if data is not None]
        if self.message_cache:
            self.misses = 0
            data: bytes = self.message_cache.pop(0)
            return data
        self.misses, pause_ms = compute_backoff(self.misses, max_backoff=self.timeout)
        time.sleep(pause_ms / 1000)
        return None

    def _workable(self, data: bytes) -> Message[Any] | None:
        """The message in `data` with the options we know; None, and the data set aside, where there is none."""
        try:
            message = Message.decode(data)
        except (DecodeError, TypeError, ValueError, RecursionError):
            self._set_aside(data, "undecodable")
            return None
        fault = self._fault(message)
        if fault is not None:
            self._set_aside(data, fault)
            return None
        return replace(message, options=self._sound_options(message.options))

    def _sound_options(self, options: dict[str, Any]) -> dict[str, Any]:
        sound: dict[str, Any] = {
            name: value for name, value in options.items() if type(value) is OPTION_TYPES.get(name)
        }
        if sound.get("retries", 0) < 0:
            del sound["retries"]
        if not self.queue_name.endswith(DELAYED):
            sound.pop("eta", None)
        elif "eta" in sound:
            sound["eta"] = min(sound["eta"], current_millis() + MAX_BACKOFF_MS)
        return sound

    def _fault(self, message: Any) -> str | None:
        shaped = (
            isinstance(message.options, dict)
            and isinstance(message.options.get("redis_message_id"), str)
            and isinstance(message.kwargs, dict)
            and isinstance(message.args, tuple)
            and isinstance(message.message_id, str)
            and isinstance(message.actor_name, str)
            and message.queue_name == self.queue_name
        )
        if not shaped:
            return "unknown_shape"
        return None if message.actor_name in self.broker.actors else "unknown_actor"

    def _set_aside(self, data: bytes, reason: str) -> None:
        """Keeps the bytes in Postgres and dead-letters them in Redis, by the id under which they lie there."""
        text = data.decode("utf-8", "backslashreplace")
        try:
            payload = json.loads(text)
        except (ValueError, RecursionError):
            payload = text
        keep_message(reason, f"{len(text)} characters on queue {self.queue_name}", payload)
        log.warning("message.set_aside", reason=reason, queue=self.queue_name, characters=len(text))
        redis_id = self._redis_id_of(data)
        if redis_id is not None:
            self.broker.do_nack(self.queue_name, redis_id)

    def _redis_id_of(self, data: bytes) -> bytes | None:
        namespace, queue, client = self.broker.namespace, self.queue_name, self.broker.client
        fetched = client.smembers(self._fetched_key())
        return next((key for key in fetched if client.hget(f"{namespace}:{queue}.msgs", key) == data), None)


class SpendgateBroker(RedisBroker):
    """Redis with the consumer above. Without a REDIS_URL it can declare actors, and says so when asked to send."""

    def __init__(self, url: str | None, middleware: list[Middleware]) -> None:
        self.has_url = url is not None
        os.register_at_fork(after_in_child=self._become_another)
        super().__init__(  # type: ignore[no-untyped-call]
            url=url or "redis://127.0.0.1:0",
            middleware=middleware,
            maintenance_chance=0,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        )

    def _become_another(self) -> None:
        """What a process fetched lies in Redis under its broker's id: forked processes must not share one."""
        self.broker_id = str(uuid.uuid4())

    @property
    def consumer_class(self) -> type[SpendgateConsumer]:
        return SpendgateConsumer

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        if not self.has_url:
            settings().required_redis_url()
        return super().enqueue(message, delay=delay)


def keep_message(reason: str, detail: str, payload: object) -> None:
    """Keeps a message that cannot be worked on. Where Postgres will not, Redis does for a week."""
    try:
        with transaction() as connection:
            rejected.keep_message(connection, reason, detail, payload, clock.now())
    except (DBAPIError, *WAITED_OUT):
        log.exception("message.not_kept", reason=reason)


def middleware() -> list[Middleware]:
    """All of it, in order: nothing is added behind our back."""
    return [
        # bounds: far above what the database's own time-outs allow
        TimeLimit(time_limit=TIME_LIMIT_MS),
        # delivery
        PatientRetries(
            max_retries=MAX_RETRIES, min_backoff=MIN_BACKOFF_MS, max_backoff=MAX_BACKOFF_MS, retry_when=is_retried
        ),
        DeadLetters(),
        # heart-beat: a tick is never too old, because every job finds its own due work
        PeriodiqMiddleware(skip_delay=A_YEAR_SECONDS),
        # logs
        LogContext(),
    ]


def _redis_url() -> str | None:
    """The URL where there is one; a bad setting is told, in one line, by whoever comes to use the broker."""
    try:
        return settings().redis_url
    except SettingsError:
        return None


broker = SpendgateBroker(_redis_url(), middleware())
dramatiq.set_broker(broker)
