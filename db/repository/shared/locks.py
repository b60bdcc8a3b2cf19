"""Named locks: rows of the table `locks` that a transaction locks to do a task alone, until it ends.

Rows instead of advisory locks, because locking a row needs the privilege to update it, while anyone who can connect
may take an advisory lock. A trigger in the database takes the lock `status_changes`.
"""

from enum import StrEnum

from sqlalchemy import Connection, text

LOCK = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE")

LOCK_IF_FREE = text("SELECT name FROM locks WHERE name = :name FOR NO KEY UPDATE SKIP LOCKED")


class Lock(StrEnum):
    """The names in the table `locks`, each with the task that only the transaction holding the lock may do."""

    STATUS_CHANGES = "status_changes"
    """Held to append status changes, so that their ids rise in commit order."""

    BRAND_HOURS = "brand_hours"
    """Held to roll up spend by the hour."""

    CATALOG = "catalog"
    """Held to create brands and campaigns that an import needs."""

    SEQUENCE_RUNS = "sequence_runs"
    """Held to merge runs of sequence numbers."""

    NOTICES = "notices"
    """Held to add notices, so that their ids rise in commit order."""

    ALERTS = "alerts"
    """Held to raise and resolve alerts."""


def take(connection: Connection, lock: Lock) -> None:
    """Waits for the lock and holds it until the transaction ends. Raises NoResultFound if its row is missing."""
    connection.execute(LOCK, {"name": lock}).one()


def take_if_free(connection: Connection, lock: Lock) -> bool:
    """Takes the lock until the transaction ends. Returns False, without waiting, if another transaction holds it.

    Also returns False if the lock's row is missing.
    """
    return connection.execute(LOCK_IF_FREE, {"name": lock}).first() is not None
