"""The admin at /admin/: its pages, its sign-in and its error pages."""

import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Final

import structlog
from dramatiq.errors import BrokerConnectionError
from fastapi import FastAPI
from jinja2 import Template
from redis import RedisError
from sqlalchemy.exc import DataError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_admin import BaseModelView, DefaultTheme
from starlette_admin.contrib.sqla import Admin
from starlette_admin.routing import route
from starlette_admin.theme import ClassMap
from starlette_admin.views import Link

from app.access import HashingBusy
from db.engine import engine
from db.failures import TRANSIENT_ERRORS
from db.models.access import User
from db.models.ledger import RejectedEvent
from runtime.settings import settings
from web.admin import consent, stale
from web.admin.origins import leading_back
from web.admin.pages.access import KeyView, UserView
from web.admin.pages.alerts import Alerts
from web.admin.pages.brands import BrandView
from web.admin.pages.budgets import BudgetView
from web.admin.pages.campaigns import CampaignView
from web.admin.pages.history import AuditView, RejectedView, StatusChangeView
from web.admin.pages.home import Home
from web.admin.pages.imports import Imports
from web.admin.pages.platforms import PlatformCheck, PlatformView
from web.admin.pages.schedules import ScheduleEditor
from web.admin.pages.undo import Undo
from web.admin.pages.webhooks import Webhooks
from web.admin.rows import AuditRow, BrandRow, BudgetRow, CampaignRow, ConnectionRow, KeyRow, StatusChangeRow
from web.admin.scripts import MarkedScripts
from web.admin.sign_in.admission import Admission
from web.admin.sign_in.auth import SignIn, secret_key
from web.csrf import MaskedTokens
from web.problems import RETRY_LATER

log = structlog.get_logger()

LINKS: Final = frozenset({"view", "edit", "schedule", "check"})
"""Row actions that are links to a page; they cannot be run."""

WAIT_SECONDS: Final = 20
"""Seconds that a request waits for a free slot of the admin before it is answered 503."""

TEMPLATES: Final = Path(__file__).parent.parent / "templates" / "admin"


class Buttons(ClassMap):
    """Shows Cancel as a plain button; starlette-admin shows it in red."""

    classes: ClassVar = {"form.cancel_button": "btn"}


class Theme(DefaultTheme):
    """The default theme with our buttons. static/admin/theme.js sets light or dark as the person's system does."""

    def get_class_map(self) -> ClassMap:
        """The CSS classes of the pages' elements."""
        return Buttons()


class Site(Admin):
    """The site of starlette-admin, which in addition answers 403 to forged actions and shows a new secret once."""

    def _init_csrf(self) -> None:
        """Uses masked CSRF tokens, which compression does not reveal."""
        self.middlewares.append(Middleware(MaskedTokens, secret_key=str(self.secret_key)))

    @route("/_api/{key}/action", methods=["POST"], name="action")
    async def handle_action(self, request: Request) -> Response:
        """Runs a bulk action; answers a request for a preview with the question about its effect, as JSON.

        Raises HTTPException (403) if the person's role forbids the action.
        """
        view = self._view(request)
        if not await view.is_action_allowed(request, request.query_params.get("name", "")):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        return _previewed(request, await super().handle_action(request))

    @route("/_api/{key}/row-action", methods=["POST"], name="row-action")
    async def handle_row_action(self, request: Request) -> Response:
        """Runs an action on one row; answers a request for a preview with the question about its effect, as JSON.

        Raises HTTPException (403) if the person's role forbids the action, or if it is only a link.
        """
        view, name = self._view(request), request.query_params.get("name", "")
        if name in LINKS or not await view.is_row_action_allowed(request, name):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        return _previewed(request, await super().handle_row_action(request))

    @route("/{key}/create", methods=["GET", "POST"], name="create")
    async def _render_create(self, request: Request) -> Response:
        if (back := leading_back(request)) is not None:
            return back
        if request.method == "POST":
            await consent.read(request)
        return self._secret_or(request, await super()._render_create(request))

    @route("/{key}/edit", methods=["GET", "POST"], name="edit")
    async def _render_edit(self, request: Request) -> Response:
        if (back := leading_back(request)) is not None:
            return back
        if request.method == "POST":
            request.state.seen = await stale.mark_in_form(request)
            await consent.read(request)
        return self._secret_or(request, await super()._render_edit(request))

    async def _render_form_body(
        self, request: Request, view: BaseModelView, obj: Any, errors: Any, config: dict[str, Any]
    ) -> None:
        """Shows a refused form with the typed values, and the edited row's read-only values."""
        row = config.get("raw_obj")
        if row is not None and isinstance(obj, dict):
            obj = {**await view.serialize(row, request), **obj}
            config["obj"] = obj
        await super()._render_form_body(request, view, obj, errors, config)

    def _view(self, request: Request) -> BaseModelView:
        view = self._find_view_by_key(request.path_params["key"])
        if not view.is_accessible(request):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        return view

    def _secret_or(self, request: Request, response: Response) -> Response:
        """Returns the page that shows the secret which this request created; without such a secret, the response.

        Gives an edit that waits for confirmation the status 200, so that it is not logged as a failure.
        """
        if hasattr(request.state, "unconfirmed"):
            response.status_code = HTTPStatus.OK
        shown = getattr(request.state, "shown_once", None)
        if shown is None:
            return response
        return self._template_response(request, "shown_once.html", {"title": shown.title, "shown": shown})


def _previewed(request: Request, response: Response) -> Response:
    """The response of an action, or the question about its effect as JSON if the request asks for a preview."""
    preview = getattr(request.state, "preview", None)
    return response if preview is None else JSONResponse(preview)


class Faults:
    """Answers uncaught errors with one page: 503 if a server is unreachable or busy, 422 for a value that cannot be
    stored, an HTTPException's own 4xx status, and 500 for others. Logs one line for 503 and 500.
    Raises the error again if the response has begun.
    """

    def __init__(self, app: ASGIApp, page: Template) -> None:
        self.app = app
        self.page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            status, sentence = _status_and_sentence(error)
            headers = RETRY_LATER if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            await HTMLResponse(self.page.render(sentence=sentence), status, headers)(scope, receive, send)


def _status_and_sentence(error: Exception) -> tuple[HTTPStatus, str]:
    if isinstance(error, (*TRANSIENT_ERRORS, PoolTimeout, RedisError, BrokerConnectionError, HashingBusy)):
        log.warning("http.server_away", error=type(error).__name__)
        return HTTPStatus.SERVICE_UNAVAILABLE, "A server is unreachable or busy. Nothing was changed; try again."
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return HTTPStatus(error.status_code), f"{str(error.detail).removesuffix('.')}."
    if isinstance(error, DataError):
        return HTTPStatus.UNPROCESSABLE_ENTITY, "A value cannot be stored; go back and check what you typed."
    log.error("http.failed", exc_info=error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, "An unexpected error in the server; its log has the details."


def mount(app: FastAPI) -> None:
    """Mounts the admin at /admin/. Its database session is read-only; edits use their own audited transactions."""
    # The library logs what people type into its forms, passwords too; `http.request` and the audit record the edits.
    logging.getLogger("starlette_admin").setLevel(logging.CRITICAL)
    site = Site(
        engine().execution_options(postgresql_readonly=True),
        title="Spendgate",
        favicon_url="/static/icon.svg",
        templates_dir=str(TEMPLATES),
        index_view=Home(),
        auth_provider=SignIn(),
        secret_key=secret_key(),
        theme=Theme(),
        timezone_config=None,
    )
    site.templates.env.add_extension(MarkedScripts)
    site.templates.env.auto_reload = False  # spares each page hundreds of looks at the files of its templates
    fault = site.templates.env.get_template("fault.html")
    at_once = max(1, settings().web_threads // 2)
    site.middlewares.insert(0, Middleware(Admission, at_once=at_once, seconds=WAIT_SECONDS, page=fault))
    site.middlewares.insert(0, Middleware(Faults, page=fault))
    for view in _views():
        site.add_view(view)
    site.mount_to(app)


def _views() -> list[Any]:
    return [
        BrandView(BrandRow),
        CampaignView(CampaignRow),
        BudgetView(BudgetRow),
        ScheduleEditor(),
        Undo(),
        Imports(),
        Alerts(),
        PlatformView(ConnectionRow),
        PlatformCheck(),
        Webhooks(),
        RejectedView(RejectedEvent),
        StatusChangeView(StatusChangeRow),
        AuditView(AuditRow),
        UserView(User),
        KeyView(KeyRow),
        Link("Dashboard", icon="fa fa-gauge", url="/"),
    ]
