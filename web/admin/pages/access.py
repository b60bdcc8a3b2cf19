"""Users and API keys, for owners only. A new key or generated password is shown once and stored only as a hash."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

from sqlalchemy import Connection
from starlette.requests import Request
from starlette_admin import (
    BooleanField,
    HasOne,
    IntegerField,
    PasswordField,
    StringField,
    flash,
    row_action,
)
from starlette_admin.exceptions import FormValidationError

from app import access
from app.access import MIN_PASSWORD
from db.models.access import User
from db.repository.access.audit import Edit
from domain.access import KeyScope, Role
from runtime import clock
from web.admin.fields import RELATED, Choice, MomentField, as_id, computed
from web.admin.views import View, may_manage_access, write

MAX_DAYS: Final = 3_650
ROLES: Final = [
    (Role.VIEWER.value, "viewer: reads everything but users, API keys and webhooks"),
    (Role.OPERATOR.value, "operator: also edits brands, campaigns, budgets and schedules, imports files, mutes alerts"),
    (Role.OWNER.value, "owner: also manages users, API keys, webhooks, alert channels and logins of ad platforms"),
]
SCOPES: Final = [
    (KeyScope.SPEND_WRITE.value, "spend-write: sends spend"),
    (KeyScope.READ.value, "read: reads everything"),
    (KeyScope.MANAGE.value, "manage: edits, and reads"),
    (KeyScope.CREDENTIALS.value, "credentials: connects ad platforms and sets their logins"),
]


class Shown(NamedTuple):
    """A new secret that one page shows once, with advice.

    The page's link leads to `next_url`; None: to the list of the view with the key `next_key`.
    """

    title: str
    secret: str
    advice: str
    next_key: str
    next_url: str | None = None


def show_once(request: Request, shown: Shown) -> None:
    """Stores the secret in the request, so that the site answers it with the page that shows the secret."""
    request.state.shown_once = shown


def _never_shown(_request: Request, _row: Any) -> None:
    return None


def _not_asked(_request: Request, _row: Any) -> bool:
    return False


class OwnersView(View):
    """A list that only owners can see and change."""

    def is_accessible(self, request: Request) -> bool:
        """Whether the person is an owner."""
        return may_manage_access(request)

    def can_create(self, request: Request) -> bool:
        """Whether the person is an owner."""
        return may_manage_access(request)

    def can_edit(self, request: Request) -> bool:
        """Whether the person is an owner."""
        return may_manage_access(request)


class UserView(OwnersView):
    """The list and forms of the people who can sign in."""

    key = "users"
    menu_label = "Users"
    display_name = "user"
    icon = "fa fa-users"
    fields = (
        IntegerField("id", label="Id"),
        StringField("email", label="E-mail", required=True, input_type="email"),
        Choice("role", choices=ROLES, required=True, default=Role.VIEWER.value),
        BooleanField(
            "disabled",
            help_text="The user is signed out at once and cannot sign in.",
            getter=lambda _, row: row.disabled_at is not None,
        ),
        PasswordField(
            "password",
            help_text=f"At least {MIN_PASSWORD} characters. Leave empty to generate one; it is shown once.",
            getter=_never_shown,
            exclude_from_edit=True,
        ),
        PasswordField(
            "new_password",
            label="New password",
            help_text=f"At least {MIN_PASSWORD} characters. Leave empty to keep the current password.",
            getter=_never_shown,
            exclude_from_create=True,
        ),
        BooleanField(
            "make_password",
            label="Make a new password",
            help_text="It is shown once, on the next page.",
            getter=_not_asked,
            exclude_from_create=True,
        ),
        MomentField("created_at", label="Created"),
        MomentField("signed_in_at", label="Signed in last"),
    )
    exclude_fields_from_list = ("password", "new_password", "make_password")
    exclude_fields_from_detail = ("password", "new_password", "make_password")
    exclude_fields_from_create = ("disabled", "created_at", "signed_in_at")
    exclude_fields_from_edit = ("email", "created_at", "signed_in_at")
    set_by_people = frozenset({"role", "disabled"})
    searched = ("email", "role")
    searchable_fields = ("id", *searched, "created_at", "signed_in_at")
    sortable_fields = ("id", "email", "role", "created_at", "signed_in_at")
    fields_default_sort = ("email",)

    def name_of(self, row: Any) -> str:
        """The user's e-mail address."""
        return str(row.email)

    def facts(self, row: Any) -> Mapping[str, Any]:
        """The user's role and whether the user is disabled: the values that owners edit."""
        return {"role": row.role, "disabled": row.disabled_at is not None}

    async def validate_fields(self, request: Request, data: dict[str, Any], exclude: Any = ()) -> None:
        """Raises FormValidationError for invalid values, after it removed the passwords, so that no page shows them."""
        try:
            await super().validate_fields(request, data, exclude)
        except FormValidationError:
            _remove_passwords(data)
            raise

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        """Creates a user and returns its row. If no password was typed, generates one and shows it once.

        Raises FormValidationError for an invalid value.
        """
        typed = data["password"]
        password = typed or access.new_password()
        _remove_passwords(data)

        def work(edit: Edit) -> int:
            return access.create_user(data["email"], password, Role(data["role"]), edit.by)

        user_id = await self.write(request, work)
        if not typed:
            _show_password(request, data["email"], password)
        return await self.find_by_pk(request, user_id)

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        """Changes role, disabled state and password, and returns the user's row. Any change signs the user out.

        Shows a generated password once. Raises FormValidationError for an invalid value, and if somebody edited the
        user since the form was opened.
        """
        user = await self.find_by_pk(request, pk)
        password = access.new_password() if data["make_password"] else data["new_password"]
        _remove_passwords(data)

        def check(connection: Connection, role: Role, disabled: bool) -> None:
            self.check_seen(request, connection, {"id": user.id, "role": role.value, "disabled": disabled})

        await self.write(request, partial(_edit, user=user, data=data, password=password, check=check))
        if data["make_password"]:
            _show_password(request, user.email, password)
        return await self.find_by_pk(request, pk)


def _edit(
    edit: Edit,
    *,
    user: User,
    data: dict[str, Any],
    password: str | None,
    check: Callable[[Connection, Role, bool], None],
) -> None:
    access.edit_user(user.id, Role(data["role"]), edit.by, disabled=data["disabled"], password=password, check=check)


def _remove_passwords(data: dict[str, Any]) -> None:
    for name in data.keys() & {"password", "new_password"}:
        data[name] = ""


def _show_password(request: Request, email: str, password: str) -> None:
    advice = "Send it to the user over a secure channel. You can change it here at any time."
    show_once(request, Shown(f"The password of {email}", password, advice, "users"))


class KeyView(OwnersView):
    """The list and form of the keys with which programs call the API."""

    key = "api-keys"
    menu_label = "API keys"
    display_name = "API key"
    icon = "fa fa-key"
    fields = (
        IntegerField("id", label="Id"),
        StringField(
            "name", required=True, help_text="The name of the program; the audit shows its edits under this name."
        ),
        StringField("prefix", help_text="The first characters of the key."),
        Choice("scopes", choices=SCOPES, multiple=True, select2=False, required=True, default=[KeyScope.READ.value]),
        HasOne("brand", key="brands", filters=RELATED, help_text="Empty: all brands."),
        IntegerField(
            "expires_days", label="Expires in days", min=1, max=MAX_DAYS, help_text="Empty: it does not expire."
        ),
        computed("state", "State", lambda _, row: _state(row)),
        MomentField("expires_at", label="Expires"),
        MomentField("used_at", label="Used last"),
        MomentField("created_at", label="Created"),
        StringField("created_by", label="Created by"),
        MomentField("revoked_at", label="Revoked"),
    )
    exclude_fields_from_list = ("expires_days", "created_at", "created_by", "revoked_at")
    exclude_fields_from_detail = ("expires_days",)
    exclude_fields_from_create = ("prefix", "expires_at", "used_at", "created_at", "created_by", "revoked_at")
    searched = ("name", "prefix", "created_by")
    searchable_fields = ("id", *searched, "expires_at", "used_at", "created_at", "revoked_at")
    sortable_fields = ("id", "name", "prefix", "expires_at", "used_at", "created_at")
    fields_default_sort = (("id", True),)
    row_actions = ("view", "revoke")
    error_names: ClassVar = {"expires_at": "expires_days"}

    def can_edit(self, _request: Request) -> bool:
        """Always False: to change a key, people revoke it and create another."""
        return False

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        """Creates a key, shows it once, and returns its row.

        Raises FormValidationError for an invalid value, such as a number of days above MAX_DAYS or an unknown brand.
        """
        days = data["expires_days"]
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise FormValidationError({"expires_days": f"is not between 1 and {MAX_DAYS}"})
        if data["brand"] and as_id(data["brand"]) is None:
            raise FormValidationError({"brand": "is not a brand"})

        def work(edit: Edit) -> tuple[int, str]:
            return access.create_key(
                data["name"],
                [KeyScope(scope) for scope in data["scopes"]],
                edit.by,
                brand_id=as_id(data["brand"]),
                expires_at=None if days is None else clock.now() + timedelta(days=days),
            )

        key_id, key = await self.write(request, work)
        advice = "Copy it now: only its hash is kept, so it cannot be shown again. Send it as Authorization: Bearer …"
        show_once(request, Shown(f"The key of {data['name']}", key, advice, self.key))
        return await self.find_by_pk(request, key_id)

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        """Whether the action `name` is offered on this key; Revoke only if the key is not revoked yet."""
        return (name != "revoke" or obj.revoked_at is None) and await self.is_row_action_allowed(request, name)

    @row_action(
        "revoke",
        "Revoke",
        confirmation="Revoke this key? It stops working at once and cannot be restored.",
        submit_btn_text="Yes, revoke",
        submit_btn_class="btn btn-danger",
        icon_class="fa fa-ban",
    )
    async def revoke(self, request: Request, pk: Any) -> None:
        """Revokes a key: requests with it fail at once, and it cannot be restored."""
        await write(request, lambda edit: access.revoke_key(int(pk), edit.by))
        flash(request, "The key is revoked.", "success")


def _state(row: Any) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= clock.now() else "valid"
