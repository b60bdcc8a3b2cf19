"""Connections to ad platforms: connect an account, change its mode and login, check it, remove it."""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import (
    CustomView,
    HasMany,
    IntegerField,
    PasswordField,
    RequestAction,
    StringField,
    flash,
    link_row_action,
    row_action,
)
from starlette_admin.exceptions import FormValidationError
from starlette_admin.fields import BaseField
from starlette_admin.routing import route

from app.platforms import connecting, modes, quota
from app.platforms.connecting import NewConnection
from app.platforms.credentials import KEPT, secrets_in
from app.platforms.registry import ADAPTERS
from app.platforms.seen import age
from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.platforms import connections, seen
from db.repository.platforms.connections import StoredConnection
from domain.errors import InvalidValue
from domain.platform_words import account_in_words, length
from domain.platforms import label
from domain.reconcile import Mode
from runtime import clock
from web.admin import consent, stale
from web.admin.fields import RELATED, Choice, MomentField, as_id, computed
from web.admin.views import View, may_edit, may_manage_access, write

MODES: Final = [
    (Mode.OFF.value, "off: nothing is read or changed there"),
    (Mode.SHADOW.value, "shadow: reads everything, changes nothing"),
    (Mode.PAUSE_ONLY.value, "pause_only: pauses campaigns there, enables none"),
    (Mode.FULL.value, "full: pauses campaigns there, and enables what it paused"),
]
LOGIN_FIELDS: Final = frozenset({"secrets", "credentials", "login_customer_id"})
"""Fields that only owners may see on a form and set."""

SECRETS_HELP: Final = (
    'A JSON object; Google Ads: {"client_id": "…", "client_secret": "…", "refresh_token": "…"}, Meta: {"access_token": '
    '"…", "app_secret": "…"}. It is kept encrypted and never shown again.'
)


def _never_shown(_request: Request, _row: Any) -> None:
    return None


def _figure_of_account(name: str, request: Request, row: Any) -> Any:
    """The value `name` that `PlatformView.attach` has read for the row; None if it has not read the row."""
    return getattr(request.state, "accounts", {}).get(row.id, {}).get(name)


class PlatformView(View):
    """The list of connections: accounts on ad platforms that Spendgate reads and, if their mode allows it, changes."""

    key = "platforms"
    menu_label = "Ad platforms"
    display_name = "platform connection"
    icon = "fa fa-plug"
    fields = (
        IntegerField("id", label="Id"),
        Choice("platform", choices=[(name, label(name)) for name in ADAPTERS], required=True),
        StringField("account_id", label="Account", required=True, help_text="The account's id on the platform."),
        HasMany("brands", key="brands", filters=RELATED, help_text="The brands whose campaigns are in the account."),
        Choice(
            "mode",
            choices=MODES,
            required=True,
            default=Mode.SHADOW.value,
            help_text="What Spendgate may read and change on the platform.",
        ),
        computed("state", "State", partial(_figure_of_account, "state")),
        computed("pauses", "Pauses not confirmed", partial(_figure_of_account, "pauses")),
        computed("read", "Last read", partial(_figure_of_account, "read")),
        computed("problem", "Problem", partial(_figure_of_account, "problem")),
        PasswordField("secrets", label="Login to keep encrypted", help_text=SECRETS_HELP, getter=_never_shown),
        StringField(
            "credentials",
            label="Login by reference",
            help_text="In place of a kept login: env:NAME or file:/path, which the workers and this server can read.",
        ),
        StringField(
            "login_customer_id",
            label="Manager account",
            help_text="The Google Ads manager account through which the login has access. Usually empty.",
            getter=lambda _, row: row.options.get("login_customer_id"),
        ),
        MomentField("created_at", label="Connected"),
    )
    exclude_fields_from_list = ("brands", "secrets", "credentials", "login_customer_id", "created_at")
    exclude_fields_from_detail = ("secrets",)
    exclude_fields_from_create = ("created_at",)
    exclude_fields_from_edit = ("platform", "account_id", "brands", "created_at")
    searched = ("platform", "account_id", "mode", "credentials")
    searchable_fields = ("id", *searched, "created_at")
    sortable_fields = ("id", "platform", "account_id", "mode", "created_at")
    fields_default_sort = ("platform", "account_id", "id")
    row_actions = ("view", "edit", "check", "remove")
    set_by_people = frozenset({"mode", "credentials", "options"})

    def name_of(self, row: Any) -> str:
        """The platform and the account's id there."""
        return f"{label(row.platform)} {row.account_id}"

    def can_create(self, request: Request) -> bool:
        """Whether the person is an owner, since a connection needs a login."""
        return may_manage_access(request)

    def can_access_field(self, request: Request, field: BaseField, action: RequestAction | None = None) -> bool:
        """Whether the page shows the field; on a form only owners see the fields of the login."""
        if request.state.action.is_form() and field.name in LOGIN_FIELDS and not may_manage_access(request):
            return False
        return super().can_access_field(request, field, action)

    async def is_row_action_allowed(self, request: Request, name: str) -> bool:
        """Whether the person may run the action `name`; `remove` deletes a kept login, so it needs an owner."""
        if name == "remove" and not may_manage_access(request):
            return False
        return await super().is_row_action_allowed(request, name)

    def attach(self, request: Request, rows: Sequence[Any]) -> None:
        """Reads texts by account id into `request.state.accounts`: state, last read, unconfirmed pauses and problem."""
        at = clock.now()
        with snapshot() as connection:
            found = seen.accounts_by_id(connection, [row.id for row in rows], at)
        request.state.accounts = {account: _figures(row, at) for account, row in found.items()}

    def check_seen(self, request: Request, connection: Connection, now: Mapping[str, Any]) -> None:
        """Raises EditedSince if somebody edited the connection since the form was opened. Call it under its lock.

        `now`: the account's id and the present values of the connection that people edit.
        """
        subject = ("platform_connection", now["id"])
        stale.check(connection, request.state.seen, now, self.set_by_people, subject)

    async def validate_fields(self, request: Request, data: dict[str, Any], exclude: Any = ()) -> None:
        """Raises FormValidationError for invalid values, after it removed a typed login, so that no page shows it."""
        try:
            await super().validate_fields(request, data, exclude)
        except FormValidationError:
            data["secrets"] = ""
            raise

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        """Connects the account in the given mode and returns the connection's row.

        If the account is connected in this mode already, changes its login and options. Raises FormValidationError for
        an invalid value, such as both a login and a reference to one, and for an account connected in another mode.
        """
        typed, reference = _take_login(data), data.get("credentials") or ""
        if bool(typed) == bool(reference):
            raise FormValidationError({"credentials": "Fill in either a login to keep or a reference to one."})

        def work(edit: Edit) -> int:
            new = NewConnection(
                data["platform"],
                data["account_id"],
                [as_id(brand) or 0 for brand in data["brands"] or ()],
                Mode(data["mode"]),
                reference or KEPT,
                _options(data),
                secrets_in(typed, "the login") if typed else None,
            )
            return connecting.add(new, edit)

        made = await self.write(request, work)
        flash(request, "Connected. Check it now: the check says what is missing.", "success")
        return await self.find_by_pk(request, made)

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        """Changes the mode, once its effect is confirmed; for owners also the login and the manager account.

        Returns the connection's row. Raises FormValidationError for an invalid value, without a needed confirmation,
        and if somebody edited the connection since the form was opened.
        """
        typed, row = _take_login(data), await self.find_by_pk(request, pk)
        changes: dict[str, Any] = {"mode": data["mode"]}
        if may_manage_access(request):
            changes |= {"options": {**row.options, "login_customer_id": None} | _options(data)}
            changes["options"] = {name: value for name, value in changes["options"].items() if value}
            if data.get("credentials") and data["credentials"] != row.credentials:
                changes["credentials"] = data["credentials"]

        def work(edit: Edit) -> None:
            if typed:
                changes["secrets"] = secrets_in(typed, "the login")
            check = partial(_check_seen, view=self, request=request)
            effect = modes.change(int(pk), changes, edit, consent.agree(request), check=check)
            consent.note_effect(request, effect)

        await self.write(request, work)
        return await self.find_by_pk(request, pk)

    @link_row_action("check", "Check", icon_class="fa-solid fa-stethoscope")
    def open_check(self, request: Request, pk: Any) -> str:
        """The address of the page that checks the connection, to which the action links."""
        return str(request.url_for("admin:platform-check", account=int(pk)))

    @row_action(
        "remove",
        "Remove",
        confirmation="Remove this connection and its kept login? Its spend is no longer read. Campaigns that Spendgate "
        "paused on the platform stay paused there.",
        submit_btn_text="Yes, remove",
        submit_btn_class="btn btn-danger",
        icon_class="fa fa-plug-circle-xmark",
    )
    async def remove(self, request: Request, pk: Any) -> None:
        """Removes the connection and its kept login. Campaigns paused on the platform stay paused there."""
        await write(request, partial(connecting.remove, int(pk)))
        flash(request, "The account is no longer connected.", "success")


def _check_seen(connection: Connection, stored: StoredConnection, view: PlatformView, request: Request) -> None:
    now = {"mode": stored.mode, "credentials": stored.credentials, "options": stored.options}
    view.check_seen(request, connection, now | {"id": stored.id})


def _options(data: Mapping[str, Any]) -> dict[str, str]:
    manager = data.get("login_customer_id")
    return {"login_customer_id": manager} if manager else {}


def _take_login(data: dict[str, Any]) -> str:
    """Returns the typed login, and removes it from the form's values, so that no refused form shows it."""
    typed = str(data.get("secrets") or "")
    data["secrets"] = ""
    return typed


def _figures(row: Mapping[str, Any], at: Any) -> dict[str, str]:
    oldest, since_read = age(row["oldest_unconfirmed_at"], at), age(row["read_at"], at)
    return {
        "state": row["state"],
        "pauses": f"{row['unconfirmed_pauses']:,}, the oldest for {length(oldest)}" if oldest else "none",
        "read": f"{length(since_read)} ago" if since_read else "never",
        "problem": account_in_words(row["state"], row["last_error"], row["wait_until"] or row["pauses_wait_until"]),
    }


class PlatformCheck(CustomView):
    """The page that checks one connection and shows what it lacks."""

    path = "/platforms/{account}/check"
    route_name = "platform-check"
    add_to_menu = False

    @route("", methods=["GET", "POST"])
    async def index(self, request: Request) -> Response:
        """Shows the account; a post logs in, reads it, and shows the result.

        Raises HTTPException: 403 for viewers, 404 if the account is not connected.
        """
        if not may_edit(request):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        stored = await run_sync(_stored, request.path_params["account"])
        found = await run_sync(connecting.check, stored.id) if request.method == "POST" else None
        assert self._admin is not None  # noqa: S101 - set when the view is added
        name = f"{label(stored.platform)} {stored.account_id}"
        has_quota = quota.daily_limit(stored.platform) is not None
        context = {"title": f"Check {name}", "name": name, "account": stored, "found": found, "has_quota": has_quota}
        return self._admin._template_response(request, "platform_check.html", context)


def _stored(account: str) -> StoredConnection:
    """The connection of the account with this id. Raises HTTPException (404) if there is none."""
    try:
        with snapshot() as connection:
            return connections.required_connection(connection, as_id(account) or 0)
    except InvalidValue:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"Platform account {account} is not connected.") from None
