"""Reads from a replica of Postgres, for pages and running reports, whose data may be a few seconds old."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, text

from db.engine import SNAPSHOT_OPTIONS, snapshot
from db.failures import TRANSIENT_ERRORS
from db.pool import make_engine
from runtime.once import Once
from runtime.settings import settings

log = structlog.get_logger()

LATE_SECONDS: Final = 10.0
"""The replication lag in seconds above which pages read from the primary instead."""

LEFT_FOR_SECONDS: Final = 30.0
"""Seconds for which an unreachable or late replica stays unused."""

# The replication lag in seconds; null if unknown, because no primary is connected; 0 if the server is no replica.
BEHIND = text("""
    SELECT CASE
        WHEN NOT pg_is_in_recovery() THEN 0
        WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver) THEN NULL
        WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
        ELSE EXTRACT(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
    END
""")


class Replica:
    """A replica that is used while it is reachable and its lag is at most LATE_SECONDS."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(**SNAPSHOT_OPTIONS)
        self._not_before = 0.0

    def connection(self) -> Connection | None:
        """Opens a read-only connection that sees one state of the database; None if the replica is unreachable or late.

        After that, returns None for LEFT_FOR_SECONDS without connecting. A replica whose lag is unknown is late.
        """
        if time.monotonic() < self._not_before:
            return None
        connection = None
        try:
            connection = self._engine.connect()
            with connection.begin():
                behind = connection.scalar(BEHIND)
        except TRANSIENT_ERRORS as error:
            if connection is not None:
                connection.close()
            self._skip_for_a_while(error=type(error).__name__)
            return None
        if behind is not None and behind <= LATE_SECONDS:
            return connection
        connection.close()
        self._skip_for_a_while(seconds_behind=None if behind is None else round(float(behind), 1))
        return None

    def _skip_for_a_while(self, **why: object) -> None:
        self._not_before = time.monotonic() + LEFT_FOR_SECONDS
        log.warning("replica.left", for_seconds=LEFT_FOR_SECONDS, **why)


@Once
def replica() -> Replica | None:
    """The process's replica; None if REPLICA_DATABASE_URL is not set."""
    read = settings()
    url = read.replica_database_url
    return None if url is None else Replica(make_engine(url, pool_size=read.web_threads))


@contextmanager
def view() -> Iterator[Connection]:
    """A read-only connection that sees one state of the database, at most LATE_SECONDS old.

    Uses the replica, or the primary if there is no replica or it is unreachable or late.
    """
    configured = replica()
    connection = configured.connection() if configured else None
    with connection or snapshot() as reading:
        yield reading
