"""The audit: an append-only record of every edit with its author, time, and old and new values."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

INSERT_AUDIT_ENTRY = text("""
    INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id, brand_id, old, new)
    VALUES (:at, :by, :action, :subject, :subject_id, :brand_id, CAST(:old AS jsonb), CAST(:new AS jsonb))
""")


LAST_ENTRY = text("""
    SELECT changed_by, changed_at FROM audit_entries WHERE subject = :subject AND subject_id = :id
    ORDER BY id DESC LIMIT 1
""")

LAST_ID = text("SELECT COALESCE(max(id), 0) FROM audit_entries")

# The entries of this transaction only; other transactions may have added entries with ids in between.
OF_THIS_TRANSACTION = text("""
    SELECT subject, action, old, new FROM audit_entries
    WHERE id > :after AND xmin = pg_current_xact_id()::xid ORDER BY id
""")

# For each subject, the person who last set this configured status, and when.
LAST_STATUS_EDITS = text("""
    SELECT DISTINCT ON (subject_id) subject_id, changed_by, changed_at FROM audit_entries
    WHERE subject = :subject AND subject_id = ANY(CAST(:ids AS bigint[])) AND action = 'edit'
        AND new ->> 'configured_status' = :status AND old ->> 'configured_status' <> :status
    ORDER BY subject_id, id DESC
""")

# The configured statuses that one action of a person changed.
STATUS_EDITS_AT = text("""
    SELECT subject_id, brand_id, old ->> 'configured_status' AS old_status, new ->> 'configured_status' AS new_status
    FROM audit_entries
    WHERE subject = :subject AND changed_by = :by AND changed_at = :at AND action = 'edit'
        AND new ->> 'configured_status' <> old ->> 'configured_status'
    ORDER BY id
""")


NOTED: Final = "noted"
"""The connection option with the ids of campaigns that this transaction edited.

An id of None stands for all campaigns of a brand.
"""

FIELDS_WITH_HOLDS: Final = ("time_zone", "currency", "configured_status")
"""The fields of a brand that can change the holds of its campaigns."""


class Edit(NamedTuple):
    """The author and the time of an edit. `by` is such as `user:EMAIL`."""

    by: str
    at: datetime


class Subject(NamedTuple):
    """The edited row: its kind, such as `campaign`, its id, and its brand, None if it belongs to no brand."""

    kind: str
    id: int
    brand_id: int | None = None


class AuditedEdit(NamedTuple):
    """One audit entry: the kind of row, the action, its fields before (None: created) and after (None: removed)."""

    subject: str
    action: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None


def note(
    connection: Connection,
    edit: Edit,
    action: str,
    subject: Subject,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
) -> None:
    """Adds one audit entry. `old` and `new` must contain no secrets.

    `old`: None for a created row; `new`: None for a removed one.
    """
    parameters = {
        "at": edit.at,
        "by": edit.by,
        "action": action,
        "subject": subject.kind,
        "subject_id": subject.id,
        "brand_id": subject.brand_id,
        "old": None if old is None else json.dumps(dict(old), default=str),
        "new": None if new is None else json.dumps(dict(new), default=str),
    }
    connection.execute(INSERT_AUDIT_ENTRY, parameters)
    noted = [*connection.get_execution_options().get(NOTED, ()), *_campaigns_of(subject, old, new)]
    connection.execution_options(**{NOTED: noted})


def edited_campaigns(connection: Connection) -> list[int] | None:
    """The ids of the campaigns that this transaction edited, ascending.

    None if it added no audit entry, or if an edit concerns all campaigns of a brand.
    """
    noted: list[int | None] | None = connection.get_execution_options().get(NOTED)
    if noted is None or None in noted:
        return None
    return sorted({campaign_id for campaign_id in noted if campaign_id is not None})


def _campaigns_of(
    subject: Subject, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Iterable[int | None]:
    """The campaigns whose holds the edit may change: one, none, or [None] for all campaigns of the brand."""
    if subject.kind in {"campaign", "schedule"}:
        return [subject.id]
    if subject.kind == "budget":
        return [(new or old or {}).get("campaign_id")]
    if subject.kind == "brand" and (
        old is None or new is None or any(old[name] != new[name] for name in FIELDS_WITH_HOLDS)
    ):
        return [None]
    return []


def last_edit(connection: Connection, kind: str, subject_id: int) -> Edit | None:
    """The last audited edit of the row; None if there is none. Edits by SQL are not audited."""
    row = connection.execute(LAST_ENTRY, {"subject": kind, "id": subject_id}).first()
    return None if row is None else Edit(row.changed_by, row.changed_at)


def last_status_edits(connection: Connection, kind: str, ids: Sequence[int], status: str) -> dict[int, Edit]:
    """The edit that last changed the configured status of a row to `status`, by row id.

    Rows without such an edit are left out, such as rows created with the status or changed by SQL.
    """
    rows = connection.execute(LAST_STATUS_EDITS, {"subject": kind, "ids": list(ids), "status": status})
    return {row.subject_id: Edit(row.changed_by, row.changed_at) for row in rows}


class StatusEdit(NamedTuple):
    """A change of one configured status."""

    subject_id: int
    brand_id: int
    old_status: str
    new_status: str


def status_edits_at(connection: Connection, kind: str, edit: Edit) -> list[StatusEdit]:
    """The changes of configured statuses of rows of this kind in one edit, found by its author and time."""
    rows = connection.execute(STATUS_EDITS_AT, {"subject": kind, "by": edit.by, "at": edit.at})
    return [StatusEdit(*row) for row in rows]


def last_entry(connection: Connection) -> int:
    """The id of the newest audit entry; 0 if there is none."""
    return int(connection.execute(LAST_ID).scalar_one())


def entries_of_transaction(connection: Connection, after: int) -> list[AuditedEdit]:
    """The audit entries of this transaction with ids above `after`, in order."""
    return [AuditedEdit(*row) for row in connection.execute(OF_THIS_TRANSACTION, {"after": after})]
