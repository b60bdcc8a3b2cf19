"""Locks that stand for something other than a row: one row each of the table `locks`, held until the commit.

To lock a row takes the privilege to update it, which readers lack; an advisory lock is free for all who may connect.
Two locks are taken inside the database: `status_changes` by a trigger, `ledger_months` by `ensure_ledger_month`.
"""

from enum import StrEnum

from sqlalchemy import Connection, text

LOCK = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE")

LOCK_IF_FREE = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE SKIP LOCKED")


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

    LEDGER_MONTHS = "ledger_months"
    """Create partitions of the ledger."""


def take(connection: Connection, lock: Lock) -> None:
    """Waits for the lock and holds it until the transaction ends. Raises NoResultFound where its row is missing."""
    connection.execute(LOCK, {"name": lock}).one()


def take_if_free(connection: Connection, lock: Lock) -> bool:
    """Holds the lock until the transaction ends, unless another transaction holds it now; whether it does."""
    return connection.execute(LOCK_IF_FREE, {"name": lock}).first() is not None
