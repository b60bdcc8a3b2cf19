"""Reads and writes platform accounts and the brands bound to them, and moves campaigns between these brands."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import IntegrityError

from db.engine import deferred
from db.local_settings import local_setting
from db.repository.access.audit import Edit, Subject, note
from db.repository.shared.rows import plain
from db.repository.spread import written_by_edits
from domain.errors import InvalidValue, NotFound

ADD_ACCOUNT = text("""
    INSERT INTO platform_accounts (platform, account_id, name, created_at)
    VALUES (:platform, :account_id, :name, :at) RETURNING id
""")

# Names a brand's default account. The brand gets a new default account when it needs one.
IDENTIFY = text("""
    UPDATE platform_accounts SET account_id = :account_id, default_of_brand_id = NULL
    WHERE id = :id AND account_id IS NULL RETURNING id
""")

BIND = text("""
    INSERT INTO platform_account_brands (brand_id, platform_account_id) VALUES (:brand_id, :platform_account_id)
    ON CONFLICT DO NOTHING RETURNING brand_id
""")

ACCOUNT = text("SELECT id, platform, account_id, name FROM platform_accounts WHERE id = :id")

# The account with a platform's account id, if it is bound to the brand.
BOUND_ACCOUNT = text("""
    SELECT id FROM platform_accounts JOIN platform_account_brands ON platform_account_id = id
    WHERE platform = :platform AND account_id = :account_id AND brand_id = :brand_id
""")

# One page of accounts with the brands bound to them, for one brand or all.
ACCOUNTS = text("""
    /*citus WITH platform_account_brands AS MATERIALIZED (
        SELECT brand_id, platform_account_id FROM platform_account_brands
        WHERE platform_account_id > :after
            AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
    ) */
    SELECT id, platform, account_id, name, default_of_brand_id, created_at, ARRAY(
        SELECT brand_id FROM platform_account_brands WHERE platform_account_id = id
            AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
        ORDER BY brand_id
    ) AS brand_ids
    FROM platform_accounts
    WHERE id > :after AND (CAST(:only_brand_id AS bigint) IS NULL OR EXISTS (
        SELECT FROM platform_account_brands WHERE platform_account_id = id AND brand_id = :only_brand_id
    )) AND (CAST(:is_connected AS boolean) IS NULL OR :is_connected = EXISTS (
        SELECT FROM platform_connections WHERE platform_account_id = id
    ))
    ORDER BY id LIMIT :limit
""")

LAST_COUNTED_DAY = text("SELECT max(day) FROM campaign_days WHERE brand_id = :brand_id AND campaign_id = :campaign_id")

RELEASE_DAY: Final = "spendgate.released_on"
"""The setting that passes to the trigger on campaigns the first day without the external id."""

RELEASE_ID = text("""
    UPDATE campaigns SET external_id = NULL, configured_status = :configured_status, ends_on = :ends_on
    WHERE brand_id = :brand_id AND id = :id
""")

# Creates the moved campaign's successor in the other brand.
TAKE_OVER = text("""
    INSERT INTO campaigns (brand_id, name, platform, external_id, platform_account_id, starts_on, ends_on,
        configured_status, set_holds, created_at)
    SELECT :brand_id, :name, :platform, :external_id, :platform_account_id, CAST(:starts_on AS date),
        CAST(:ends_on AS date), :configured_status, set_holds, :at
    FROM campaigns WHERE brand_id = :from_brand_id AND id = :id
    RETURNING id
""")

COPY_BUDGETS = text("""
    INSERT INTO budgets (brand_id, campaign_id, period, limit_micros, changed_at)
    SELECT :to_brand_id, :to_campaign_id, period, limit_micros, :at FROM budgets
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id
    ORDER BY period
    RETURNING period, limit_micros
""")

COPY_DAYPARTS = text("""
    INSERT INTO dayparts (brand_id, campaign_id, weekday, starts_minute, ends_minute)
    SELECT :to_brand_id, :to_campaign_id, weekday, starts_minute, ends_minute FROM dayparts
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id
    RETURNING weekday
""")


def add(connection: Connection, platform: str, account_id: str, name: str, edit: Edit) -> int:
    """Creates a platform account with the platform's id `account_id`, bound to no brand; returns Spendgate's id for it.

    Raises InvalidValue if the platform's id is taken.
    """
    new = {"platform": platform, "account_id": account_id, "name": name}
    created_id = int(_unless_known(connection, ADD_ACCOUNT, new | {"at": edit.at}).scalar_one())
    note(connection, edit, "create", Subject("platform_account", created_id), None, new)
    return created_id


def identify(connection: Connection, platform_account_id: int, account_id: str, edit: Edit) -> None:
    """Sets the platform's account id of a default account; spend that names this id then finds its campaigns.

    Raises InvalidValue if there is no such account, it has an id already, or another account has this id.
    """
    old = account(connection, platform_account_id)
    new = {"id": platform_account_id, "platform": old["platform"], "account_id": account_id}
    if _unless_known(connection, IDENTIFY, new).first() is None:
        raise InvalidValue("account", f"platform account {platform_account_id} has the id {old['account_id']} already")
    note(connection, edit, "edit", Subject("platform_account", platform_account_id), old, old | new)


def _unless_known(connection: Connection, statement: TextClause, new: Mapping[str, Any]) -> CursorResult[Any]:
    try:
        return connection.execute(statement, new)
    except IntegrityError as error:
        if "uq_platform_accounts_platform_account_id" not in str(error.orig):
            raise
        raise InvalidValue("account_id", f"{new['platform']} {new['account_id']} is known already") from None


def bind(connection: Connection, platform_account_id: int, brand_id: int, edit: Edit) -> None:
    """Binds the brand to the account, so that its campaigns may be there. Does nothing if it is bound already."""
    key = {"brand_id": brand_id, "platform_account_id": platform_account_id}
    if connection.execute(BIND, key).first() is not None:
        note(connection, edit, "bind", Subject("platform_account", platform_account_id, brand_id), None, key)


def account(connection: Connection, platform_account_id: int) -> dict[str, Any]:
    """The platform account's fields. Raises InvalidValue if there is no such account."""
    row = connection.execute(ACCOUNT, {"id": platform_account_id}).first()
    if row is None:
        raise NotFound("platform account", f"there is no platform account {platform_account_id}")
    return dict(row._mapping)


def bound_account(connection: Connection, brand_id: int, platform: str | None, account_id: str) -> int:
    """Spendgate's id of the account with the platform's id `account_id`.

    Raises InvalidValue if there is none that is bound to the brand.
    """
    key = {"brand_id": brand_id, "platform": platform, "account_id": account_id}
    platform_account_id: int | None = connection.scalar(BOUND_ACCOUNT, key)
    if platform_account_id is None:
        detail = f"{platform or 'no platform'} {account_id} is not an account bound to brand {brand_id}"
        raise InvalidValue("account", detail)
    return platform_account_id


def is_default(connection: Connection, campaign: Mapping[str, Any]) -> bool:
    """Whether the campaign has no account, or one whose platform id was never set (a brand's default account)."""
    platform_account_id = campaign["platform_account_id"]
    return platform_account_id is None or account(connection, platform_account_id)["account_id"] is None


def accounts(
    connection: Connection,
    *,
    after: int = 0,
    limit: int = 1_000,
    only_brand_id: int | None = None,
    is_connected: bool | None = None,
) -> list[dict[str, Any]]:
    """One page of platform accounts in id order, each with `brand_ids`, the brands bound to it.

    `after`: the last id of the previous page. `only_brand_id`: only accounts bound to this brand, and only it in their
    `brand_ids`. `is_connected`: only accounts with a connection, or only those without; None: both.
    """
    page = {"after": after, "limit": limit, "only_brand_id": only_brand_id, "is_connected": is_connected}
    return plain(connection.execute(ACCOUNTS, page))


def last_counted_day(connection: Connection, brand_id: int, campaign_id: int) -> date | None:
    """The last brand-local day for which the campaign has a counter; None if it has none."""
    day: date | None = connection.scalar(LAST_COUNTED_DAY, {"brand_id": brand_id, "campaign_id": campaign_id})
    return day


def release_id(
    connection: Connection, campaign: Mapping[str, Any], from_day: date, changes: Mapping[str, Any], edit: Edit
) -> None:
    """Takes the external id from the campaign from `from_day` on; spend on earlier days still counts for it.

    `campaign`: its current fields; `changes`: other fields to set: `configured_status`, `ends_on` or none.
    """
    deferred(connection, local_setting(connection, RELEASE_DAY, from_day.isoformat()))
    new = {**campaign, **changes, "external_id": None}
    connection.execute(RELEASE_ID, new)
    written_by_edits.keep_name(connection, new, campaign)
    written_by_edits.keep_released(connection, campaign, new, from_day=from_day)
    note(connection, edit, "move", Subject("campaign", campaign["id"], campaign["brand_id"]), campaign, new)


def take_over(connection: Connection, campaign: Mapping[str, Any], changes: Mapping[str, Any], edit: Edit) -> int:
    """Creates a copy of the released campaign with `changes`, in its platform account; returns the copy's id.

    Binds the copy's brand to the account. The copy gets the campaign's `set_holds`, but no budgets and no schedule.
    """
    new = {**campaign, **changes}
    bind(connection, new["platform_account_id"], new["brand_id"], edit)
    new = dict(written_by_edits.with_account(connection, new))
    copied = new | {"at": edit.at, "from_brand_id": campaign["brand_id"]}
    created_id = int(connection.execute(TAKE_OVER, copied).scalar_one())
    written_by_edits.keep_name(connection, new | {"id": created_id})
    written_by_edits.heed_released(connection, new | {"id": created_id})
    audited = {name: value for name, value in new.items() if name != "id"} | {"moved_from": campaign["id"]}
    note(connection, edit, "create", Subject("campaign", created_id, new["brand_id"]), None, audited)
    return created_id


def copy_budgets_and_schedule(
    connection: Connection, campaign: Mapping[str, Any], to: tuple[int, int], edit: Edit
) -> Sequence[dict[str, Any]]:
    """Copies the campaign's budgets and dayparts to the campaign `to` (brand id, campaign id).

    Returns `period` and `limit_micros` of each copied budget.
    """
    to_brand_id, to_campaign_id = to
    key = {"brand_id": campaign["brand_id"], "campaign_id": campaign["id"], "at": edit.at}
    into = {"to_brand_id": to_brand_id, "to_campaign_id": to_campaign_id}
    limits = plain(connection.execute(COPY_BUDGETS, key | into))
    for limit in limits:
        budget = {"brand_id": to_brand_id, "campaign_id": to_campaign_id, "period": limit["period"]}
        written_by_edits.keep_limit(connection, budget, None, limit["limit_micros"], edit.at)
    parts = len(connection.execute(COPY_DAYPARTS, key | into).all())
    copied = {"budgets": limits, "dayparts": parts, "copied_from": campaign["id"]}
    note(connection, edit, "copy", Subject("campaign", to_campaign_id, to_brand_id), None, copied)
    return limits
