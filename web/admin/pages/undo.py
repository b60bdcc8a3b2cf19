"""Undoes a status change of many rows: each row that it changed gets its former status back."""

from collections import defaultdict
from datetime import datetime
from functools import partial
from http import HTTPStatus

from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin import CustomView, flash
from starlette_admin.routing import route

from db.engine import snapshot
from db.repository.access import audit
from db.repository.access.audit import Edit, StatusEdit
from db.repository.catalog import catalog
from domain.edits.words import counted
from domain.errors import InvalidValue
from domain.typed_moments import parse_moment
from web.admin import bulk, consent
from web.admin.bulk import Action, Outcome, Verbs
from web.admin.pages.statuses import EDITS
from web.admin.views import may_edit, person_of

READ = {"brand": catalog.brand, "campaign": catalog.campaign}


class Undo(CustomView):
    """The page that asks before a person's own change of many statuses is undone."""

    path = "/undo"
    route_name = "undo"
    add_to_menu = False

    @route("", methods=["GET", "POST"])
    async def index(self, request: Request) -> Response:
        """Shows the effect of undoing, and undoes once the person confirms. Raises HTTPException (403) for viewers."""
        if not may_edit(request):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        action = await run_sync(partial(_action, request))
        preview = await bulk.expected(request, action)
        back = str(request.url_for("admin:list", key=f"{action.noun}s"))
        if request.method == "POST" and (await request.form()).get(consent.FIELD) == preview.token:
            outcome = await bulk.made(request, action, preview)
            flash(request, f"{outcome.sentence(action, is_done=True)}.", "success")
            return RedirectResponse(back, HTTPStatus.SEE_OTHER)
        return self._page(request, action, preview, back)

    def _page(self, request: Request, action: Action, preview: Outcome, back: str) -> Response:
        assert self._admin is not None  # noqa: S101 - set when the view is added
        context = {
            "title": "Undo",
            "sentence": f"{preview.sentence(action)}." if preview.done else "There is nothing left to undo.",
            "notes": action.notes,
            "things": len(preview.done),
            "token": preview.token,
            "back": back,
        }
        return self._admin._template_response(request, "undo.html", context)


def _action(request: Request) -> Action:
    """The action that undoes the status change that this person made at the time `at` of the query.

    Skips rows whose status was changed since. Raises HTTPException (404) for an unknown `noun`, and if `at` is no time.
    """
    noun = request.query_params.get("noun", "")
    if noun not in EDITS:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such action.")
    edit = Edit(person_of(request).label, _moment(request.query_params.get("at", "")))
    with snapshot() as connection:
        changed = {change.subject_id: change for change in audit.status_edits_at(connection, noun, edit)}
        kept = [change for change in changed.values() if _is_as_left(connection, noun, change, edit)]

    def restore(connection: Connection, own_id: int, by: Edit) -> None:
        if _is_as_left(connection, noun, changed[own_id], edit):
            EDITS[noun](connection, own_id, {"configured_status": changed[own_id].old_status}, by)

    ids: defaultdict[int, list[int]] = defaultdict(list)
    for change in kept:
        ids[change.brand_id].append(change.subject_id)
    left = len(changed) - len(kept)
    notes = [_left_as_it_is(left, noun)] if left else []
    return Action(Verbs("Restore the status of", "Restored the status of"), noun, restore, ids, notes)


def _left_as_it_is(count: int, noun: str) -> str:
    stays = "stays as it is" if count == 1 else "stay as they are"
    return f"{counted(count, noun)} changed since and {stays}."


def _is_as_left(connection: Connection, noun: str, change: StatusEdit, edit: Edit) -> bool:
    """Whether the row still has the status that the change gave it in this edit.

    False if somebody has set the same status again since: undoing would then undo that person's decision.
    """
    status = READ[noun](connection, change.subject_id)["configured_status"]
    last = audit.last_status_edits(connection, noun, [change.subject_id], change.new_status)
    return bool(status == change.new_status and last.get(change.subject_id) == edit)


def _moment(text: str) -> datetime:
    try:
        return parse_moment("at", text)
    except InvalidValue:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such action.") from None
