"""Sets one status on many brands or campaigns.

Skips archived rows. Enable also skips rows that were paused before the newest pause, unless the person includes them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.requests import Request
from starlette_admin import flash

from app.edits import editing
from db.engine import snapshot
from db.repository.access import audit
from db.repository.access.audit import Edit
from db.repository.enforcement import passes
from domain.campaigns import ConfiguredStatus
from domain.edits.words import counted
from runtime.formats import first_of, instant
from web.admin import bulk, consent
from web.admin.bulk import Action, Verbs

EditFields = Callable[[Connection, int, Mapping[str, object], Edit], None]

EDITS: Final[dict[str, EditFields]] = {"brand": editing.edit_brand, "campaign": editing.edit_campaign}
VERBS: Final = {
    ConfiguredStatus.PAUSED: Verbs("Pause", "Paused"),
    ConfiguredStatus.ENABLED: Verbs("Enable", "Enabled"),
    ConfiguredStatus.ARCHIVED: Verbs("Archive", "Archived"),
}
OTHERS: Final = "others"
"""The field of the checkbox with which Enable includes rows that were paused before the newest pause."""

NAMED_AT_MOST: Final = 5


async def change_statuses(request: Request, noun: str, rows: Sequence[Any], status: ConfiguredStatus) -> None:
    """Sets the status of the chosen rows, shows the outcome, and offers to undo it.

    `noun`: `brand` or `campaign`. Raises ActionFailed for a request for a preview, and if a needed confirmation is
    missing.
    """
    includes_others = (await request.form()).get(OTHERS) is not None
    action = await run_sync(partial(_action, noun, rows, status, includes_others=includes_others))
    outcome = await bulk.run(request, action)
    if not outcome.done:
        flash(request, consent.shortened(" ".join(["Nothing was changed.", *action.notes])), "info")
        return
    banner = " ".join([f"{outcome.sentence(action, is_done=True)}.", *action.notes])
    flash(request, consent.shortened(banner), "success")
    request.state.admin_flash_pending[-1]["undo"] = {"noun": noun, "at": outcome.at.isoformat()}
    for words in await run_sync(_progress, list(action.ids)):
        flash(request, f"A large brand is enforced in parts: {words}.", "info")


def _progress(brand_ids: Sequence[int]) -> list[str]:
    """For each of these brands whose campaigns are not all enforced yet, a text about the progress."""
    with snapshot() as connection:
        return [progress.in_words() for progress in passes.progress(connection, brand_ids).values()]


def _action(noun: str, rows: Sequence[Any], status: ConfiguredStatus, *, includes_others: bool) -> Action:
    same = [row for row in rows if row.configured_status == status]
    kept = [row for row in rows if ConfiguredStatus.ARCHIVED == row.configured_status != status]
    wanted = [row for row in rows if row.configured_status not in {status, ConfiguredStatus.ARCHIVED}]
    notes = [f"{counted(len(same), noun)} {'is' if len(same) == 1 else 'are'} {status} already."] if same else []
    if kept:
        notes.append(f"{_named(kept)} {'stays' if len(kept) == 1 else 'stay'} archived; restore one in its form.")
    option = ""
    if status == ConfiguredStatus.ENABLED:
        paused_together, others = _last_paused(noun, wanted, is_mixed=bool(same))
        if others:
            paused_before = first_of([_paused_by(row, last) for row, last in others], NAMED_AT_MOST, "; ")
            option = f"Also enable rows that were paused earlier: {paused_before}"
            notes += [] if includes_others else [f"Paused earlier, and left as they are: {paused_before}."]
        wanted = wanted if includes_others else paused_together
    change = partial(_set_status, EDITS[noun], status)
    return Action(VERBS[status], noun, change, _by_brand(noun, wanted), notes, option)


def _set_status(edit_fields: EditFields, status: str, connection: Connection, own_id: int, edit: Edit) -> None:
    edit_fields(connection, own_id, {"configured_status": status}, edit)


def _by_brand(noun: str, rows: Iterable[Any]) -> dict[int, list[int]]:
    ids: defaultdict[int, list[int]] = defaultdict(list)
    for row in rows:
        ids[row.id if noun == "brand" else row.brand_id].append(row.id)
    return dict(ids)


Paused = tuple[Any, Edit | None]
"""A row of a brand or campaign, and the author and time of its last pause; None: the pause is unknown."""


def _last_paused(noun: str, rows: Sequence[Any], *, is_mixed: bool) -> tuple[list[Any], list[Paused]]:
    """Splits paused rows into those that Enable includes, and those it leaves because somebody paused them earlier.

    Enable includes the rows of the newest pause; none if `is_mixed`, which means that the person chose enabled rows
    too.
    """
    with snapshot() as connection:
        pauses = audit.last_status_edits(connection, noun, [row.id for row in rows], ConfiguredStatus.PAUSED)
    newest = max(pauses.values(), key=lambda pause: pause.at, default=None)
    together = [] if is_mixed else [row for row in rows if pauses.get(row.id) == newest]
    return together, [(row, pauses.get(row.id)) for row in rows if is_mixed or pauses.get(row.id) != newest]


def _paused_by(row: Any, pause: Edit | None) -> str:
    return _named([row]) if pause is None else f"{_named([row])} by {pause.by} at {instant(pause.at)}"


def _named(rows: Sequence[Any]) -> str:
    return first_of([f"{row.name} ({row.id})" for row in rows], NAMED_AT_MOST)
