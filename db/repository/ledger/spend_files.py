"""What was seen and imported of the files in the spend folder."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

ALL = text("SELECT platform, name, version, unchanged_since, imported_version FROM spend_files")

KEEP = text("""
    INSERT INTO spend_files AS known (platform, name, version, unchanged_since)
    VALUES (:platform, :name, :version, :unchanged_since)
    ON CONFLICT (platform, name)
    DO UPDATE SET version = excluded.version, unchanged_since = excluded.unchanged_since
""")

KEEP_IMPORTED = text("""
    UPDATE spend_files SET imported_version = :version WHERE platform = :platform AND name = :name
""")

FORGET = text("""
    DELETE FROM spend_files USING unnest(CAST(:platforms AS text[]), CAST(:names AS text[])) AS gone(platform, name)
    WHERE spend_files.platform = gone.platform AND spend_files.name = gone.name
""")

FileKey = tuple[str, str]
"""The platform's directory and the file's name in it."""


class Seen(NamedTuple):
    """The version last seen and since when it is that one; the version last imported, None where none was."""

    version: str
    unchanged_since: datetime
    imported_version: str | None


def all_seen(connection: Connection) -> dict[FileKey, Seen]:
    """Every file that was there at the last look."""
    return {(platform, name): Seen(*seen) for platform, name, *seen in connection.execute(ALL)}


def keep(connection: Connection, key: FileKey, version: str, at: datetime) -> None:
    """Notes that the file was seen in a version for the first time."""
    parameters = {"platform": key[0], "name": key[1], "version": version, "unchanged_since": at}
    connection.execute(KEEP, parameters)


def keep_imported(connection: Connection, key: FileKey, version: str) -> None:
    """Notes that a version of the file was imported whole."""
    connection.execute(KEEP_IMPORTED, {"platform": key[0], "name": key[1], "version": version})


def forget(connection: Connection, keys: Collection[FileKey]) -> None:
    """Forgets files that are gone."""
    platforms, names = [key[0] for key in keys], [key[1] for key in keys]
    connection.execute(FORGET, {"platforms": platforms, "names": names})
