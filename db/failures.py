"""Failures of transactions: which are transient, which are timeouts, and which `committed` retries."""

from collections.abc import Callable, Iterable
from typing import Final

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from db.citus_errors import SHUTDOWN_STATES
from runtime.clock import ClockIsOff

Step = Callable[[Connection], object]
"""A function that does a part of a transaction's work on the connection; its result is ignored."""

RETRIED_STATES: Final = {"40P01": "deadlock", "40001": "serialization_failure"}
"""The reason of a retry in metrics, by the SQLSTATE after which Postgres rolled back and `committed` retries."""

LOCK_NOT_AVAILABLE: Final = "55P03"
TIMEOUT_STATES = frozenset({LOCK_NOT_AVAILABLE, "57014"})
"""SQLSTATEs of a lock timeout and a statement timeout."""


class StaleRead(Exception):
    """Data read before taking locks has changed since: `committed` rolls the transaction back and retries it.

    `first`: functions that `committed` runs before the retry, each in its own transaction. `beginning`: functions with
    which the transaction of the retry begins.
    """

    def __init__(self, reason: str, first: Iterable[Step] = (), beginning: Iterable[Step] = ()) -> None:
        super().__init__(reason)
        self.first = first
        self.beginning = beginning


TRANSIENT_ERRORS = (OperationalError, InterfaceError, psycopg.OperationalError, NoConnectionFree, StaleRead, ClockIsOff)
"""Errors that a later retry can avoid, such as an unreachable server or a timeout; never errors due to bad data."""

READ_ONLY = "25006"
"""The SQLSTATE of a write on a read-only server, as after a failover to another primary."""


def is_transient(error: BaseException) -> bool:
    """Whether a retry of the same work may succeed later."""
    is_read_only = isinstance(error, (DBAPIError, psycopg.Error)) and sql_state(error) == READ_ONLY
    return is_read_only or isinstance(error, TRANSIENT_ERRORS)


def is_unreachable(error: BaseException) -> bool:
    """Whether Postgres did not answer, ends its connections, or no connection of the pool became free.

    Other transactions would fail too.
    """
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError)):
        return sql_state(error) in {None, *SHUTDOWN_STATES}
    return isinstance(error, NoConnectionFree)


def is_timeout(error: DBAPIError | psycopg.Error) -> bool:
    """Whether the error is a lock timeout or a statement timeout."""
    return sql_state(error) in TIMEOUT_STATES


def retry_reason(error: DBAPIError | psycopg.Error | StaleRead) -> str:
    """The reason of a retry, as in metrics. `error` must be one for which `is_retried` is true."""
    return "stale_read" if isinstance(error, StaleRead) else RETRIED_STATES[sql_state(error) or ""]


def is_retried(error: DBAPIError | psycopg.Error | StaleRead) -> bool:
    """Whether `committed` retries the transaction after this error."""
    return isinstance(error, StaleRead) or sql_state(error) in RETRIED_STATES


def sql_state(error: DBAPIError | psycopg.Error) -> str | None:
    """The SQLSTATE of an error, five characters; None if the connection itself failed."""
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    return state if isinstance(state, str) else None
