"""Previews of edits: an edit is made and enforced in a transaction that rolls back unless a person has confirmed it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar, cast

from sqlalchemy import Connection

from app import enforcement
from app.decisions import changes_of_campaigns
from app.edits.effects import toggled, token_of
from db.repository.access import audit
from db.repository.access.audit import AuditedEdit
from db.repository.catalog import catalog
from db.repository.enforcement.changes import DecidedChange
from domain.edits.words import edit_lines, effect_words
from runtime.formats import exact_money

Result = TypeVar("Result")

LARGE_CHANGE: Final = 2
"""Divisor: a limit that changes by more than 1/2 of its old value needs confirmation even if no campaign stops."""


class Confirmable(Protocol):
    """The effect of an edit that a person may have to confirm."""

    @property
    def needs_consent(self) -> bool:
        """Whether a person must confirm the edit."""

    @property
    def token(self) -> str:
        """A hash of the edit and its effect; sent back to confirm the edit."""

    @property
    def stopped(self) -> int:
        """How many campaigns stop."""

    def sentence(self, *, is_done: bool = False) -> str:
        """The edit and its effect in words; `is_done`: the edit was made."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one edit of a brand: its audit entries, and the campaigns that it stops or starts."""

    edits: tuple[AuditedEdit, ...]
    currency: str
    toggles: tuple[DecidedChange, ...]
    is_partial: bool = False
    """Whether the edit concerns more than enforcement.LOOKED_AT campaigns; `toggles` then covers only the oldest."""

    @property
    def stopped(self) -> int:
        """How many campaigns stop; at least so many if `is_partial`."""
        return len(toggled(self.toggles).stops)

    @property
    def released(self) -> int:
        """How many campaigns start again; at least so many if `is_partial`."""
        return len(toggled(self.toggles).starts)

    @property
    def needs_consent(self) -> bool:
        """Whether a person must confirm the edit: it toggles campaigns, removes a limit or changes it by over half."""
        return bool(self.edits) and (bool(self.toggles) or any(map(_is_large, self.edits)))

    @property
    def token(self) -> str:
        """A hash (24 hex digits) of the edit, the values it replaces and its toggles; sent back to confirm the edit."""
        edits = [(edit.subject, edit.old, edit.new) for edit in self.edits]
        toggles = [(campaign_id, change.to_status) for campaign_id, change in changes_of_campaigns(self.toggles)]
        return token_of(edits, toggles, self.is_partial)

    @property
    def lines(self) -> list[str]:
        """One line for each changed field, such as `Daily limit $7,900.00 → $1.50`."""
        return [line for edit in self.edits for line in edit_lines(edit.subject, edit.old, edit.new, self._money)]

    def sentence(self, *, is_done: bool = False) -> str:
        """The changed fields and toggles in words: `Daily limit $7,900.00 → $1.50: stops 132 campaigns now`.

        `is_done`: the edit was made, so the sentence is in the past tense.
        """
        words = effect_words(self.stopped, self.released, at_least=self.is_partial, is_done=is_done)
        return f"{'; '.join(self.lines) or 'Nothing changes'}: {words}"

    def _money(self, micros: int) -> str:
        return exact_money(micros, self.currency)


class Unconfirmed(Exception):
    """The edit was rolled back, because nobody has confirmed its `effect`."""

    def __init__(self, effect: Confirmable) -> None:
        super().__init__(effect.sentence())
        self.effect = effect


AnyEffect = TypeVar("AnyEffect", bound=Confirmable)

Agree = Callable[[Confirmable], bool]
"""Returns whether an edit with this effect may be committed."""


def agree_to_all(_effect: Confirmable) -> bool:
    """Returns True for every effect: of dry runs, and of edits by programs."""
    return True


def agreed_to(token: str) -> Agree:
    """Returns a check that allows an edit which needs no confirmation, or whose effect has this token."""
    return lambda effect: not effect.needs_consent or effect.token == token


def agreed(effect: AnyEffect, agree: Agree) -> AnyEffect:
    """Returns the effect. Raises Unconfirmed, which rolls the edit back, if `agree` does not allow it."""
    if not agree(effect):
        raise Unconfirmed(effect)
    return effect


def edit(work: Callable[[Connection], Result], brand_id: int, agree: Agree) -> tuple[Result, Effect]:
    """Makes and enforces an edit of one brand in one commit; returns the result of `work` and the effect.

    Raises Unconfirmed, and rolls the edit back, if `agree` does not allow the effect.
    """

    def audited_work(connection: Connection) -> tuple[Result, int]:
        last_entry = audit.last_entry(connection)
        return work(connection), last_entry

    def check(connection: Connection, done: tuple[Result, int], at: datetime) -> None:
        effects.append(agreed(_effect(connection, brand_id, done[1], at), agree))

    effects: list[Effect] = []
    result, _ = enforcement.edited_then(audited_work, brand_id, lambda _connection, done: done, check)
    return result, effects[-1]


def previewed(work: Callable[[Connection], object], brand_id: int) -> Effect:
    """The effect that the edit would have now: it is made and rolled back. Raises its errors, such as InvalidValue."""
    try:
        edit(work, brand_id, lambda _effect: False)
    except Unconfirmed as unconfirmed:
        return cast("Effect", unconfirmed.effect)  # what `edit` raises it with
    raise AssertionError("an edit was committed without confirmation")


def _effect(connection: Connection, brand_id: int, last_entry: int, at: datetime) -> Effect:
    changes, is_partial = enforcement.outlook(connection, brand_id, at)
    return Effect(
        edits=tuple(audit.entries_of_transaction(connection, last_entry)),
        currency=catalog.brand(connection, brand_id)["currency"],
        toggles=tuple(change for change in changes if change.is_toggle),
        is_partial=is_partial,
    )


def _is_large(edit: AuditedEdit) -> bool:
    """Whether the edit removes a limit or changes it by more than half of its old value."""
    if edit.subject != "budget" or edit.old is None:
        return False
    if edit.new is None:
        return True
    old, new = int(edit.old["limit_micros"]), int(edit.new["limit_micros"])
    return abs(new - old) * LARGE_CHANGE > old
