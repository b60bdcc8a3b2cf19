"""Stores in which epoch an account's statuses were read last, and finds whether the stored ones may be out of date.

The epoch of the feed of status changes changes when a backup is restored. Stored statuses may be out of date after
that, and after mode `off`, in which no statuses are read.
"""

from typing import Final

from sqlalchemy import Connection, text

from db.repository.reading import status_feed

OFF: Final = "off"
"""Stored instead of an epoch for an account that leaves mode `off`, in which its statuses were not read."""

EPOCH = text("SELECT statuses_epoch FROM platform_connections WHERE platform_account_id = :id")

KEEP = text("""
    UPDATE platform_connections SET statuses_epoch = :epoch
    WHERE platform_account_id = :id AND statuses_epoch IS DISTINCT FROM :epoch
""")


def is_continued(connection: Connection, account: int) -> bool:
    """Whether no backup was restored since the account's statuses were read, and its mode was not `off` since.

    True too if no read was ever stored, or the account is not connected.
    """
    stored: str | None = connection.scalar(EPOCH, {"id": account})
    return stored is None or stored == status_feed.epoch(connection)


def keep(connection: Connection, account: int) -> None:
    """Stores that the account's statuses were read in the present epoch, which changes when a backup is restored.

    Does nothing if the account is not connected.
    """
    connection.execute(KEEP, {"id": account, "epoch": status_feed.epoch(connection)})
