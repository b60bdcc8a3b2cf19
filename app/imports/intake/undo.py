"""Undoes an import: restores the totals before it, except those that something newer has changed since."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from more_itertools import sliced
from sqlalchemy import Connection

from app.imports.intake.commit import JUST_AFTER, Payload, counted_for
from app.ingest.batches import TotalsBatch
from app.ingest.by_brand import BrandsTimedOut
from app.ingest.count import Counted
from db.engine import committed, snapshot
from db.repository.access.audit import Edit, Subject, note
from db.repository.imports import days as day_rows
from db.repository.imports import history
from db.repository.imports.days import Restored
from domain.edits.words import counted
from domain.errors import InvalidValue

TOTALS_A_TRANSACTION: Final = 1_000


@dataclass(frozen=True)
class Undoing:
    """The totals that undoing an import restores. `kept`: the number of its totals that changed since, which stay.

    `rejected`: the number of restored totals that counting rejected.
    """

    import_id: int
    file_name: str
    restored: Sequence[Restored]
    kept: int
    rejected: int = 0

    @property
    def token(self) -> str:
        """A hash (24 hex digits) of the totals that undoing restores; sent back to consent to this undo."""
        told = (self.import_id, tuple(self.restored), self.kept)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:24]

    def sentence(self, *, is_done: bool = False) -> str:
        """A sentence about the totals that undoing restores; `is_done`: the import was undone."""
        if not self.restored:
            return f"There is nothing left to undo of import {self.import_id}, {self.file_name}"
        verb = "Put back" if is_done else "Puts back"
        totals = counted(len(self.restored) - self.rejected, "total")
        refused = f"; {self.rejected:,} could not be, as rejected events say" if self.rejected else ""
        return f"{verb} {totals} to what was known before import {self.import_id}, {self.file_name}{refused}"

    @property
    def note(self) -> str:
        """A sentence about the totals that stay, because they changed after the import."""
        return f"{counted(self.kept, 'total')} changed since, and stay as they are now."


def undoing(import_id: int) -> Undoing:
    """Plans the undo of an import, as of now. Raises InvalidValue if there is no such import or it is undone."""
    with snapshot() as connection:
        row = history.one(connection, import_id)
        if row["status"] == "undone":
            raise InvalidValue("import", f"import {import_id} was undone by {row['undone_by']}")
        restored = day_rows.still_set(connection, import_id)
        _, undone = day_rows.counts(connection, import_id)
        # Days that no undo can need are deleted, so they are counted by the totals that were taken.
        kept = max(0, row["taken"] - undone - len(restored))
    return Undoing(import_id, row["file_name"], restored, kept)


def undo(import_id: int, edit: Edit) -> Undoing:
    """Restores the totals that were known before the import, in batches, and adds an audit entry; returns the undo.

    If a brand stays locked, restores the other totals, raises BrandsTimedOut without marking the import as undone, and
    the undo can be repeated. Raises InvalidValue if there is no such import, it is undone, or nothing is left to undo.
    """
    wanted = undoing(import_id)
    if not wanted.restored:
        raise InvalidValue("import", f"nothing of import {import_id} is left to undo: newer totals replaced its totals")
    rejected = 0
    held_up: list[BrandsTimedOut] = []
    for some in sliced(wanted.restored, TOTALS_A_TRANSACTION):
        try:
            counted = counted_for(_payloads(some), partial(_note, import_id=import_id, restored=some))
        except BrandsTimedOut as error:
            held_up.append(error)
        else:
            rejected += len(counted.rejections)
    if held_up:
        raise held_up[0]
    committed(partial(_end, undone=wanted, edit=edit))
    return Undoing(import_id, wanted.file_name, wanted.restored, wanted.kept, rejected)


def _payloads(restored: Sequence[Restored]) -> list[Payload]:
    return [
        {
            "source": one.source,
            "campaign_id": one.campaign_id,
            "day": one.day.isoformat(),
            "total_micros": one.before_micros,
            "as_of": (one.as_of + JUST_AFTER).isoformat(),
        }
        for one in restored
    ]


def _note(
    connection: Connection,
    batches: Sequence[TotalsBatch],
    counted: Counted,
    import_id: int,
    restored: Sequence[Restored],
) -> None:
    drafts = [draft for batch in batches for draft in batch.drafts]
    campaign_ids = {draft.campaign for draft in drafts if isinstance(draft.campaign, int)}
    brand_ids = {one.brand_id for one in restored if one.campaign_id in campaign_ids}
    if drafts and counted.taken + counted.known:
        day_rows.note_undone(connection, import_id, (brand_ids, campaign_ids), {draft.day for draft in drafts})


def _end(connection: Connection, undone: Undoing, edit: Edit) -> None:
    history.note_undone(connection, undone.import_id, edit.by, edit.at)
    told = {"file": undone.file_name, "totals": len(undone.restored), "kept": undone.kept}
    note(connection, edit, "undo", Subject("import", undone.import_id), None, told)
