"""The broker of every process: Redis or RabbitMQ, as BROKER_URL says, with all of its middleware."""

from functools import cache
from typing import Final

import dramatiq
from dramatiq import Middleware
from dramatiq.middleware import TimeLimit
from periodiq import PeriodiqMiddleware

from delivery.encoding import FastJSONEncoder
from delivery.middleware import (
    MAX_RETRIES,
    ContentLetGo,
    DeadLetters,
    LogContext,
    NoOrphans,
    PatientRetries,
    is_retried,
)
from delivery.queues import QUEUES
from delivery.rabbitmq.broker import SpendgateRabbitBroker
from delivery.redis.broker import SpendgateBroker
from delivery.suspects import SuspectMessages
from runtime.settings import SettingsError, settings

MIN_BACKOFF_MS: Final = 500
MAX_BACKOFF_MS: Final = 60_000
TIME_LIMIT_MS: Final = 600_000
A_YEAR_SECONDS: Final = 366 * 24 * 3600

suspects = SuspectMessages()


def middleware() -> list[Middleware]:
    """All of it, in order: nothing is added behind our back."""
    return [
        # memory: what was acknowledged is seen in the opposite order, by this one last
        ContentLetGo(),
        # delivery: first to see a message and last to leave it
        suspects,
        # bounds: far above what the database's own time-outs allow
        TimeLimit(time_limit=TIME_LIMIT_MS),
        # delivery
        PatientRetries(
            max_retries=MAX_RETRIES, min_backoff=MIN_BACKOFF_MS, max_backoff=MAX_BACKOFF_MS, retry_when=is_retried
        ),
        DeadLetters(),
        NoOrphans(),
        # heart-beat: a tick is never too old, because every job finds its own due work
        PeriodiqMiddleware(skip_delay=A_YEAR_SECONDS),
        # logs
        LogContext(),
    ]


@cache
def get_broker() -> SpendgateBroker | SpendgateRabbitBroker:
    """The process's broker, built at the first call. A bad setting raises SettingsError only when a message is sent."""
    dramatiq.set_encoder(FastJSONEncoder())
    broker = _chosen()
    for queue_name in sorted(QUEUES):
        broker.declare_queue(queue_name)
    dramatiq.set_broker(broker)
    return broker


def _chosen() -> SpendgateBroker | SpendgateRabbitBroker:
    try:
        url, is_rabbitmq = settings().queue_url, settings().queue_is_rabbitmq
    except SettingsError:
        return SpendgateBroker(None, middleware())
    return SpendgateRabbitBroker(str(url), middleware()) if is_rabbitmq else SpendgateBroker(url, middleware())
