"""Stores which versions of the files in the spend folder were seen and imported, and why some were not imported."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.rows import plain

ALL = text("""
    SELECT platform, name, version, unchanged_since, imported_version, imported_sha256, problem, problem_version,
        problem_since, (
            SELECT options ->> 'folder_options' FROM imports
            WHERE sha256 = imported_sha256 AND status = 'undone'
                AND id = (SELECT max(id) FROM imports AS newest WHERE newest.sha256 = imported_sha256)
        ) AS undone_options
    FROM spend_files
""")

KEEP = text("""
    INSERT INTO spend_files AS known (platform, name, version, unchanged_since)
    VALUES (:platform, :name, :version, :unchanged_since)
    ON CONFLICT (platform, name)
    DO UPDATE SET version = excluded.version, unchanged_since = excluded.unchanged_since
""")

KEEP_IMPORTED = text("""
    UPDATE spend_files SET imported_version = :version, imported_sha256 = :sha256, problem = NULL,
        problem_version = NULL, problem_since = NULL
    WHERE platform = :platform AND name = :name
""")

KEEP_PROBLEM = text("""
    INSERT INTO spend_files AS known (platform, name, version, unchanged_since, problem, problem_version, problem_since)
    VALUES (:platform, :name, :version, :at, :problem, :version, :at)
    ON CONFLICT (platform, name) DO UPDATE
    SET problem = excluded.problem, problem_version = excluded.problem_version, problem_since = excluded.problem_since
""")

FORGET = text("""
    DELETE FROM spend_files USING unnest(CAST(:platforms AS text[]), CAST(:names AS text[])) AS gone(platform, name)
    WHERE spend_files.platform = gone.platform AND spend_files.name = gone.name
""")

PROBLEMS = text("""
    SELECT platform, name, problem, problem_since FROM spend_files WHERE problem IS NOT NULL
    ORDER BY problem_since DESC, platform, name LIMIT :limit
""")

MAX_PROBLEM = 2_000
"""Most characters that are stored of a problem; the rest is cut off."""

FileKey = tuple[str, str]
"""(directory in the spend folder, file name); the directory is empty for files in the folder itself."""


class Problem(NamedTuple):
    """Why the file's `version` was not imported (`words`), and when the import was last tried (`since`)."""

    words: str
    version: str
    since: datetime


class Seen(NamedTuple):
    """A file of the spend folder: its version, since when it has this version, its last import, and its problem.

    `imported_version`, `imported_sha256`: the version last imported, and the hash of its content; None: none was.
    `problem` None: it has none. `undone_options`: the version of the folder's options under which that import was read,
    if it was undone; else None.
    """

    version: str
    unchanged_since: datetime
    imported_version: str | None
    problem: Problem | None
    imported_sha256: str | None = None
    undone_options: str | None = None


def all_seen(connection: Connection) -> dict[FileKey, Seen]:
    """All recorded files, by directory and name."""
    return {
        (row.platform, row.name): Seen(
            row.version,
            row.unchanged_since,
            row.imported_version,
            None if row.problem is None else Problem(row.problem, row.problem_version, row.problem_since),
            row.imported_sha256,
            row.undone_options,
        )
        for row in connection.execute(ALL)
    }


def keep(connection: Connection, key: FileKey, version: str, at: datetime) -> None:
    """Records that the file was first seen in this version at `at`."""
    parameters = {"platform": key[0], "name": key[1], "version": version, "unchanged_since": at}
    connection.execute(KEEP, parameters)


def keep_imported(connection: Connection, key: FileKey, version: str, sha256: str) -> None:
    """Records that this version, or another file with its content, was imported completely; clears its problem."""
    connection.execute(KEEP_IMPORTED, {"platform": key[0], "name": key[1], "version": version, "sha256": sha256})


def keep_problem(connection: Connection, key: FileKey, version: str, words: str, at: datetime) -> None:
    """Records why a version of the file was not imported."""
    row = {"platform": key[0], "name": key[1], "version": version, "problem": words[:MAX_PROBLEM], "at": at}
    connection.execute(KEEP_PROBLEM, row)


def forget(connection: Connection, gone: Collection[FileKey]) -> None:
    """Deletes the records of removed files, at least one, so that a later file of the same name counts as new."""
    platforms, names = zip(*gone, strict=True)
    connection.execute(FORGET, {"platforms": list(platforms), "names": list(names)})


def problems(connection: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Up to `limit` files with a problem, newest problem first: `platform`, `name`, `problem`, `problem_since`."""
    return plain(connection.execute(PROBLEMS, {"limit": limit}))
