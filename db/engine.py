"""The way to Postgres: one engine a process, one transaction a use case, bounded in time."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from typing import Any, Final, TypeVar, cast

import psycopg
import structlog
from sqlalchemy import Connection, Dialect, Engine, TextClause, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.pool import ConnectionPoolEntry

from runtime.settings import settings

log = structlog.get_logger()

Result = TypeVar("Result")

MAX_TRIES = 6
USED_AT: Final = "used_at"
UNSENT: Final = "unsent"
"""The option of a connection that says what goes to Postgres with what is first `fetched`."""
AFTER_COMMIT: Final = "after_commit"
"""The option of a connection that says what is called after its commit."""

OF_ONE_MOMENT: Final[dict[str, Any]] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
RETRIED_STATES = frozenset({"40P01", "40001"})
"""Deadlock and serialization failure: the transaction is gone, the work may be done again."""

LOCK_NOT_AVAILABLE: Final = "55P03"
HELD_UP_STATES = frozenset({LOCK_NOT_AVAILABLE, "57014"})
"""A lock not had in time, a statement not done in time: somebody else's transaction, or too much work."""


SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :milliseconds, true)")

# Of a transaction so small that to plan its statements for its parameters costs more than such plans spare.
SET_FOR_SMALL = text("""
    SELECT set_config('lock_timeout', :milliseconds, true), set_config('plan_cache_mode', 'force_generic_plan', true)
""")


class Stale(Exception):
    """What was read before the locks no longer holds: the transaction must be done again.

    `first`: what `committed` commits before that, each in a transaction of its own.
    """

    def __init__(self, reason: str, first: Iterable[Callable[[Connection], object]] = ()) -> None:
        super().__init__(reason)
        self.first = first


PASSING_FAULTS = (OperationalError, InterfaceError, psycopg.OperationalError, NoConnectionFree, Stale)
"""Faults that pass: a server away, a lock held too long. The work may be done again later; bad data may not."""

READ_ONLY = "25006"
"""The server takes no writes: it was a replica until now, or is none of ours to write to any more."""


def make_engine(url: str, *, pool_size: int) -> Engine:
    """An engine whose every connection gives up rather than wait for ever."""
    read = settings()
    limits = {
        "statement_timeout": f"{read.statement_timeout_ms}ms",
        "lock_timeout": f"{read.lock_timeout_ms}ms",
        "idle_in_transaction_session_timeout": "60s",
        "client_connection_check_interval": "1s",
        "timezone": "UTC",
    }
    made = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=2,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
            "application_name": "spendgate",
            "connect_timeout": 10,
        },
    )
    event.listen(made, "checkin", _note_the_time)
    event.listen(made, "checkout", partial(_look_whether_alive, made.dialect))
    event.listen(made, "before_cursor_execute", _send_settings_first)
    return made


class Trust:
    """For how long after its use a connection is taken for alive by `committed`: not at all, but in a worker.

    There all that is committed is done again where its connection was dead.
    """

    seconds = 0.0
    is_given: Final = ContextVar("is_given", default=False)


def _note_the_time(_driver: Any, record: ConnectionPoolEntry) -> None:
    record.info[USED_AT] = time.monotonic()


def _look_whether_alive(dialect: Dialect, driver: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """A connection that lay idle may be dead, and all others with it; one just used is hardly worth a round trip."""
    used_at = record.info.get(USED_AT)
    trusted_seconds = Trust.seconds if Trust.is_given.get() else 0
    if used_at is None or (time.monotonic() - used_at < trusted_seconds and not driver.closed):
        return
    try:
        dialect.do_ping(driver)
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def _send_settings_first(connection: Connection, *_: Any) -> None:
    """What goes by itself may wait for a lock too."""
    if connection.get_execution_options().get(UNSENT):
        fetched(connection)


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The process's engine, made at first use, so that each forked worker has its own; it connects as it needs to."""
    read = settings()
    return make_engine(read.required_database_url(), pool_size=max(read.worker_threads, read.web_threads) + 1)


@contextmanager
def transaction() -> Iterator[Connection]:
    """One transaction: the only place that commits."""
    with engine().begin() as connection:
        yield connection
    for call in connection.get_execution_options().get(AFTER_COMMIT, ()):
        call()


def after_commit(connection: Connection, call: Callable[[], object]) -> None:
    """Has `call` made once this `transaction` is committed; it must not raise. After a rollback it is not made."""
    calls = connection.get_execution_options().get(AFTER_COMMIT, ())
    connection.execution_options(**{AFTER_COMMIT: (*calls, call)})


@contextmanager
def snapshot() -> Iterator[Connection]:
    """A read-only view of one moment, for checks that compare tables with each other."""
    with engine().connect().execution_options(**OF_ONE_MOMENT) as connection:
        yield connection


def driver_of(connection: Connection) -> Any:
    """The driver's own connection, for what SQLAlchemy does not offer, with the settings of the transaction."""
    _send_settings_first(connection)
    return _driver_of(connection)


def _driver_of(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a live connection has its driver's
    return driver


Query = tuple[TextClause, Mapping[str, object]]


def fetched(connection: Connection, *queries: Query) -> list[list[tuple[Any, ...]]]:
    """The rows of each query. All go to Postgres in one trip, past SQLAlchemy, which would wait for each.

    What the first of them to fail says is raised as SQLAlchemy would raise it.
    """
    driver = _driver_of(connection)
    settings_unsent: list[Query] = connection.get_execution_options().get(UNSENT, [])
    first = [settings_unsent.pop()] if settings_unsent else []
    try:
        with driver.pipeline() if first or len(queries) > 1 else nullcontext():
            cursors = [driver.execute(_for_driver(sql, connection.dialect), told) for sql, told in (*first, *queries)]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors[len(first) :]]
    except psycopg.Error as error:
        raise DBAPIError.instance(None, None, error, psycopg.Error, dialect=connection.dialect) from error


@cache
def _for_driver(statement: TextClause, dialect: Dialect) -> bytes:
    return str(statement.compile(dialect=dialect)).encode()


def committed(
    work: Callable[[Connection], Result], lock_timeout_ms: int | None = None, *, is_small: bool = False
) -> Result:
    """Runs `work` in a transaction, again after a deadlock, a serialization failure or a stale read.

    `lock_timeout_ms`: how long it waits for each lock; None: as long as every connection does. `is_small`: it is about
    a few rows, for which any plan of its statements is good. Raises what the last of MAX_TRIES raised.
    """
    once = partial(_committed_once, work, lock_timeout_ms, is_small)
    for attempt in range(1, MAX_TRIES):
        try:
            return once()
        except (DBAPIError, psycopg.Error, Stale) as error:
            if not _is_retried(error):
                _look_for_another_server(error)
                raise
            log.info("transaction.retried", attempt=attempt, error=type(error).__name__)
            for work_before in error.first if isinstance(error, Stale) else ():
                _committed_once(work_before, lock_timeout_ms, is_small=False)
            if attempt > 1:
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, no secret
    return once()


class _Undone(Exception):
    """Carries the result of work out of the transaction that it rolls back."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


def rehearsed(work: Callable[[Connection], Result]) -> Result:
    """Runs `work` as `committed` does, undoes it, and returns its result: a dry run is what would happen.

    The locks that it takes are held until it is undone.
    """

    def undo(connection: Connection) -> None:
        raise _Undone(work(connection))

    try:
        committed(undo)
    except _Undone as undone:
        result: Any = undone.result
        return cast("Result", result)
    raise AssertionError("work that is undone always raises")


def _committed_once(work: Callable[[Connection], Result], lock_timeout_ms: int | None, is_small: bool) -> Result:
    with _trusted_transaction() as connection:
        if lock_timeout_ms is not None:
            setting = SET_FOR_SMALL if is_small else SET_LOCK_TIMEOUT
            connection.execution_options(**{UNSENT: [(setting, {"milliseconds": str(lock_timeout_ms)})]})
        return work(connection)


@contextmanager
def _trusted_transaction() -> Iterator[Connection]:
    given = Trust.is_given.set(True)
    try:
        with transaction() as connection:
            yield connection
    finally:
        Trust.is_given.reset(given)


def _look_for_another_server(error: DBAPIError | psycopg.Error | Stale) -> None:
    """After a server that takes no writes, the next connections go wherever the URL leads by then."""
    if not isinstance(error, Stale) and sql_state(error) == READ_ONLY:
        engine().dispose()


def is_transient(error: BaseException) -> bool:
    """Whether a fault passes, so that the same work may succeed later."""
    is_read_only = isinstance(error, (DBAPIError, psycopg.Error)) and sql_state(error) == READ_ONLY
    return is_read_only or isinstance(error, PASSING_FAULTS)


def is_held_up(error: DBAPIError | psycopg.Error) -> bool:
    """Whether the work failed only because it had to wait, for a lock or for itself."""
    return sql_state(error) in HELD_UP_STATES


def _is_retried(error: DBAPIError | psycopg.Error | Stale) -> bool:
    return isinstance(error, Stale) or sql_state(error) in RETRIED_STATES


def sql_state(error: DBAPIError | psycopg.Error) -> str | None:
    """The five characters by which Postgres names an error, None where the connection itself failed."""
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    return state if isinstance(state, str) else None
