"""The feed of status changes: the epoch within which its ids may be followed, and its greatest id.

A backup that is restored takes ids back that were given already, and gives them anew to other changes. So a follower's
place is an id within an epoch, which changes with everything that may take ids back.
"""

from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

EPOCH_BYTES: Final = 8

# Loading a dump makes the table anew.
STORED_EPOCH = text("SELECT concat_ws(' ', epoch, 'status_changes'::regclass::oid) FROM feed_epoch")

# A dump loaded elsewhere has another system, a restored base backup and a promoted replica have another timeline.
SERVER_EPOCH = text("""
    SELECT concat_ws(' ', system_identifier,
        CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END)
    FROM pg_control_system()
""")

NEW_EPOCH = text("UPDATE feed_epoch SET epoch = gen_random_uuid()")

LAST_ID = text("SELECT COALESCE(max(id), 0) FROM status_changes")


def epoch(connection: Connection) -> str:
    """The current epoch, 16 hexadecimal digits. On a server that does not identify itself, the stored one alone."""
    parts = [connection.scalars(STORED_EPOCH).one(), _server_epoch(connection)]
    return blake2b(" ".join(parts).encode(), digest_size=EPOCH_BYTES).hexdigest()


def _server_epoch(connection: Connection) -> str:
    try:
        with connection.begin_nested():
            return str(connection.scalar(SERVER_EPOCH))
    except DBAPIError:
        return ""


def begin_epoch(connection: Connection) -> str:
    """Begins another epoch and returns it: every follower is told to start over."""
    connection.execute(NEW_EPOCH)
    return epoch(connection)


def last_id(connection: Connection) -> int:
    """The greatest id of a status change, 0 where there is none. Ids grow with the commits, so none was seen above."""
    return int(connection.scalars(LAST_ID).one())
