"""Locks that stand for something other than a row: one row each of the table `locks`, held until the commit.

To lock a row takes the privilege to update it, which readers lack; an advisory lock is free for all who may connect.
The lock `status_changes` is taken inside the database, by a trigger.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import OperationalError

from db.engine import LOCK_NOT_AVAILABLE, Stale, sql_state

LOCK = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE")

LOCK_IF_FREE = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE SKIP LOCKED")

SET_LOCK_TIMEOUT = text("SELECT current_setting('lock_timeout'), set_config('lock_timeout', :timeout, true)")

YIELDS_AFTER: Final = "50ms"
"""How long a statement waits for a lock before its transaction gives up what it holds."""


class Lock(StrEnum):
    """The rows of `locks`, and what only one transaction at a time may do while it holds one."""

    STATUS_CHANGES = "status_changes"
    """Append status changes, so that their ids follow the order of commits."""

    BRAND_HOURS = "brand_hours"
    """Roll up spend by the hour."""

    CATALOG = "catalog"
    """Create the brands and campaigns that an import did not find."""

    SEQUENCE_RUNS = "sequence_runs"
    """Join runs of sequence numbers."""


def take(connection: Connection, lock: Lock) -> None:
    """Waits for the lock and holds it until the transaction ends. Raises NoResultFound where its row is missing."""
    connection.execute(LOCK, {"name": lock}).one()


def take_if_free(connection: Connection, lock: Lock) -> bool:
    """Holds the lock until the transaction ends, unless another transaction holds it now; whether it does."""
    return connection.execute(LOCK_IF_FREE, {"name": lock}).first() is not None


def execute_or_yield(connection: Connection, statement: TextClause, parameters: Mapping[str, Any]) -> CursorResult[Any]:
    """Runs a statement on budgets in a transaction that holds their brand. Raises Stale where a budget stays locked.

    An edit by SQL locks the budget and then, in a trigger, the brand. Postgres would let it and ours wait for each
    other for a second and then end one as a deadlock. Instead ours is rolled back, and `committed` runs it again.
    """
    (before, _) = connection.execute(SET_LOCK_TIMEOUT, {"timeout": YIELDS_AFTER}).one()
    try:
        result = connection.execute(statement, parameters)
    except OperationalError as error:
        if sql_state(error) == LOCK_NOT_AVAILABLE:
            raise Stale("an edit by SQL has a budget locked") from error
        raise
    connection.execute(SET_LOCK_TIMEOUT, {"timeout": before})
    return result
