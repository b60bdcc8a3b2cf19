"""Bulk actions: preview the effect brand by brand, ask for confirmation, then edit brand by brand."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection
from starlette.requests import Request
from starlette_admin import flash
from starlette_admin.exceptions import ActionFailed

from app.edits import preview as edits
from app.edits.preview import Effect, Unconfirmed
from db.failures import TRANSIENT_ERRORS
from db.repository.access.audit import Edit
from domain.edits.words import counted, effect_words
from web.admin import consent
from web.admin.views import write

log = structlog.get_logger()

Work = Callable[[Connection], object]
Make = Callable[[Work, int], Effect]


class Verbs(NamedTuple):
    """The verb of an action: `before` it is made, such as Pause, and `after`, such as Paused."""

    before: str
    after: str


@dataclass(frozen=True)
class Action:
    """An action that a person asked for on many rows.

    `change`: edits one row, by its id. `ids`: the ids of the rows to edit, by brand id. `notes`: sentences about chosen
    rows that are left out. `option`: the label of a checkbox that includes some of the rows left out; empty: no
    checkbox.
    """

    verbs: Verbs
    noun: str
    change: Callable[[Connection, int, Edit], object]
    ids: Mapping[int, Sequence[int]]
    notes: Sequence[str] = ()
    option: str = ""


@dataclass
class Outcome:
    """The effects of an action by brand id, and the ids of the rows that it changed, or would change in a preview.

    `postponed`: how many rows stayed as they were, because the database was busy or the effect on their brand was not
    the previewed one.
    """

    at: datetime
    effects: dict[int, Effect] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    postponed: int = 0

    @property
    def needs_consent(self) -> bool:
        """Whether the effect on any brand needs confirmation."""
        return any(effect.needs_consent for effect in self.effects.values())

    @property
    def token(self) -> str:
        """A hash (24 hex digits) of the effects on all brands; sent back to confirm the action."""
        tokens = "".join(f"{brand_id}:{effect.token};" for brand_id, effect in sorted(self.effects.items()))
        return hashlib.sha256(tokens.encode()).hexdigest()[:24]

    def sentence(self, action: Action, *, is_done: bool = False) -> str:
        """`Pause 3 campaigns: stops 2 campaigns now`; with `is_done` `Paused 3 campaigns: stopped 2 campaigns`."""
        effects = self.effects.values()
        words = effect_words(
            sum(effect.stopped for effect in effects),
            sum(effect.released for effect in effects),
            at_least=any(effect.is_partial for effect in effects),
            is_done=is_done,
        )
        verb = action.verbs.after if is_done else action.verbs.before
        return f"{verb} {counted(len(self.done), action.noun)}: {words}"


async def expected(request: Request, action: Action) -> Outcome:
    """Runs the action brand by brand, rolls it back, and returns the outcome that it would have now."""
    outcome: Outcome = await write(request, partial(_by_brand, action, make=edits.previewed))
    return outcome


async def made(request: Request, action: Action, preview: Outcome) -> Outcome:
    """Runs the action on each brand where its effect is still the one in `preview`; returns the outcome.

    The next page shows how many rows could not be changed.
    """

    def make(work: Work, brand_id: int) -> Effect:
        return edits.edit(work, brand_id, edits.agreed_to(preview.effects[brand_id].token))[1]

    possible = replace(action, ids={brand_id: action.ids[brand_id] for brand_id in preview.effects})
    outcome: Outcome = await write(request, partial(_by_brand, possible, make=make))
    outcome.postponed += preview.postponed
    if outcome.postponed:
        left = counted(outcome.postponed, action.noun)
        flash(request, f"{left} could not be changed just now; try again.", "warning")
    return outcome


async def run(request: Request, action: Action) -> Outcome:
    """Runs an action of a list, if its effect needs no confirmation or the form confirms it; returns the outcome.

    Raises ActionFailed and changes nothing if a needed confirmation is missing, and for every request with `?preview`;
    for the latter it first stores the question to the person in `request.state.preview`.
    """
    preview = await expected(request, action)
    if request.query_params.get("preview"):
        request.state.preview = _question(action, preview)
        raise ActionFailed("a preview")
    if preview.needs_consent and (await request.form()).get(consent.FIELD) != preview.token:
        raise ActionFailed(f"{preview.sentence(action)}. Nothing was changed. Choose the action again and confirm it.")
    return await made(request, action, preview)


def _question(action: Action, preview: Outcome) -> dict[str, Any]:
    """The question to the person as JSON for static/admin/chosen.js; `agreed`: the token that confirms the effect."""
    busy = f"{counted(preview.postponed, action.noun)} cannot be changed just now: a server is busy."
    return {
        "sentence": f"{preview.sentence(action)}.",
        "notes": [*action.notes, *([busy] if preview.postponed else [])],
        "option": action.option,
        "agreed": preview.token,
    }


def _by_brand(action: Action, edit: Edit, make: Make) -> Outcome:
    """Runs the action brand by brand with `make`, so that a brand that cannot be changed now does not stop the others.

    A brand whose change meets a transient error or another effect than the confirmed one counts as postponed.
    """
    outcome = Outcome(edit.at)
    for brand_id, ids in sorted(action.ids.items()):
        try:
            outcome.effects[brand_id] = make(partial(_change_rows, action, ids, edit), brand_id)
            outcome.done += ids
        except (*TRANSIENT_ERRORS, Unconfirmed) as error:
            log.warning("enforcement.postponed", brand_id=brand_id, error=type(error).__name__)
            outcome.postponed += len(ids)
    return outcome


def _change_rows(action: Action, ids: Sequence[int], edit: Edit, connection: Connection) -> None:
    for own_id in ids:
        action.change(connection, own_id, edit)
