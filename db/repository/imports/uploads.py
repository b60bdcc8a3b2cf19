"""Stores uploaded files until they are imported, discarded, or a day old."""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

ADD = text("""
    INSERT INTO import_uploads (file_name, content, modified_at, uploaded_by, uploaded_at)
    VALUES (:file_name, :content, :modified_at, :by, :at) RETURNING id
""")

ONE = text("""
    SELECT id, file_name, content, modified_at, uploaded_by, uploaded_at FROM import_uploads
    WHERE id = :id AND uploaded_at > :earliest
""")

REMOVE = text("DELETE FROM import_uploads WHERE id = :id OR uploaded_at <= :earliest")

KEPT_FOR: Final = timedelta(days=1)


class Upload(NamedTuple):
    """An uploaded file that waits for a person to confirm its import.

    `modified_at` is None if the browser did not send it.
    """

    id: int
    file_name: str
    content: bytes
    modified_at: datetime | None
    uploaded_by: str
    uploaded_at: datetime


def add(
    connection: Connection, file_name: str, content: bytes, modified_at: datetime | None, by: str, at: datetime
) -> int:
    """Stores an uploaded file and returns its id. Deletes files older than KEPT_FOR. `modified_at` None: unknown."""
    connection.execute(REMOVE, {"id": 0, "earliest": at - KEPT_FOR})
    row: dict[str, Any] = {"file_name": file_name, "content": content, "modified_at": modified_at, "by": by, "at": at}
    return int(connection.execute(ADD, row).scalar_one())


def one(connection: Connection, upload_id: int, at: datetime) -> Upload | None:
    """The uploaded file; None if it was deleted or is older than KEPT_FOR."""
    row = connection.execute(ONE, {"id": upload_id, "earliest": at - KEPT_FOR}).first()
    return None if row is None else Upload(*row)._replace(content=bytes(row.content))


def remove(connection: Connection, upload_id: int, at: datetime) -> None:
    """Deletes an uploaded file, and all files older than KEPT_FOR."""
    connection.execute(REMOVE, {"id": upload_id, "earliest": at - KEPT_FOR})
