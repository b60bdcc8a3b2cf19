"""The append-only record of corrections made by `spendgate repair` and the sweep, and of acknowledged findings."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, text

Kind = Literal[
    "campaign_day",
    "brand_day",
    "reported_total",
    "limit_history",
    "history",
    "holds",
    "flag",
    "directory",
    "known",
]

KNOWN: Final = "known"
"""The kind of a correction that only acknowledges a finding that cannot be repaired."""

ADD = text("""
    INSERT INTO corrections (brand_id, corrected_at, corrected_by, kind, subject, old, new)
    VALUES (:brand_id, :at, :by, :kind, CAST(:subject AS jsonb), CAST(:old AS jsonb), CAST(:new AS jsonb))
""")

ACKNOWLEDGED = text("""
    SELECT subject, corrected_by, corrected_at FROM corrections WHERE kind = 'known' ORDER BY id
""")


class Correction(NamedTuple):
    """One corrected value: its kind, the key of its row (`subject`), the old and the new value.

    `old` or `new` None: there was no such row before, or is none after. Both are None if a finding was only
    acknowledged (kind `known`). `brand_id`: the row's brand; None: it belongs to no brand.
    """

    brand_id: int | None
    kind: Kind
    subject: Mapping[str, Any]
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None


class Acknowledged(NamedTuple):
    """The author and time of an acknowledgement: a person declared a finding of `spendgate verify` known."""

    by: str
    at: datetime


def add(connection: Connection, corrections: Iterable[Correction], by: str, at: datetime) -> None:
    """Appends corrections made by the author `by` at `at`."""
    rows = [
        {
            "brand_id": one.brand_id,
            "at": at,
            "by": by,
            "kind": one.kind,
            "subject": _json(one.subject),
            "old": _json(one.old),
            "new": _json(one.new),
        }
        for one in corrections
    ]
    if rows:
        connection.execute(ADD, rows)


def acknowledged(connection: Connection) -> dict[str, dict[str, Acknowledged]]:
    """The latest acknowledgement of each finding: by the name of its check, then by `key_of` the finding."""
    found: defaultdict[str, dict[str, Acknowledged]] = defaultdict(dict)
    for subject, by, at in connection.execute(ACKNOWLEDGED):
        if isinstance(subject, dict) and {"check", "finding"} <= subject.keys():
            found[subject["check"]][key_of(subject["finding"])] = Acknowledged(by, at)
    return dict(found)


def key_of(finding: Mapping[str, Any]) -> str:
    """The finding as JSON text with sorted keys, which is equal for equal findings of a check."""
    return json.dumps(finding, sort_keys=True, default=_plain)


def known(check: str, finding: Mapping[str, Any], brand_id: int | None) -> Correction:
    """The correction to `add` when a person acknowledges a finding of a check.

    `brand_id`: the brand that the finding is about; None: it is about no brand.
    """
    return Correction(brand_id, KNOWN, {"check": check, "finding": dict(finding)})


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(dict(value), default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
