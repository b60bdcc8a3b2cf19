"""`/api/platform-accounts/{id}/`: connects accounts, changes mode and login, checks connections, reconciles."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app.access import Caller
from app.edits.preview import agree_to_all
from app.platforms import connecting, modes, statuses
from app.platforms.connecting import NewConnection
from app.platforms.modes import ModeEffect
from app.platforms.protocol import PlatformError
from db.engine import snapshot
from db.repository.catalog import platform_accounts
from db.repository.catalog.idempotency import Answer
from db.repository.platforms import seen
from db.repository.platforms.bounds import bounds_of_accounts
from db.repository.platforms.connections import StoredConnection
from delivery.outgoing import send
from domain.access import KeyScope
from domain.errors import InvalidValue, NotFound
from domain.reconcile import Action, Mode
from runtime import clock
from web import problems
from web.api.brands import EDITS, GONE, UNCHANGED
from web.api.connection_fields import CONNECTION_FIELDS, PlatformConnection, connection_body
from web.api.request import etags
from web.api.request.dry_runs import DryRun
from web.api.request.edits import Keyed, created, created_answer
from web.api.request.etags import IfMatch, IfNoneMatch
from web.api.request.fields import Body, Line, PathId
from web.api.request.keys import Manager, Reader, edit_by, needs_all_brands, needs_scope

router = APIRouter(prefix="/api/platform-accounts/{account_id}", tags=["platform accounts"])

MAX_ACTIONS_LISTED: Final = 1_000
Secret = Annotated[str, Field(min_length=1, max_length=20_000)]
Secrets = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=100)], Secret],
    Field(
        min_length=1,
        max_length=20,
        description="The login as names and values, such as `client_id`, `client_secret` and `refresh_token`; kept "
        "encrypted and never returned",
    ),
]
Reference = Annotated[
    Line, Field(description="Where the workers find the login: `env:NAME` or `file:/path`", examples=["env:GOOGLE_ADS"])
]
Options = Annotated[
    dict[Annotated[str, Field(max_length=100)], Line],
    Field(max_length=20, description="Such as `login_customer_id`, the manager account of Google Ads"),
]


class ConnectionToMake(Body):
    """The request to connect an account, with its login: either `secrets`, or `credentials`, a reference to them."""

    mode: Mode = Mode.SHADOW
    credentials: Reference | None = None
    secrets: Secrets | None = Field(default=None, repr=False)
    options: Options = Field(default_factory=dict)


class ConnectionChanges(Body):
    """The fields of a connection to change; an omitted field stays as it is."""

    mode: Mode = Mode.SHADOW
    credentials: Reference = Field(default_factory=str)
    secrets: Secrets = Field(default_factory=dict, repr=False)
    options: Options = Field(default_factory=dict)


class ModePreview(BaseModel):
    """The effect that a change of a connection's mode would have now."""

    dry_run: bool = Field(True, description="Always true: nothing was changed")
    sentence: str = Field(examples=["Mode shadow → full: Spendgate will pause 3 campaigns on Google Ads"])
    pauses: int = Field(description="Campaigns to pause on the platform")
    enables: int = Field(description="Campaigns to enable on the platform")
    holds: int = Field(description="Campaigns to stop in Spendgate, because somebody paused them on the platform")
    needs_confirmation: bool = Field(description="Whether pages and the command line ask a person before this change")


class Checked(BaseModel):
    """The account as the platform describes it, and everything that the connection lacks."""

    account: int
    name: str | None = Field(description="Null if the account could not be read")
    time_zone: str | None
    currency: str | None
    campaigns_there: int = Field(description="Campaigns in the account on the platform; 0 if it could not be read")
    campaigns_here: int = Field(description="Campaigns of the account in Spendgate")
    missing: list[str] = Field(description="One sentence for each thing that the connection lacks, with what to do")


class ReconcileAction(BaseModel):
    """A campaign whose status on the platform is not the desired one, and the change that mode `full` would make."""

    campaign_id: int
    external_id: str
    desired: str
    confirmed: str
    action: Action


class Reconciled(BaseModel):
    """The changes that mode `full` would make, from a dry run; empty for a reconciliation that was enqueued."""

    account: int
    dry_run: bool
    campaigns: int | None = Field(description="Compared campaigns; null if the reconciliation was enqueued")
    actions: list[ReconcileAction] = Field(description=f"The first {MAX_ACTIONS_LISTED} campaigns that differ")


def _body(connection: Connection, account_id: int) -> dict[str, Any]:
    """The connection as JSON. Raises InvalidValue if the account has none."""
    found = seen.accounts_by_id(connection, [account_id], clock.now())
    if account_id not in found:
        raise NotFound("account", f"there is no connection of platform account {account_id}")
    bound = bounds_of_accounts(connection, [account_id]).get(account_id)
    return connection_body(found[account_id], bound, sees_all=True)


@router.post("/check/", response_model=Checked, summary="Check a connection", responses=EDITS)
def check_connection(caller: Manager, account_id: PathId) -> Mapping[str, Any]:
    """Logs in, reads the account, and answers everything that is missing and what to do. Needs a key for all brands."""
    needs_all_brands(caller)
    return connecting.check(account_id).fields()


@router.post(
    "/reconcile/",
    response_model=Reconciled,
    status_code=HTTPStatus.ACCEPTED,
    summary="Reconcile an account",
    responses={
        200: {"model": Reconciled, "description": "A dry run"},
        **problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY),
    },
)
def reconcile(
    caller: Manager,
    account_id: PathId,
    dry_run: Annotated[bool, Query(description="Read the platform and answer what mode full would do")] = False,
) -> Response:
    """Enqueues a message to bring the account's campaigns to their desired statuses, as far as its mode allows.

    A dry run reads the platform and changes nothing. Needs a key for all brands.
    """
    needs_all_brands(caller)
    if dry_run:
        return _dry_run(account_id)
    with snapshot() as connection:
        _body(connection, account_id)
    send("reconcile_account", account_id)
    enqueued = Reconciled(account=account_id, dry_run=False, campaigns=None, actions=[])
    return JSONResponse(enqueued.model_dump(mode="json"), HTTPStatus.ACCEPTED)


def _dry_run(account_id: int) -> Response:
    """Reads the platform and answers the changes that mode `full` would make. Raises Problem (502) if that fails."""
    try:
        planned = statuses.plan(account_id)
    except PlatformError as error:
        raise problems.Problem(HTTPStatus.BAD_GATEWAY, str(error)) from None
    actions = [ReconcileAction(**row._asdict()) for row in planned if row.action is not Action.NONE]
    body = Reconciled(account=account_id, dry_run=True, campaigns=len(planned), actions=actions[:MAX_ACTIONS_LISTED])
    return JSONResponse(body.model_dump(mode="json"))


@router.get(
    "/connection/", response_model=PlatformConnection, summary="Read a connection", responses={**GONE, **UNCHANGED}
)
def read_connection(caller: Reader, account_id: PathId, if_none_match: IfNoneMatch = None) -> Response:
    """Returns the account's connection, with an ETag. Answers 304 if `If-None-Match` has this ETag.

    Needs a key for all brands. With any other key, read the account, which shows a part of its connection.
    """
    needs_all_brands(caller)
    with snapshot() as connection:
        body = _body(connection, account_id)
    return etags.read(body, CONNECTION_FIELDS, if_none_match)


@router.post(
    "/connection/",
    response_model=PlatformConnection,
    status_code=HTTPStatus.CREATED,
    summary="Connect an account",
    responses=problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
def connect_account(caller: Manager, keyed: Keyed, account_id: PathId, new: ConnectionToMake) -> Response:
    """Connects the account: its spend is read and, if the mode allows it, campaigns are paused on the platform.

    Needs the scopes `manage` and `credentials`, and a key for all brands.
    """
    _needs_credentials(caller)
    if (new.credentials is None) == (new.secrets is None):
        raise InvalidValue("credentials", "give either secrets or credentials")

    def create(connection: Connection) -> int:
        account = platform_accounts.account(connection, account_id)
        if account_id in seen.accounts_by_id(connection, [account_id], clock.now()):
            raise InvalidValue("account", f"platform account {account_id} is connected already; change its connection")
        wanted = NewConnection(
            account["platform"],
            str(account["account_id"]),
            [],
            new.mode,
            new.credentials or "kept",
            new.options,
            new.secrets,
        )
        if account["account_id"] is None:
            raise InvalidValue("account", f"platform account {account_id} has no id on the platform yet")
        return connecting.connect(connection, wanted, edit_by(caller))

    def answer(connection: Connection, made: int) -> Answer:
        here = f"/api/platform-accounts/{made}/connection/"
        return created_answer(here, _body(connection, made), CONNECTION_FIELDS)

    return created(caller, keyed, create, answer)


@router.patch(
    "/connection/",
    response_model=PlatformConnection | ModePreview,
    summary="Change a connection",
    responses=EDITS,
)
def change_connection(
    caller: Manager, account_id: PathId, changes: ConnectionChanges, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response:
    """Changes the mode, login or options. A dry run counts the campaigns to pause and to enable on the platform.

    Every change but the mode needs the scope `credentials`. Needs a key for all brands.
    """
    needs_all_brands(caller)
    sent = changes.model_dump(exclude_unset=True)
    if sent.keys() - {"mode"}:
        _needs_credentials(caller)
    check = partial(_check_match, if_match=if_match)
    if dry_run:
        return _preview(modes.previewed(account_id, sent, edit_by(caller), check=check))
    modes.change(account_id, sent, edit_by(caller), agree_to_all, check=check)
    with snapshot() as connection:
        return etags.tagged(_body(connection, account_id), CONNECTION_FIELDS)


def _needs_credentials(caller: Caller) -> None:
    """Raises Problem (403) for a key of one brand, or without the scope `credentials`."""
    needs_all_brands(caller)
    needs_scope(caller, KeyScope.CREDENTIALS)


def _check_match(connection: Connection, stored: StoredConnection, if_match: str | None) -> None:
    etags.check_match(if_match, etags.etag_of(_body(connection, stored.id), CONNECTION_FIELDS))


def _preview(effect: ModeEffect) -> Response:
    preview = ModePreview(
        dry_run=True,
        sentence=effect.sentence(),
        pauses=effect.pauses,
        enables=effect.enables,
        holds=effect.holds,
        needs_confirmation=effect.needs_consent,
    )
    return JSONResponse(preview.model_dump(mode="json"))


@router.delete(
    "/connection/",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a connection",
    responses=EDITS,
)
def remove_connection(caller: Manager, account_id: PathId, if_match: IfMatch = None) -> None:
    """Removes the connection and its kept login. Campaigns that Spendgate paused on the platform stay paused.

    Needs the scope `credentials` and a key for all brands.
    """
    _needs_credentials(caller)
    connecting.remove(account_id, edit_by(caller), check=partial(_check_match, if_match=if_match))
