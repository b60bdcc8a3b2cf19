"""Accounts of advertisers on platforms, the brands they are bound to, and moves of campaigns between those brands."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import IntegrityError

from db.repository.access.audit import Edit, Subject, note
from db.repository.shared.rows import plain
from domain.errors import InvalidValue

ADD_ACCOUNT = text("""
    INSERT INTO platform_accounts (platform, account_id, name, created_at)
    VALUES (:platform, :account_id, :name, :at) RETURNING id
""")

# What was a brand's default account; the brand gets another one at need.
IDENTIFY = text("""
    UPDATE platform_accounts SET account_id = :account_id, default_of_brand_id = NULL
    WHERE id = :id AND account_id IS NULL RETURNING id
""")

BIND = text("""
    INSERT INTO platform_account_brands (brand_id, platform_account_id) VALUES (:brand_id, :platform_account_id)
    ON CONFLICT DO NOTHING RETURNING brand_id
""")

ACCOUNT = text("SELECT id, platform, account_id, name FROM platform_accounts WHERE id = :id")

# The account of a platform's own id, where it is bound to the brand.
BOUND_ACCOUNT = text("""
    SELECT id FROM platform_accounts JOIN platform_account_brands ON platform_account_id = id
    WHERE platform = :platform AND account_id = :account_id AND brand_id = :brand_id
""")

# Accounts with the brands they are bound to; of one brand, or of all.
ACCOUNTS = text("""
    SELECT id, platform, account_id, name, default_of_brand_id, created_at, ARRAY(
        SELECT brand_id FROM platform_account_brands WHERE platform_account_id = id
            AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
        ORDER BY brand_id
    ) AS brand_ids
    FROM platform_accounts
    WHERE id > :after AND (CAST(:only_brand_id AS bigint) IS NULL OR EXISTS (
        SELECT FROM platform_account_brands WHERE platform_account_id = id AND brand_id = :only_brand_id
    ))
    ORDER BY id LIMIT :limit
""")

LAST_COUNTED_DAY = text("SELECT max(day) FROM campaign_days WHERE brand_id = :brand_id AND campaign_id = :campaign_id")

# Tells the trigger on campaigns from which day on the campaign no longer holds the id that is released.
TELL_RELEASE_DAY = text("SELECT set_config('spendgate.released_on', CAST(CAST(:day AS date) AS text), true)")

RELEASE = text("""
    UPDATE campaigns SET external_id = NULL, configured_status = :configured_status, ends_on = :ends_on
    WHERE id = :id
""")

# A campaign like the one that is moved, in another brand.
TAKE_OVER = text("""
    INSERT INTO campaigns (brand_id, name, platform, external_id, platform_account_id, starts_on, ends_on,
        configured_status, set_holds, created_at)
    SELECT :brand_id, :name, :platform, :external_id, :platform_account_id, CAST(:starts_on AS date),
        CAST(:ends_on AS date), :configured_status, set_holds, :at
    FROM campaigns WHERE id = :id
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
    INSERT INTO dayparts (campaign_id, weekday, starts_minute, ends_minute)
    SELECT :to_campaign_id, weekday, starts_minute, ends_minute FROM dayparts WHERE campaign_id = :campaign_id
    RETURNING weekday
""")


def add(connection: Connection, platform: str, account_id: str, name: str, edit: Edit) -> int:
    """Makes an account that the platform knows by `account_id`, bound to no brand yet; returns its id."""
    new = {"platform": platform, "account_id": account_id, "name": name}
    made = int(_unless_known(connection, ADD_ACCOUNT, new | {"at": edit.at}).scalar_one())
    note(connection, edit, "create", Subject("platform_account", made), None, new)
    return made


def identify(connection: Connection, platform_account_id: int, account_id: str, edit: Edit) -> None:
    """Says which account of the platform a default account is: spend that names it is that of its campaigns.

    Raises InvalidValue for an account that has an id already, and for an id that another account has.
    """
    old = account(connection, platform_account_id)
    new = {"id": platform_account_id, "platform": old["platform"], "account_id": account_id}
    if _unless_known(connection, IDENTIFY, new).first() is None:
        raise InvalidValue("account", f"platform account {platform_account_id} is {old['account_id']} already")
    note(connection, edit, "edit", Subject("platform_account", platform_account_id), old, old | new)


def _unless_known(connection: Connection, statement: TextClause, new: Mapping[str, Any]) -> CursorResult[Any]:
    try:
        return connection.execute(statement, new)
    except IntegrityError as error:
        if "uq_platform_accounts_platform_account_id" not in str(error.orig):
            raise
        raise InvalidValue("account_id", f"{new['platform']} {new['account_id']} is known already") from None


def bind(connection: Connection, platform_account_id: int, brand_id: int, edit: Edit) -> None:
    """Lets the brand have campaigns in the account; again changes nothing."""
    key = {"brand_id": brand_id, "platform_account_id": platform_account_id}
    if connection.execute(BIND, key).first() is not None:
        note(connection, edit, "bind", Subject("platform_account", platform_account_id, brand_id), None, key)


def account(connection: Connection, platform_account_id: int) -> dict[str, Any]:
    """The account's fields. Raises InvalidValue when there is no such account."""
    row = connection.execute(ACCOUNT, {"id": platform_account_id}).first()
    if row is None:
        raise InvalidValue("platform account", f"there is no platform account {platform_account_id}")
    return dict(row._mapping)


def bound_account(connection: Connection, brand_id: int, platform: str | None, account_id: str) -> int:
    """The account that the platform knows by this id. Raises InvalidValue where it is not bound to the brand."""
    key = {"brand_id": brand_id, "platform": platform, "account_id": account_id}
    found: int | None = connection.scalar(BOUND_ACCOUNT, key)
    if found is None:
        told = f"{platform or 'no platform'} {account_id} is no account that is bound to brand {brand_id}"
        raise InvalidValue("account", told)
    return found


def is_default(connection: Connection, campaign: Mapping[str, Any]) -> bool:
    """Whether nobody has named the campaign's account."""
    platform_account_id = campaign["platform_account_id"]
    return platform_account_id is None or account(connection, platform_account_id)["account_id"] is None


def accounts(
    connection: Connection, *, after: int = 0, limit: int = 1_000, only_brand_id: int | None = None
) -> list[dict[str, Any]]:
    """One page of accounts by id, each with the brands it is bound to."""
    return plain(connection.execute(ACCOUNTS, {"after": after, "limit": limit, "only_brand_id": only_brand_id}))


def last_counted_day(connection: Connection, brand_id: int, campaign_id: int) -> date | None:
    """The last brand-local day on which the campaign counted anything."""
    day: date | None = connection.scalar(LAST_COUNTED_DAY, {"brand_id": brand_id, "campaign_id": campaign_id})
    return day


def release(
    connection: Connection, campaign: Mapping[str, Any], from_day: date, changes: Mapping[str, Any], edit: Edit
) -> None:
    """Takes the campaign's external id away from it from `from_day` on; the days before stay its own."""
    connection.execute(TELL_RELEASE_DAY, {"day": from_day})
    new = {**campaign, **changes, "external_id": None}
    connection.execute(RELEASE, new)
    note(connection, edit, "move", Subject("campaign", campaign["id"], campaign["brand_id"]), campaign, new)


def take_over(connection: Connection, campaign: Mapping[str, Any], changes: Mapping[str, Any], edit: Edit) -> int:
    """Makes a campaign like the released one, with `changes`, in its account; returns the new one's id."""
    new = {**campaign, **changes}
    bind(connection, new["platform_account_id"], new["brand_id"], edit)
    made = int(connection.execute(TAKE_OVER, new | {"at": edit.at}).scalar_one())
    told = {name: value for name, value in new.items() if name != "id"} | {"moved_from": campaign["id"]}
    note(connection, edit, "create", Subject("campaign", made, new["brand_id"]), None, told)
    return made


def copy_budgets_and_schedule(
    connection: Connection, campaign: Mapping[str, Any], to: tuple[int, int], edit: Edit
) -> Sequence[dict[str, Any]]:
    """Gives the campaign `to` (brand, campaign) the limits and dayparts of another; returns the limits."""
    to_brand_id, to_campaign_id = to
    key = {"brand_id": campaign["brand_id"], "campaign_id": campaign["id"], "at": edit.at}
    into = {"to_brand_id": to_brand_id, "to_campaign_id": to_campaign_id}
    limits = plain(connection.execute(COPY_BUDGETS, key | into))
    parts = len(connection.execute(COPY_DAYPARTS, key | into).all())
    copied = {"budgets": limits, "dayparts": parts, "copied_from": campaign["id"]}
    note(connection, edit, "copy", Subject("campaign", to_campaign_id, to_brand_id), None, copied)
    return limits
