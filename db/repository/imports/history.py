"""Stores imports: each file that changed totals, the result of its import, and the rows that it left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.shared.rows import plain
from domain.errors import NotFound
from domain.inputs.values import MAX_ID
from domain.text import storable

BEGIN = text("""
    INSERT INTO imports (platform, account, brand_ids, source, file_name, sha256, layout, options, imported_by,
        imported_at, as_of, rows, campaign_days, first_day, last_day, sum_micros, campaigns_made)
    VALUES (:platform, :account, :brand_ids, :source, :file_name, :sha256, :layout, CAST(:options AS jsonb),
        :imported_by, :imported_at, :as_of, :rows, :campaign_days, :first_day, :last_day,
        CAST(:sum_micros AS jsonb), :campaigns_made)
    RETURNING id
""")

END = text("""
    UPDATE imports SET status = :status, taken = :taken, nothing_new = :nothing_new, rejected = :rejected,
        skipped_rows = :skipped_rows
    WHERE id = :id
""")

ADD_LEFT_OUT = text("""
    INSERT INTO import_skipped_rows (import_id, place, line, cell, reason)
    SELECT :import_id, place, line, cell, reason
    FROM unnest(CAST(:lines AS bigint[]), CAST(:cells AS text[]), CAST(:reasons AS text[])) WITH ORDINALITY
        AS left_out(line, cell, reason, place)
""")

LEFT_OUT = text("SELECT line, cell, reason FROM import_skipped_rows WHERE import_id = :id ORDER BY place")

# The imports of files with the same content, newest first.
OF_CONTENT = text("""
    SELECT id, imported_at, imported_by, as_of, status, source, options ->> 'folder_options', undone_by
    FROM imports WHERE sha256 = :sha256 ORDER BY id DESC
""")

FOLDER_OPTIONS = "folder_options"
"""The key, among an import's options, of the version of the spend folder's options."""

FIELDS = """
    id, platform, account, brand_ids, source, file_name, sha256, layout, options, imported_by, imported_at, as_of, rows,
    campaign_days, first_day, last_day, sum_micros, campaigns_made, taken, nothing_new, rejected, skipped_rows, status,
    undone_at, undone_by
"""

NEWEST = text(f"SELECT {FIELDS} FROM imports WHERE id < :before ORDER BY id DESC LIMIT :limit")  # noqa: S608 - ours

ONE = text(f"SELECT {FIELDS} FROM imports WHERE id = :id")  # noqa: S608 - ours

NOTE_UNDONE = text("""
    UPDATE imports SET status = 'undone', undone_at = :at, undone_by = :by WHERE id = :id AND status <> 'undone'
""")

MAX_CELL = 200
"""Most characters that are stored of the cell of a row left out."""


@dataclass(frozen=True)
class NewImport:
    """An import before its first total is counted. `db.models.imports.Import` describes the fields."""

    platform: str
    account: str | None
    brand_ids: Sequence[int]
    source: str
    file_name: str
    sha256: str
    layout: str
    options: Mapping[str, Any]
    imported_by: str
    imported_at: datetime
    as_of: datetime
    rows: int
    campaign_days: int
    first_day: date | None
    last_day: date | None
    sum_micros: Mapping[str, int]
    campaigns_made: int


@dataclass(frozen=True)
class Earlier:
    """An earlier import of a file with the same content.

    `folder_options`: the version of the spend folder's options under which it was read; None: a person imported it.
    `undone_by`: the author of its undo; None: it is not undone.
    """

    id: int
    imported_at: datetime
    imported_by: str
    as_of: datetime
    status: str
    source: str
    folder_options: str | None = None
    undone_by: str | None = None


def begin(connection: Connection, new: NewImport) -> int:
    """Stores an import before it counts its totals; returns its id."""
    row = vars(new) | {
        "brand_ids": list(new.brand_ids),
        "options": json.dumps(dict(new.options)),
        "sum_micros": json.dumps(dict(new.sum_micros)),
    }
    return int(connection.execute(BEGIN, row).scalar_one())


def end(
    connection: Connection,
    import_id: int,
    status: str,
    *,
    taken: int,
    nothing_new: int,
    rejected: int,
    skipped_rows: int,
) -> None:
    """Stores the result of an import: `done`, or `partial` if a locked brand prevented some totals, and the counts.

    `taken`: totals that changed a counter. `nothing_new`: totals that changed none. `rejected`: totals that were
    rejected. `skipped_rows`: the file's rows that were left out.
    """
    counts = {"taken": taken, "nothing_new": nothing_new, "rejected": rejected, "skipped_rows": skipped_rows}
    connection.execute(END, counts | {"id": import_id, "status": status})


def add_left_out(connection: Connection, import_id: int, rows: Sequence[tuple[int, str, str]]) -> None:
    """Stores the rows that an import left out, at least one, each as (line, cell, reason); cuts cells to MAX_CELL.

    A rejected total is a row too: with line 0, and its campaign and day as the cell.
    """
    lines, cells, reasons = zip(*rows, strict=True)
    columns = {
        "lines": list(lines),
        "cells": [storable(cell)[:MAX_CELL] for cell in cells],
        "reasons": [storable(reason) for reason in reasons],
    }
    connection.execute(ADD_LEFT_OUT, columns | {"import_id": import_id})


def left_out(connection: Connection, import_id: int) -> list[dict[str, Any]]:
    """The rows that an import left out, each with `line`, `cell` and `reason`.

    Rows of the file come first, in its order, then rejected totals, with line 0.
    """
    return plain(connection.execute(LEFT_OUT, {"id": import_id}))


def of_content(connection: Connection, sha256: str) -> list[Earlier]:
    """The imports of files whose content has this SHA-256, in hexadecimal; newest first."""
    return [Earlier(*row) for row in connection.execute(OF_CONTENT, {"sha256": sha256})]


def newest(connection: Connection, *, before: int = MAX_ID, limit: int = 50) -> list[dict[str, Any]]:
    """One page of imports with ids below `before`, newest first."""
    return plain(connection.execute(NEWEST, {"before": before, "limit": limit}))


def one(connection: Connection, import_id: int) -> dict[str, Any]:
    """The import with this id. Raises InvalidValue if there is none."""
    rows = plain(connection.execute(ONE, {"id": import_id})) if 0 < import_id <= MAX_ID else []
    if not rows:
        raise NotFound("import", f"there is no import {import_id}")
    return rows[0]


def note_undone(connection: Connection, import_id: int, by: str, at: datetime) -> None:
    """Marks an import as undone by the author `by` at `at`."""
    connection.execute(NOTE_UNDONE, {"id": import_id, "by": by, "at": at})
