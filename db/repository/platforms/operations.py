"""Counts the operations used on platforms, by minute, for quotas over the last 24 hours.

`pool` is the name of a quota that several accounts share: the platform's name.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

QUOTA_WINDOW: Final = timedelta(hours=24)

# Adds to the present minute. The row's lock makes other reservations of that minute wait for this transaction.
ADD = text("""
    INSERT INTO platform_operations AS used (pool, minute, operations, reads)
    VALUES (:pool, date_trunc('minute', CAST(:at AS timestamptz)), :operations, :reads)
    ON CONFLICT (pool, minute) DO UPDATE
    SET operations = used.operations + excluded.operations, reads = used.reads + excluded.reads
""")

TAKE_BACK = text("""
    UPDATE platform_operations SET operations = operations - :operations, reads = reads - :reads
    WHERE pool = :pool AND minute = date_trunc('minute', CAST(:at AS timestamptz))
""")

# Of a minute that has begun since the booking nothing is taken back, so that no booking of others is lost.
GIVE_BACK = text("""
    UPDATE platform_operations SET operations = operations - :operations
    WHERE pool = :pool AND minute = date_trunc('minute', CAST(:at AS timestamptz)) AND operations - :operations >= reads
""")

USED = text("""
    SELECT COALESCE(sum(operations), 0)::bigint FROM platform_operations WHERE pool = :pool AND minute > :since
""")

READS = text("""
    SELECT COALESCE(sum(reads), 0)::bigint FROM platform_operations WHERE pool = :pool AND minute > :since
""")

FORGET = text("DELETE FROM platform_operations WHERE pool = :pool AND minute <= :since")


def used(connection: Connection, pool: str, at: datetime) -> int:
    """The operations that the accounts of the pool used in the 24 hours (QUOTA_WINDOW) before `at`."""
    return int(connection.execute(USED, {"pool": pool, "since": at - QUOTA_WINDOW}).scalar_one())


def reads_in(connection: Connection, pool: str, at: datetime, span: timedelta) -> int:
    """The operations that the accounts of the pool used for reads in the `span` before `at`."""
    return int(connection.execute(READS, {"pool": pool, "since": at - span}).scalar_one())


def give_back(connection: Connection, pool: str, operations: int, at: datetime) -> None:
    """Subtracts operations that `reserve` added to the pool for changes and that were not used, in the minute of `at`.

    Does nothing if that minute has fewer operations that are not reads, such as after the next minute began.
    """
    connection.execute(GIVE_BACK, {"pool": pool, "at": at, "operations": operations})


def reserve(connection: Connection, pool: str, operations: int, reads: int, limit: int, at: datetime) -> bool:
    """Adds operations to the pool if no more than `limit` are then used in the last 24 hours; returns whether it did.

    `pool`: the quota's name. `reads`: how many of the operations are reads. Also deletes counts older than 24 hours.
    The caller commits before it sends the request.
    """
    booked = {"pool": pool, "at": at, "operations": operations, "reads": reads}
    connection.execute(ADD, booked)
    if used(connection, pool, at) > limit:
        connection.execute(TAKE_BACK, booked)
        return False
    connection.execute(FORGET, {"pool": pool, "since": at - QUOTA_WINDOW})
    return True
