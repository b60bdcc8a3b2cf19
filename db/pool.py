"""Pools of connections to Postgres: timeouts of each connection, and a ping before a pooled one is used again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import psycopg
from sqlalchemy import Dialect, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, Pool, QueuePool

from db import transaction_settings
from db.connections import OVERFLOW
from runtime.settings import settings

USED_AT: Final = "used_at"
"""The key of a pooled connection's info with the monotonic time of its last use."""


class PingGrace:
    """How long after its last use a pooled connection may be used without a ping, which saves a round trip.

    `seconds`: set by workers, which retry work whose connection was dead; 0 in all other processes. It applies only
    inside `allowed`, because other code of the process does not retry.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._is_allowed: ContextVar[bool] = ContextVar("is_allowed", default=False)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Applies the grace to the connections that the block takes from the pool."""
        token = self._is_allowed.set(True)
        try:
            yield
        finally:
            self._is_allowed.reset(token)

    def seconds_here(self) -> float:
        """The seconds of grace for the current code: 0 outside `allowed`."""
        return self.seconds if self._is_allowed.get() else 0.0


ping_grace: Final = PingGrace()
"""The PingGrace of this process. Workers set its `seconds`; elsewhere, and outside `allowed`, every use is pinged."""


VANISHED: Final = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""libpq's parameters that end a connection some 20 to 25 seconds after its server disappeared without closing it.

With the defaults of Linux, a thread that waits for such a server's answer would wait for two hours.
"""


def make_engine(url: str, *, pool_size: int, pool_class: type[Pool] = QueuePool) -> Engine:
    """An engine whose connections have timeouts for statements, locks and idle transactions, and use UTC.

    `pool_size`: the most connections that a QueuePool keeps open; pools of other classes ignore it.
    """
    of_queue = {"pool_size": pool_size, "max_overflow": OVERFLOW, "pool_use_lifo": True}
    made = create_engine(
        url,
        poolclass=pool_class,
        **(of_queue if pool_class is QueuePool else {}),
        hide_parameters=True,
        connect_args={
            "options": transaction_settings.start_options(),
            "application_name": "spendgate",
            "connect_timeout": 10,
            **VANISHED,
        },
    )
    event.listen(made, "connect", transaction_settings.note_pooler)
    event.listen(made, "begin", transaction_settings.set_for_reading)
    event.listen(made, "checkin", _record_use)
    event.listen(made, "checkout", partial(_ping_unless_just_used, made.dialect))
    return made


def unpooled_engine() -> Engine:
    """An engine for work of the tables' owner, such as migrations, at DATABASE_URL.

    It has no pool, prepares no statements, and sets no timeouts for statements and locks.
    """
    url = settings().required_database_url()
    return create_engine(url, poolclass=NullPool, connect_args={"prepare_threshold": None, **VANISHED})


def _record_use(_driver: Any, record: ConnectionPoolEntry) -> None:
    record.info[USED_AT] = time.monotonic()


def _ping_unless_just_used(dialect: Dialect, driver: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Pings a pooled connection that was not used within `ping_grace`. Raises InvalidatePoolError if it is dead.

    The pool then replaces all its connections.
    """
    used_at = record.info.get(USED_AT)
    if used_at is None or (time.monotonic() - used_at < ping_grace.seconds_here() and not driver.closed):
        return
    try:
        dialect.do_ping(driver)
    except psycopg.Error as error:
        raise InvalidatePoolError from error
