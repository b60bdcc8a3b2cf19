"""Limits of each connection to Postgres, also through a pooler such as PgBouncer in transaction mode.

Postgres takes the limits once, as options of the connection's start. A pooler drops those options, and gives each
transaction another connection to Postgres: then every transaction begins with the limits, and nothing is prepared.
"""

from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.pool import ConnectionPoolEntry

from runtime.settings import settings

KEEPS_HEADROOM: Final = "spendgate.keeps_headroom"
"""The setting by which a connection declares that code counting spend through it lowers the headroom of brands.

A trigger on `brand_days` clears the headroom and enforced budget holds of brands that any other connection counts for,
such as an older version's.
"""

CACHED_PAGE_COST: Final = "1.1"
"""Postgres's cost of a page read by an index, in pages read in sequence, if most rows in use are in memory.

With its default of 4 it reads all of `brands` to find a few of 1,000 brands.
"""

BEHIND_POOLER: Final = "behind_pooler"
"""The key of a connection's info that is true if the options of its start were dropped."""

# Bounds the current transaction.
SET_LIMITS = text("""
    SELECT set_config(name, value, true)
    FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) AS limits(name, value)
""")

DECLARED: Final = "SELECT current_setting(%s, true)"


def limits() -> dict[str, str]:
    """The settings of every transaction, by Postgres's names."""
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
    """The limits as options of a connection's start."""
    return " ".join(f"-c {name}={value}" for name, value in limits().items())


def note_pooler(driver: Any, record: ConnectionPoolEntry) -> None:
    """Finds out whether a new connection has the limits, in one round trip; else prepares no statement with it."""
    driver.autocommit = True
    declared = driver.execute(DECLARED, [KEEPS_HEADROOM]).fetchone()
    driver.autocommit = False
    record.info[BEHIND_POOLER] = declared != ("on",)
    if record.info[BEHIND_POOLER]:
        driver.prepare_threshold = None


def unset_limits(connection: Connection) -> list[tuple[Any, dict[str, object]]]:
    """The query that bounds a transaction of this connection; none if the connection itself has the limits."""
    if not connection.info.get(BEHIND_POOLER):
        return []
    names, values = map(list, zip(*limits().items(), strict=True))
    return [(SET_LIMITS, {"names": names, "values": values})]


def set_limits(connection: Connection) -> None:
    """Bounds a transaction that SQLAlchemy begins. `db.engine.transaction` begins its own, in autocommit mode."""
    driver = connection.connection.driver_connection
    if driver is not None and not driver.autocommit:
        for query, parameters in unset_limits(connection):
            connection.execute(query, parameters)
