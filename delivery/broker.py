"""Creates the broker of a process, with its middleware: Redis or RabbitMQ at BROKER_URL, or else Redis at REDIS_URL."""

from functools import cache
from typing import Final

import dramatiq
from dramatiq import Middleware
from dramatiq.middleware import TimeLimit
from periodiq import PeriodiqMiddleware

from delivery.encoding import FastJSONEncoder
from delivery.middleware import (
    MAX_RETRIES,
    DeadLetters,
    ExitWithMaster,
    FreePayloads,
    LogContext,
    Metrics,
    SafeRetries,
    is_retried,
)
from delivery.queues import QUEUES
from delivery.rabbitmq.broker import SpendgateRabbitBroker
from delivery.redis.broker import SpendgateBroker
from delivery.suspects import SuspectMessages
from delivery.ticks import Ticks
from delivery.traced import Traced
from runtime.settings import SettingsError, settings

MIN_BACKOFF_MS: Final = 500
"""Base of the backoff before the first retry, in milliseconds, of all actors; Dramatiq adds up to as much again."""
MAX_BACKOFF_MS: Final = 60_000
TIME_LIMIT_MS: Final = 600_000
A_YEAR_SECONDS: Final = 366 * 24 * 3600

suspects = SuspectMessages()


def middleware(*, is_traced: bool = False) -> list[Middleware]:
    """Returns all middleware of the broker, in order; Dramatiq adds none. `is_traced`: with `Traced`, for spans."""
    return [
        # memory: "after" hooks run in reverse order, so this one runs last and frees the payload
        FreePayloads(),
        # delivery: first before a message and last after it
        suspects,
        # time limit: far above the database's timeouts
        TimeLimit(time_limit=TIME_LIMIT_MS),
        # delivery
        SafeRetries(
            max_retries=MAX_RETRIES, min_backoff=MIN_BACKOFF_MS, max_backoff=MAX_BACKOFF_MS, retry_when=is_retried
        ),
        DeadLetters(),
        ExitWithMaster(),
        # schedule: a late tick is skipped only if a run covers it, because every job finds its due work itself
        PeriodiqMiddleware(skip_delay=A_YEAR_SECONDS),
        Ticks(),
        # traces, logs and metrics
        *([Traced()] if is_traced else []),
        LogContext(),
        Metrics(),
    ]


@cache
def get_broker() -> SpendgateBroker | SpendgateRabbitBroker:
    """Returns the broker of the process, created at the first call.

    With a bad or missing setting the broker can declare actors, and raises SettingsError when it sends.
    """
    dramatiq.set_encoder(FastJSONEncoder())
    broker = _configured_broker()
    for queue_name in sorted(QUEUES):
        broker.declare_queue(queue_name)
    dramatiq.set_broker(broker)
    return broker


def _configured_broker() -> SpendgateBroker | SpendgateRabbitBroker:
    try:
        read = settings()
    except SettingsError:
        return SpendgateBroker(None, middleware())
    used = middleware(is_traced=read.tracing)
    if read.queue_is_rabbitmq:
        return SpendgateRabbitBroker(str(read.queue_url), used)
    return SpendgateBroker(read.queue_url, used)
