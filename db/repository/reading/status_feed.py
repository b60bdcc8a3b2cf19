"""Reads the epoch and the largest id of the feed of status changes, and begins new epochs.

Restoring a backup removes status changes and assigns their ids again to later changes. So a reader of the feed keeps
its position as an id together with the epoch; the epoch changes whenever ids may have been assigned again.
"""

from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

EPOCH_BYTES: Final = 8

# The table's oid is included, because loading a dump creates the table again with another one.
STORED_EPOCH = text("SELECT concat_ws(' ', epoch, 'status_changes'::regclass::oid) FROM feed_epoch")

# The system identifier differs on another server; the timeline differs after restoring a base backup or promoting.
SERVER_EPOCH = text("""
    SELECT concat_ws(' ', system_identifier,
        CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END)
    FROM pg_control_system()
""")

NEW_EPOCH = text("UPDATE feed_epoch SET epoch = gen_random_uuid()")

LAST_ID = text("SELECT COALESCE(max(id), 0) FROM status_changes")


def epoch(connection: Connection) -> str:
    """The current epoch of the feed of status changes, 16 hexadecimal digits.

    It changes whenever ids of status changes may have been assigned again. It depends on the table alone if the role
    may not read the server's identity.
    """
    parts = [connection.scalars(STORED_EPOCH).one(), _server_epoch(connection)]
    return blake2b(" ".join(parts).encode(), digest_size=EPOCH_BYTES).hexdigest()


def _server_epoch(connection: Connection) -> str:
    try:
        with connection.begin_nested():
            return str(connection.scalar(SERVER_EPOCH))
    except DBAPIError:
        return ""


def begin_epoch(connection: Connection) -> str:
    """Begins a new epoch of the feed of status changes and returns it, so that every reader of the feed starts over."""
    connection.execute(NEW_EPOCH)
    return epoch(connection)


def last_id(connection: Connection) -> int:
    """The largest id of a status change, 0 if there is none. Ids rise in commit order: no reader saw a larger one."""
    return int(connection.scalars(LAST_ID).one())
