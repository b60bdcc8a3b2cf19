"""The epoch in which an account's statuses were read: after a restored backup, or mode `off`, they may be old."""

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
    """Whether the account's statuses were read in the present epoch, and its mode was not `off` since.

    True too if no read was ever stored.
    """
    stored: str | None = connection.scalar(EPOCH, {"id": account})
    return stored is None or stored == status_feed.epoch(connection)


def keep(connection: Connection, account: int) -> None:
    """Stores that the account's statuses were read in the present epoch; does nothing if it is not connected.

    The epoch changes when a backup is restored.
    """
    connection.execute(KEEP, {"id": account, "epoch": status_feed.epoch(connection)})
