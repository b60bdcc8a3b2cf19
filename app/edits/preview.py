"""Edits that show their effect before they are made: one transaction, rolled back until a person agrees."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import Connection

from app import enforcement
from db.repository.access import audit
from db.repository.access.audit import AuditedEdit
from db.repository.catalog import catalog
from db.repository.enforcement.enforcement import Applied
from domain.campaigns import EffectiveStatus
from domain.edit_words import edit_lines, effect_words
from runtime.formats import exact_money

Result = TypeVar("Result")
Told = TypeVar("Told")

LOOKED_AT: Final = 50_000
"""Campaigns of a brand that a preview decides; of a larger brand it says «at least»."""

LARGE_CHANGE: Final = 2
"""A limit that changes by more than its half is confirmed, also where no campaign stops."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What an edit of one brand changes, and which of its campaigns stop and which serve again in the same commit."""

    edits: tuple[AuditedEdit, ...]
    currency: str
    toggles: tuple[Applied, ...]
    is_partial: bool = False
    """The brand has more campaigns than were looked at."""

    @property
    def stopped(self) -> int:
        """How many campaigns stop."""
        return sum(change.to_status == EffectiveStatus.INACTIVE for change in self.toggles)

    @property
    def released(self) -> int:
        """How many campaigns serve again."""
        return len(self.toggles) - self.stopped

    @property
    def needs_consent(self) -> bool:
        """Whether people confirm it first: it toggles campaigns, or a limit changes by more than half."""
        return bool(self.edits) and (bool(self.toggles) or any(map(_is_large, self.edits)))

    @property
    def token(self) -> str:
        """A text that differs where the edit, what it is made on, or its toggles differ."""
        edits = [(edit.subject, edit.old, edit.new) for edit in self.edits]
        toggles = sorted((change.campaign_id, change.to_status) for change in self.toggles)
        seen = json.dumps([edits, toggles, self.is_partial], sort_keys=True)
        return hashlib.sha256(seen.encode()).hexdigest()[:24]

    @property
    def lines(self) -> list[str]:
        """The changed fields in words: `Daily limit $7,900.00 → $1.50`."""
        return [line for edit in self.edits for line in edit_lines(edit.subject, edit.old, edit.new, self._money)]

    def sentence(self, *, is_done: bool = False) -> str:
        """What it changes and toggles: `Daily limit $7,900.00 → $1.50: stops 132 campaigns now`."""
        words = effect_words(self.stopped, self.released, at_least=self.is_partial, is_done=is_done)
        return f"{'; '.join(self.lines) or 'Nothing changes'}: {words}"

    def _money(self, micros: int) -> str:
        return exact_money(micros, self.currency)


class Unconfirmed(Exception):
    """The edit was not made: `effect` is what it would do now, which nobody has agreed to."""

    def __init__(self, effect: Effect) -> None:
        super().__init__(effect.sentence())
        self.effect = effect


Agree = Callable[[Effect], bool]
"""Whether the edit may be made, now that its effect is known."""


def agreed_to(token: str) -> Agree:
    """Agrees to what needs no consent, and to the effect of this token."""
    return lambda effect: not effect.needs_consent or effect.token == token


def edit(work: Callable[[Connection], Result], brand_id: int, agree: Agree) -> tuple[Result, Effect]:
    """Makes and enforces an edit of one brand in one commit, where `agree` takes its effect.

    Raises Unconfirmed, with nothing changed, where it does not.
    """

    def noted_work(connection: Connection) -> tuple[Result, int]:
        last_entry = audit.last_entry(connection)
        return work(connection), last_entry

    def check(connection: Connection, done: tuple[Result, int], at: datetime) -> None:
        effects.append(_effect(connection, brand_id, done[1], at))
        if not agree(effects[-1]):
            raise Unconfirmed(effects[-1])

    effects: list[Effect] = []
    result, _ = enforcement.edited_then(noted_work, brand_id, lambda _connection, done: done, check)
    return result, effects[-1]


def previewed(work: Callable[[Connection], object], brand_id: int) -> Effect:
    """What the edit would do now: it is made and rolled back."""
    try:
        edit(work, brand_id, lambda _effect: False)
    except Unconfirmed as unconfirmed:
        return unconfirmed.effect
    raise AssertionError("an edit that nobody agreed to was made")


def _effect(connection: Connection, brand_id: int, last_entry: int, at: datetime) -> Effect:
    changes, is_partial = enforcement.outlook(connection, brand_id, at, LOOKED_AT)
    return Effect(
        edits=tuple(audit.entries_of_transaction(connection, last_entry)),
        currency=catalog.brand(connection, brand_id)["currency"],
        toggles=tuple(change for change in changes if change.is_toggle),
        is_partial=is_partial,
    )


def _is_large(edit: AuditedEdit) -> bool:
    """Whether a limit is taken away, or changes by more than its half."""
    if edit.subject != "budget" or edit.old is None:
        return False
    if edit.new is None:
        return True
    old, new = int(edit.old["limit_micros"]), int(edit.new["limit_micros"])
    return abs(new - old) * LARGE_CHANGE > old
