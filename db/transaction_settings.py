"""Timeouts, time zone and page cost of every transaction, also through a pooler such as PgBouncer in transaction mode.

Postgres takes these settings once, as options of the connection's start. A pooler drops those options, and gives each
transaction another connection to Postgres: then every transaction begins by setting them, and nothing is prepared.
Citus does not pass the options on to its shards: there too every transaction begins by setting them.
"""

from typing import Any, Final

from psycopg import ClientCursor
from sqlalchemy import Connection
from sqlalchemy.pool import ConnectionPoolEntry

from db.local_settings import (
    FOR_READS,
    FOR_WRITES,
    FOR_WRITES_ALWAYS,
    HAS_CITUS,
    Setting,
    has_citus,
    set_here,
    set_on_shards,
)
from runtime.settings import settings

KEEPS_HEADROOM: Final = "spendgate.keeps_headroom"
"""The setting by which a connection declares that code counting spend through it lowers the headroom of brands.

Headroom is the stored amount that a brand can still spend today before a budget is exhausted. A trigger on `brand_days`
clears the headroom and enforced budget holds of brands that any other connection counts for, such as a connection of an
older version.
"""

CACHED_PAGE_COST: Final = "1.1"
"""Postgres's cost of a page read by an index, in pages read in sequence, if most rows in use are in memory.

With its default of 4 it reads all of `brands` to find a few of 1,000 brands.
"""

BEHIND_POOLER: Final = "behind_pooler"
"""The key of a connection's info that is true if a pooler dropped the options of its start."""

OF_SHARDS: Final = ("lock_timeout", "timezone", "random_page_cost")
"""The settings that shards of Citus need too. The coordinator itself enforces the timeouts of statements."""

DECLARED: Final = "SELECT current_setting(%s, true), EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"


def settings_of_transactions() -> dict[str, str]:
    """The values of timeouts, time zone, page cost and KEEPS_HEADROOM in every transaction, by Postgres's names."""
    read = settings()
    return {
        "statement_timeout": f"{read.statement_timeout_ms}ms",
        "lock_timeout": f"{read.lock_timeout_ms}ms",
        "idle_in_transaction_session_timeout": "60s",
        "client_connection_check_interval": "1s",
        "timezone": "UTC",
        "random_page_cost": CACHED_PAGE_COST,
        KEEPS_HEADROOM: "on",
    }


def start_options() -> str:
    """The settings of every transaction as libpq's connection parameter `options`: `-c name=value …`."""
    return " ".join(f"-c {name}={value}" for name, value in settings_of_transactions().items())


def note_pooler(driver: Any, record: ConnectionPoolEntry) -> None:
    """Reads whether a new connection has the settings of its start and whether its server has Citus, and stores both.

    One round trip. A connection without those settings is behind a pooler: it prepares no statement. A connection to
    Citus sends values within the statements, because Citus finds shards by them and refuses some statements with
    parameters. Without a pooler, a second round trip makes Citus pass each SET LOCAL on to the shards.
    """
    driver.autocommit = True
    declared, record.info[HAS_CITUS] = driver.execute(DECLARED, [KEEPS_HEADROOM]).fetchone()
    record.info[BEHIND_POOLER] = declared != "on"
    if record.info[BEHIND_POOLER]:
        driver.prepare_threshold = None
    if record.info[HAS_CITUS]:
        driver.cursor_factory = ClientCursor
        if not record.info[BEHIND_POOLER]:
            driver.execute(FOR_WRITES_ALWAYS)
    driver.autocommit = False


def queries_that_set_here(connection: Connection, lock_timeout_ms: int | None = None) -> list[Setting]:
    """The queries with which a transaction begins on this connection's own server.

    Behind a pooler they set all settings, with `lock_timeout_ms` (None: SPENDGATE_LOCK_TIMEOUT_MS) as the lock timeout.
    Without a pooler they set the lock timeout alone, and the list is empty if `lock_timeout_ms` is None.
    """
    if connection.info.get(BEHIND_POOLER):
        return [set_here(_with_lock_timeout(lock_timeout_ms))]
    return [] if lock_timeout_ms is None else [set_here({"lock_timeout": f"{lock_timeout_ms}ms"})]


def settings_of_shards() -> dict[str, str]:
    """The settings in OF_SHARDS with their values, by Postgres's names: lock timeout, time zone and page cost."""
    return {name: value for name, value in settings_of_transactions().items() if name in OF_SHARDS}


def queries_that_set_shards(connection: Connection, lock_timeout_ms: int | None = None) -> list[Setting]:
    """The queries that set lock timeout, time zone and page cost on shards of Citus; none for a server without Citus.

    `lock_timeout_ms`: the lock timeout; None: SPENDGATE_LOCK_TIMEOUT_MS.
    """
    if not has_citus(connection):
        return []
    values = _with_lock_timeout(lock_timeout_ms)
    set_there = set_on_shards({name: values[name] for name in OF_SHARDS})
    return [(FOR_WRITES, {}), *set_there] if connection.info.get(BEHIND_POOLER) else set_there


def _with_lock_timeout(lock_timeout_ms: int | None) -> dict[str, str]:
    values = settings_of_transactions()
    return values if lock_timeout_ms is None else {**values, "lock_timeout": f"{lock_timeout_ms}ms"}


def set_for_reading(connection: Connection) -> None:
    """Sets timeouts, time zone and page cost of a reading transaction that SQLAlchemy begins.

    Sends nothing if the connection has them from its start: without a pooler and Citus. Does nothing in
    `db.engine.transaction`, which sets them itself.
    """
    driver = connection.connection.driver_connection
    if driver is not None and not driver.autocommit:
        reading: list[Setting] = [(FOR_READS, {})] if has_citus(connection) else []
        for query, parameters in (*queries_that_set_here(connection), *queries_that_set_shards(connection), *reading):
            connection.execute(query, parameters)
