"""Transactions of Postgres: one engine per process, one transaction per use case, few round trips, retries."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
import psycopg.pq
import structlog
from sqlalchemy import Connection, Engine, ExceptionContext, TextClause, event, text
from sqlalchemy.exc import DBAPIError

from db import traced
from db.citus_errors import REFUSED, in_place_of, of_sqlalchemy, translated
from db.connections import pool_size, this_process
from db.failures import READ_ONLY, StaleRead, Step, is_retried, retry_reason, sql_state
from db.local_settings import has_citus, local_setting
from db.pool import make_engine, ping_grace
from db.statements import for_citus, for_driver
from db.transaction_settings import queries_that_set_here, queries_that_set_shards
from runtime.backoff import pause_seconds
from runtime.metrics import CONNECTIONS_ALLOWED, CONNECTIONS_IN_USE, TRANSACTION_RETRIES
from runtime.once import Once
from runtime.settings import settings

log = structlog.get_logger()

Result = TypeVar("Result")
Query = tuple[TextClause, Mapping[str, object]]

MAX_TRIES = 6
"""Most attempts of `committed` at one transaction."""

FIRST_PAUSE_SECONDS: Final = 0.02
"""Base of the backoff, in seconds: `committed` doubles it with each failed attempt, up to LONGEST_PAUSE_SECONDS."""

LONGEST_PAUSE_SECONDS: Final = 1.0
"""Longest backoff, in seconds, between two attempts of `committed`; there is none before the second attempt."""

BEGINNING: Final = "beginning"
"""The connection option with the queries that begin its transaction, until its first round trip sends them."""

SHARD_SETTINGS: Final = "shard_settings"
"""The connection option with the settings that shards of Citus need, until the first round trip that may reach them."""

DEFERRED: Final = "deferred"
"""The connection option with the queries that its next round trip, or its COMMIT, sends along."""

AFTER_COMMIT: Final = "after_commit"
"""The connection option with the functions to call after the commit."""

SNAPSHOT_OPTIONS: Final[dict[str, Any]] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


BEGIN = text("BEGIN")
COMMIT = text("COMMIT")

# For a transaction of few rows: a generic plan is good enough, and planning for its parameters would cost more.
SET_FOR_SMALL = text("""
    SELECT set_config('lock_timeout', :milliseconds, true), set_config('plan_cache_mode', 'force_generic_plan', true)
""")


def _send_unsent(connection: Connection) -> None:
    options = connection.get_execution_options()
    if any(options.get(unsent) for unsent in (BEGINNING, SHARD_SETTINGS, DEFERRED)):
        query_pipelined(connection)


def _before_statement(
    connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    """Sends BEGIN, settings and deferred queries before a statement that does not go through `query_pipelined`.

    Returns the statement, in the form for Citus if the server has it, and its parameters.
    """
    _send_unsent(connection)
    return for_citus(statement) if has_citus(connection) else statement, parameters


def _end_after_refusal(failure: ExceptionContext) -> None:
    """Lets SQLAlchemy close the connection after an error that spoilt its session."""
    if failure.connection is not None and _has_spoilt(failure.connection, failure.original_exception):
        failure.is_disconnect = True
        failure.invalidate_pool_on_disconnect = False


def _has_spoilt(connection: Connection, error: BaseException) -> bool:
    """Whether the session is of no use after the error.

    A session of Citus that refused to plan a statement may run all later functions of shards on the coordinator.
    """
    return isinstance(error, psycopg.Error) and error.sqlstate == REFUSED and has_citus(connection)


@Once
def engine() -> Engine:
    """The process's engine, created at first use so that each forked worker has its own. Connects on demand."""
    read = settings()
    size = pool_size(this_process.kind, read)
    made = make_engine(read.required_database_url(), pool_size=size)
    CONNECTIONS_ALLOWED.set(size)
    event.listen(made, "before_cursor_execute", _before_statement, retval=True)
    event.listen(made, "handle_error", in_place_of)
    event.listen(made, "handle_error", _end_after_refusal)
    traced.trace_statements(made)
    event.listen(made, "checkout", lambda *_: CONNECTIONS_IN_USE.inc())
    event.listen(made, "checkin", lambda *_: CONNECTIONS_IN_USE.dec())
    return made


@contextmanager
def transaction() -> Iterator[Connection]:
    """A transaction that commits at the end of the block and rolls back on an exception.

    All commits on the connections of `engine` go through it. BEGIN goes to Postgres with the first query, COMMIT with
    the deferred queries: neither costs a round trip of its own.
    """
    with engine().connect() as connection, _in_autocommit(connection), connection.begin():
        connection.execution_options(**{BEGINNING: [], SHARD_SETTINGS: [], DEFERRED: []})
        _begin_with(connection)
        yield connection
        _commit(connection)
    for call in connection.get_execution_options().get(AFTER_COMMIT, ()):
        call()


def _begin_with(connection: Connection, lock_timeout_ms: int | None = None) -> None:
    """Queues BEGIN and the transaction's settings, with `lock_timeout_ms` or, if None, SPENDGATE_LOCK_TIMEOUT_MS."""
    options = connection.get_execution_options()
    options[BEGINNING][:] = [(BEGIN, {}), *queries_that_set_here(connection, lock_timeout_ms)]
    options[SHARD_SETTINGS][:] = queries_that_set_shards(connection, lock_timeout_ms)


@contextmanager
def _in_autocommit(connection: Connection) -> Iterator[None]:
    """Keeps psycopg in autocommit, so that it does not send BEGIN and COMMIT in round trips of their own.

    At the end of the block turns autocommit off, or discards a connection whose transaction is still open.
    """
    driver = _driver_of(connection)
    driver.autocommit = True
    try:
        yield
    finally:
        if driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            driver.autocommit = False
        elif not connection.invalidated:
            connection.invalidate()


def _commit(connection: Connection) -> None:
    """Sends the deferred queries and COMMIT. Raises RuntimeError for a failed transaction.

    Sends nothing if no query of the transaction was sent and none is deferred. Postgres answers COMMIT of a failed
    transaction with a rollback and no error.
    """
    status = _driver_of(connection).info.transaction_status
    if status == psycopg.pq.TransactionStatus.INERROR:
        raise RuntimeError("an error in this transaction was ignored, so it cannot be committed")
    has_begun = status != psycopg.pq.TransactionStatus.IDLE
    options = connection.get_execution_options()
    if options[DEFERRED] or has_begun:
        if not options[DEFERRED]:
            options[BEGINNING].clear()
            options[SHARD_SETTINGS].clear()
        query_pipelined(connection, (COMMIT, {}))


def deferred(connection: Connection, *queries: Query, come_first: bool = False) -> None:
    """Queues queries whose rows are not needed; sends them with the transaction's next round trip, or with COMMIT.

    Errors of these queries are raised then. `come_first`: the new queries go before queries that are queued already.
    """
    queued = connection.get_execution_options()[DEFERRED]
    queued[:] = (*queries, *queued) if come_first else (*queued, *queries)


def before_next(connection: Connection, *queries: Query) -> None:
    """Queues queries that only later queries need, such as settings; never sends them if only COMMIT follows."""
    connection.get_execution_options()[BEGINNING].extend(queries)


def after_commit(connection: Connection, call: Callable[[], object]) -> None:
    """Registers a function to call after the current transaction commits, not after a rollback. It must not raise."""
    calls = connection.get_execution_options().get(AFTER_COMMIT, ())
    connection.execution_options(**{AFTER_COMMIT: (*calls, call)})


@contextmanager
def snapshot() -> Iterator[Connection]:
    """A connection in a read-only transaction that sees one state of the database, for checks that compare tables."""
    with engine().connect().execution_options(**SNAPSHOT_OPTIONS) as connection:
        yield connection


def driver_of(connection: Connection) -> Any:
    """Sends all queued queries and returns the psycopg connection below SQLAlchemy's, such as for COPY."""
    _send_unsent(connection)
    return _driver_of(connection)


def _driver_of(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a live connection has its driver's
    return driver


def query_pipelined(connection: Connection, *queries: Query, sets_shards: bool = True) -> list[list[tuple[Any, ...]]]:
    """Sends the queued queries and `queries` to Postgres in one round trip.

    Returns the list of rows of each query in `queries`. Raises the first error as SQLAlchemy would. Uses psycopg
    directly, because SQLAlchemy waits for each result. With `sets_shards` False, the queries themselves must set
    `db.transaction_settings.settings_of_shards` for the whole transaction.
    """
    driver, options = _driver_of(connection), connection.get_execution_options()
    first: list[Query] = []
    for name in (BEGINNING, SHARD_SETTINGS, DEFERRED) if sets_shards else (BEGINNING, DEFERRED):
        unsent = options.get(name)
        if unsent:
            first += unsent
            unsent.clear()
    if not sets_shards:
        options[SHARD_SETTINGS].clear()
    sent = (*first, *queries)
    dialect, is_citus = connection.dialect, has_citus(connection)
    try:
        with traced.round_trip(sql for sql, _ in sent), driver.pipeline() if len(sent) > 1 else nullcontext():
            cursors = [driver.execute(for_driver(sql, dialect, is_citus), parameters) for sql, parameters in sent]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors[len(first) :]]
    except psycopg.Error as error:
        if _has_spoilt(connection, error):
            connection.invalidate(error)
        raise of_sqlalchemy(translated(error), dialect) from error


def committed(
    work: Callable[[Connection], Result], lock_timeout_ms: int | None = None, *, is_small: bool = False
) -> Result:
    """Runs `work` in a transaction, commits, and returns its result.

    Retries after a deadlock, a serialization failure or a StaleRead; raises other errors at once, and after MAX_TRIES
    attempts the error of the last one. `lock_timeout_ms`: timeout for each lock; None: SPENDGATE_LOCK_TIMEOUT_MS.
    `is_small`: the transaction handles few rows and uses generic query plans; has no effect on Citus, or if
    `lock_timeout_ms` is None.
    """
    once = partial(_committed_once, work, lock_timeout_ms, is_small)
    beginning: Iterable[Step] = ()
    for attempt in range(1, MAX_TRIES):
        try:
            return once(beginning)
        except (DBAPIError, psycopg.Error, StaleRead) as error:
            if not is_retried(error):
                _reconnect_if_read_only(error)
                raise
            TRANSACTION_RETRIES.labels(retry_reason(error)).inc()
            log.info("transaction.retried", attempt=attempt, error=type(error).__name__)
            beginning = error.beginning if isinstance(error, StaleRead) else ()
            for work_before in error.first if isinstance(error, StaleRead) else ():
                _committed_once(work_before, lock_timeout_ms, is_small=False)
            if attempt > 1:
                time.sleep(pause_seconds(attempt, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
    return once(beginning)


def _committed_once(
    work: Callable[[Connection], Result], lock_timeout_ms: int | None, is_small: bool, beginning: Iterable[Step] = ()
) -> Result:
    with ping_grace.allowed(), transaction() as connection:
        if lock_timeout_ms is not None:
            _set_lock_timeout(connection, lock_timeout_ms, is_small)
        for step in beginning:
            step(connection)
        return work(connection)


def _set_lock_timeout(connection: Connection, milliseconds: int, is_small: bool) -> None:
    """Queues the lock timeout and, if `is_small`, the use of generic query plans.

    Does not use generic plans on Citus, which finds the shard of a statement by its values.
    """
    beginning = connection.get_execution_options()[BEGINNING]
    if has_citus(connection):
        _begin_with(connection, milliseconds)
    elif is_small:
        beginning.append((SET_FOR_SMALL, {"milliseconds": str(milliseconds)}))
    else:
        beginning.append(local_setting(connection, "lock_timeout", str(milliseconds)))


def _reconnect_if_read_only(error: DBAPIError | psycopg.Error | StaleRead) -> None:
    """Closes the pool after a write on a read-only server, so that new connections find the new primary by the URL."""
    if not isinstance(error, StaleRead) and sql_state(error) == READ_ONLY:
        engine().dispose()
