"""The files of the spend folder: which versions were seen and imported."""

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
    """A file's version when last seen, since when it has it, and the version last imported (None: none yet)."""

    version: str
    unchanged_since: datetime
    imported_version: str | None


def all_seen(connection: Connection) -> dict[FileKey, Seen]:
    """Every file that the last scan of the folder found."""
    return {(platform, name): Seen(*seen) for platform, name, *seen in connection.execute(ALL)}


def keep(connection: Connection, key: FileKey, version: str, at: datetime) -> None:
    """Records that the file was first seen in this version at `at`."""
    parameters = {"platform": key[0], "name": key[1], "version": version, "unchanged_since": at}
    connection.execute(KEEP, parameters)


def keep_imported(connection: Connection, key: FileKey, version: str) -> None:
    """Records that this version of the file was imported completely."""
    connection.execute(KEEP_IMPORTED, {"platform": key[0], "name": key[1], "version": version})


def forget(connection: Connection, keys: Collection[FileKey]) -> None:
    """Deletes the records of files that were removed from the folder."""
    platforms, names = [key[0] for key in keys], [key[1] for key in keys]
    connection.execute(FORGET, {"platforms": platforms, "names": names})
