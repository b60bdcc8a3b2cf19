"""Imports in the admin: files uploaded, previewed, corrected and confirmed; past imports, rows left out, undo."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin import CustomView, flash
from starlette_admin.routing import route

from app.imports.intake import left_out, words
from app.imports.intake import undo as undoing
from app.imports.intake.commit import commit
from app.ingest.by_brand import BrandsTimedOut
from db.engine import committed, snapshot
from db.repository.access.audit import Edit
from db.repository.imports import history, spend_files, uploads
from db.repository.imports.uploads import Upload
from domain import platforms
from domain.edits.words import counted
from domain.errors import InvalidValue
from domain.inputs.values import MAX_ID
from domain.text import readable
from runtime import clock
from runtime.formats import instant
from runtime.settings import settings
from web.admin import consent
from web.admin.fields import as_id
from web.admin.pages.import_forms import SELECTS, SWITCHES, TEXTS, Previewed, asked_for, chosen, previewed
from web.admin.views import may_edit, write

PAGE: Final = 50
SHOWN_ROWS: Final = 100
MAX_NAME: Final = 200
MAX_DIGITS: Final = 14


class Imports(CustomView):
    """The list of imports with the form for the next file, the preview of a file, and the pages of each import."""

    menu_label = "Imports"
    icon = "fa fa-file-import"
    path = "/imports"
    route_name = "imports"

    @route("", methods=["GET", "POST"])
    async def index(self, request: Request) -> Response:
        """Lists past imports, newest first. Stores a posted file and redirects to its preview.

        Raises HTTPException (403) for a posted file if the person may not edit.
        """
        if request.method == "POST":
            return await self._uploaded(request)
        before = as_id(request.query_params.get("before", "")) or MAX_ID
        return self._page(request, "imports.html", {"title": "Imports", **await run_sync(partial(_listed, before))})

    async def _uploaded(self, request: Request) -> Response:
        _need_right_to_edit(request)
        async with request.form() as form:
            sent = form.get("file")
            content = await sent.read() if isinstance(sent, UploadFile) else b""
            file_name = sent.filename if isinstance(sent, UploadFile) else None
            modified_at = _modified_at(str(form.get("modified_ms") or ""))
        if not file_name:
            flash(request, "Choose a file first.", "error")
            return RedirectResponse(str(request.url), HTTPStatus.SEE_OTHER)
        name = readable(PurePath(file_name.replace("\\", "/")).name)[:MAX_NAME] or "file"
        upload_id = await write(request, lambda edit: _keep(name, content, modified_at, edit))
        there = request.url_for("admin:import-preview", upload_id=upload_id)
        return RedirectResponse(str(there), HTTPStatus.SEE_OTHER)

    @route("/uploads/{upload_id}", methods=["GET", "POST"], name="import-preview")
    async def preview(self, request: Request) -> Response:
        """Shows how a file is read and its effect. A post discards the file, or confirms the effect and imports it.

        Raises HTTPException: 403 if the person may not edit, 404 if the upload no longer exists.
        """
        _need_right_to_edit(request)
        upload = await run_sync(partial(_upload, request.path_params["upload_id"]))
        form = await request.form() if request.method == "POST" else None
        if form is not None and form.get("discard"):
            await write(request, lambda _edit: _discard(upload))
            flash(request, f"{upload.file_name} was not imported.", "success")
            return RedirectResponse(str(request.url_for("admin:imports")), HTTPStatus.SEE_OTHER)
        seen = await run_sync(partial(previewed, upload, request.query_params))
        agreed = form is not None and seen.plan is not None and str(form.get(consent.FIELD)) == seen.plan.token
        if not agreed:
            return self._page(
                request, "import_preview.html", _context(request, upload, seen, is_again=form is not None)
            )
        try:
            return await self._committed(request, upload, seen)
        except InvalidValue as error:
            return self._page(request, "import_preview.html", _context(request, upload, seen, error=error))

    async def _committed(self, request: Request, upload: Upload, seen: Previewed) -> Response:
        wanted = seen.plan
        assert wanted is not None  # noqa: S101 - it was agreed to
        try:
            outcome = await write(request, lambda edit: commit(wanted, edit))
        except BrandsTimedOut as error:
            rest = f"Everything was imported except spend of {_locked(error)}: import the file again later."
            flash(request, rest, "warning")
            return RedirectResponse(str(request.url), HTTPStatus.SEE_OTHER)
        await run_sync(partial(_discard, upload))
        made = f"{counted(outcome.campaigns_made, 'campaign')} created, " if outcome.campaigns_made else ""
        left = len(outcome.rejections) + len(wanted.reading.bad_rows)
        taken = f"{counted(outcome.taken, 'total')} counted, {outcome.nothing_new:,} unchanged, {left:,} left out."
        flash(request, f"{upload.file_name}: {made}{taken}", "warning" if left else "success")
        there = request.url_for("admin:imports")
        if outcome.import_id is not None:
            there = request.url_for("admin:import", import_id=outcome.import_id)
        return RedirectResponse(str(there), HTTPStatus.SEE_OTHER)

    @route("/{import_id}", name="import")
    async def one(self, request: Request) -> Response:
        """Shows one import and the first SHOWN_ROWS rows that it left out.

        Raises HTTPException (404) if there is no such import.
        """
        context = await run_sync(partial(_one, request.path_params["import_id"]))
        return self._page(request, "import.html", context | {"may_edit": may_edit(request)})

    @route("/{import_id}/skipped.csv", name="import-skipped")
    async def skipped(self, request: Request) -> Response:
        """The rows that an import left out, as a CSV file. Raises HTTPException (404) if there is no such import."""
        rows = await run_sync(partial(_left_out, request.path_params["import_id"]))
        name = f"import-{request.path_params['import_id']}-skipped.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(_as_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)

    @route("/{import_id}/undo", methods=["GET", "POST"], name="import-undo")
    async def undo(self, request: Request) -> Response:
        """Shows the totals that undoing would restore, and undoes the import once the person confirms.

        Raises HTTPException: 403 if the person may not edit, 404 if there is no such import or nothing left to undo.
        """
        _need_right_to_edit(request)
        import_id = as_id(request.path_params["import_id"]) or 0
        back = str(request.url_for("admin:import", import_id=import_id))
        try:
            seen = await run_sync(partial(undoing.undoing, import_id))
            if request.method == "POST" and (await request.form()).get(consent.FIELD) == seen.token:
                try:
                    done = await write(request, partial(undoing.undo, import_id))
                except BrandsTimedOut as error:
                    rest = f"Everything was put back except totals of {_locked(error)}: undo the import again later."
                    flash(request, rest, "warning")
                else:
                    flash(request, f"{done.sentence(is_done=True)}.", "success")
                return RedirectResponse(back, HTTPStatus.SEE_OTHER)
        except InvalidValue as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, error.message) from None
        context = {
            "title": f"Undo import {import_id}",
            "sentence": f"{seen.sentence()}.",
            "notes": [seen.note] if seen.kept else [],
            "things": len(seen.restored),
            "token": seen.token,
            "back": back,
        }
        return self._page(request, "undo.html", context)

    def _page(self, request: Request, template: str, context: Mapping[str, Any]) -> Response:
        assert self._admin is not None  # noqa: S101 - set when the view is added
        status = context.get("status", HTTPStatus.OK)
        return self._admin._template_response(request, template, {"may_edit": may_edit(request), **context}, status)


def _locked(error: BrandsTimedOut) -> str:
    return f"{', '.join(f'brand {brand_id}' for brand_id in error.brand_ids)}, which is locked"


def _need_right_to_edit(request: Request) -> None:
    """Raises HTTPException (403) if the person's role does not allow edits."""
    if not may_edit(request):
        raise HTTPException(HTTPStatus.FORBIDDEN)


def _listed(before: int) -> dict[str, Any]:
    with snapshot() as connection:
        rows = history.newest(connection, before=before, limit=PAGE + 1)
        problems = spend_files.problems(connection)
    shown = rows[:PAGE]
    return {
        "imports": [_as_shown(row) for row in shown],
        "older": shown[-1]["id"] if len(rows) > PAGE else None,
        "problems": problems,
        "folder": settings().spend_folder,
        "max_megabytes": settings().max_body_bytes // 1_048_576,
    }


def _as_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """An import's row with the texts that pages show: platform, times, sum, and the number of inputs left out."""
    return {
        **row,
        "label": platforms.label(row["platform"]),
        "when": instant(row["imported_at"]),
        "true_at": instant(row["as_of"]),
        "sum": words.sums(row["sum_micros"]),
        "left_out": row["rejected"] + row["skipped_rows"],
        "undone_when": None if row["undone_at"] is None else instant(row["undone_at"]),
    }


def _keep(name: str, content: bytes, modified_at: datetime | None, edit: Edit) -> int:
    """Stores an uploaded file until it is imported or discarded; returns its id.

    `modified_at`: the file's modification time; one in the future counts as now.
    """
    known = None if modified_at is None else min(modified_at, edit.at)
    return committed(lambda connection: uploads.add(connection, name, content, known, edit.by, edit.at))


def _modified_at(milliseconds: str) -> datetime | None:
    """The file's modification time, from the browser's milliseconds since 1970 UTC; None for any other text."""
    if not milliseconds.isdecimal() or len(milliseconds) > MAX_DIGITS:
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _upload(upload_id: str) -> Upload:
    with snapshot() as connection:
        found = uploads.one(connection, as_id(upload_id) or 0, clock.now())
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "This upload no longer exists. Upload the file again.")
    return found


def _discard(upload: Upload) -> None:
    committed(lambda connection: uploads.remove(connection, upload.id, clock.now()))


def _found(import_id: str) -> dict[str, Any]:
    try:
        with snapshot() as connection:
            return history.one(connection, as_id(import_id) or 0)
    except InvalidValue as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, error.message) from None


def _one(import_id: str) -> dict[str, Any]:
    row = _found(import_id)
    rows = _left_out(import_id)
    more = len(rows) - SHOWN_ROWS
    return {"title": row["file_name"], "one": _as_shown(row), "skipped": rows[:SHOWN_ROWS], "more": more}


def _left_out(import_id: str) -> list[dict[str, Any]]:
    row = _found(import_id)
    with snapshot() as connection:
        return history.left_out(connection, row["id"])


def _as_csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    left_out.write_csv(stream, ((row["line"], row["cell"], row["reason"]) for row in rows))
    return stream.getvalue()


def _context(
    request: Request, upload: Upload, seen: Previewed, *, is_again: bool = False, error: InvalidValue | None = None
) -> dict[str, Any]:
    """The values of the preview's template.

    `is_again`: the person confirmed an effect that has changed since. `error`: the refusal of a confirmed import.
    """
    refused = error or seen.refused
    return {
        "title": upload.file_name,
        "seen": seen,
        "refused": None if refused is None else f"{refused.message}.",
        "is_again": is_again and seen.plan is not None,
        "lines": [] if seen.reading is None else list(words.reading_lines(seen.reading)),
        "plan_lines": [] if seen.plan is None else list(words.plan_lines(seen.plan)),
        "warnings": seen.warnings,
        "concerns": [] if seen.plan is None else list(words.concerns(seen.plan)),
        "choices": [_choice(request, one) for one in seen.choices],
        "selects": SELECTS,
        "switches": SWITCHES,
        "texts": TEXTS,
        "values": asked_for(request.query_params),
        "brands": seen.brands,
        "platforms": platforms.PLATFORMS,
        "status": HTTPStatus.UNPROCESSABLE_ENTITY if refused is not None else HTTPStatus.OK,
    }


def _choice(request: Request, choice: Any) -> dict[str, str]:
    """One reading to choose, for the template: `label`, `facts` (sum and days) and the `link` that chooses it."""
    facts = [] if choice.sum_micros is None else [words.sums(choice.sum_micros)]
    if choice.first_day is not None:
        facts.append(f"{choice.first_day} to {choice.last_day}")
    query = urlencode(dict(request.query_params) | chosen(choice))
    return {"label": choice.label, "facts": ", ".join(facts), "link": f"?{query}"}
