"""Named locks: rows of the table `locks` that a transaction locks to do a task alone, until it ends.

Rows instead of advisory locks, because locking a row needs the privilege to update it, while anyone who can connect
may take an advisory lock. A trigger in the database takes the lock `status_changes`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import OperationalError

from db.engine import LOCK_NOT_AVAILABLE, StaleRead, deferred, query_pipelined, sql_state
from db.local_settings import local_setting

LOCK = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE")

LOCK_IF_FREE = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE SKIP LOCKED")

LOCK_TIMEOUT = text("SELECT current_setting('lock_timeout')")

YIELDS_AFTER: Final = "50ms"
"""The lock timeout of a statement after which its transaction rolls back and releases its own locks."""


class Lock(StrEnum):
    """The names in the table `locks`, each with the task that only the transaction holding the lock may do."""

    STATUS_CHANGES = "status_changes"
    """Append status changes, so that their ids rise in commit order."""

    BRAND_HOURS = "brand_hours"
    """Roll up spend by the hour."""

    CATALOG = "catalog"
    """Create brands and campaigns that are missing for an import."""

    SEQUENCE_RUNS = "sequence_runs"
    """Merge runs of sequence numbers."""

    NOTICES = "notices"
    """Add notices, so that their ids rise in commit order."""

    ALERTS = "alerts"
    """Raise and resolve alerts."""


def take(connection: Connection, lock: Lock) -> None:
    """Waits for the lock and holds it until the transaction ends. Raises NoResultFound if its row is missing."""
    connection.execute(LOCK, {"name": lock}).one()


def take_if_free(connection: Connection, lock: Lock) -> bool:
    """Takes the lock until the transaction ends. Returns False, without waiting, if another transaction holds it.

    Also returns False if the lock's row is missing.
    """
    return connection.execute(LOCK_IF_FREE, {"name": lock}).first() is not None


def execute_or_yield(connection: Connection, statement: TextClause, parameters: Mapping[str, Any]) -> CursorResult[Any]:
    """Runs a statement on budgets with a short lock timeout, in a transaction that has locked their brand.

    Raises StaleRead on timeout, so that `committed` rolls back and retries. This prevents a deadlock with an edit by
    SQL, which locks the budget first and then, in a trigger, the brand. Returns the result of the statement.
    """
    shorter = local_setting(connection, "lock_timeout", YIELDS_AFTER)
    ((timeout_before,),), _ = query_pipelined(connection, (LOCK_TIMEOUT, {}), shorter)
    try:
        result = connection.execute(statement, parameters)
    except OperationalError as error:
        if sql_state(error) == LOCK_NOT_AVAILABLE:
            raise StaleRead("an edit by SQL has locked a budget") from error
        raise
    deferred(connection, local_setting(connection, "lock_timeout", timeout_before))
    return result
