"""The way to a replica of Postgres, for pages and running reports, which may be a few seconds old."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, text

from db.engine import OF_ONE_MOMENT, PASSING_FAULTS, make_engine, snapshot
from runtime.settings import settings

log = structlog.get_logger()

LATE_SECONDS: Final = 10.0
"""A replica this far behind tells people too little of what goes on."""

LEFT_FOR_SECONDS: Final = 30.0

# How many seconds it is behind; null where it hears nothing from the primary, so that nobody can tell. A server that is
# no replica is behind nobody.
BEHIND = text("""
    SELECT CASE
        WHEN NOT pg_is_in_recovery() THEN 0
        WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver) THEN NULL
        WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
        ELSE EXTRACT(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
    END
""")


class Replica:
    """Where to look while it keeps up; one that is away or late is left alone for a while."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(**OF_ONE_MOMENT)
        self._not_before = 0.0

    def connection(self) -> Connection | None:
        """A read-only view of one moment; None where the primary must be asked."""
        if time.monotonic() < self._not_before:
            return None
        try:
            connection = self._engine.connect()
            with connection.begin():
                behind = connection.scalar(BEHIND)
        except PASSING_FAULTS as error:
            self._leave(error=type(error).__name__)
            return None
        if behind is not None and behind <= LATE_SECONDS:
            return connection
        connection.close()
        self._leave(seconds_behind=None if behind is None else round(float(behind), 1))
        return None

    def _leave(self, **why: object) -> None:
        self._not_before = time.monotonic() + LEFT_FOR_SECONDS
        log.warning("replica.left", for_seconds=LEFT_FOR_SECONDS, **why)


@lru_cache(maxsize=1)
def replica() -> Replica | None:
    """The process's replica, where REPLICA_DATABASE_URL names one."""
    read = settings()
    url = read.replica_database_url
    return None if url is None else Replica(make_engine(url, pool_size=read.web_threads))


@contextmanager
def view() -> Iterator[Connection]:
    """A read-only view of one moment, a few seconds old at most: by the replica, or by the primary without one."""
    found = replica()
    connection = found.connection() if found else None
    with connection or snapshot() as seen:
        yield seen
