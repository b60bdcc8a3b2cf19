"""Creates and edits brands, campaigns, budgets and schedules; adds an audit entry for every edit."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import IntegrityError

from db.repository.access.audit import Edit, Subject, note
from db.repository.catalog.platform_accounts import bound_account, is_default
from db.repository.shared import locks
from db.repository.shared.locks import Lock
from domain.campaigns import ConfiguredStatus
from domain.errors import InvalidValue
from domain.inputs import MAX_ID, MAX_TEXT
from domain.money import MAX_AMOUNT_MICROS
from domain.periods import FIRST_DAY, LAST_DAY, Period, time_zone
from domain.schedules import Daypart, Schedule
from domain.text import fault_of

INSERT_BRAND = text("""
    INSERT INTO brands (name, time_zone, currency, created_at) VALUES (:name, :time_zone, :currency, :at) RETURNING id
""")

INSERT_CAMPAIGN = text("""
    INSERT INTO campaigns (brand_id, name, platform, external_id, platform_account_id, starts_on, ends_on, created_at)
    VALUES (:brand_id, :name, :platform, :external_id, :platform_account_id, :starts_on, :ends_on, :at)
    RETURNING id
""")

BRAND = text("SELECT id, name, time_zone, currency, configured_status FROM brands WHERE id = :id")

BRANDS_NAMED = text("SELECT id FROM brands WHERE name = :name ORDER BY id LIMIT 10")

# The oldest brand with a name that this author created, by the audit.
BRAND_MADE_BY = text("""
    SELECT brands.id FROM brands JOIN audit_entries ON subject = 'brand' AND subject_id = brands.id
    WHERE name = :name AND action = 'create' AND changed_by = :by ORDER BY brands.id LIMIT 1
""")

CAMPAIGN = text("""
    SELECT id, brand_id, name, platform, external_id, platform_account_id, starts_on, ends_on, configured_status
    FROM campaigns WHERE id = :id
""")

UPDATE_BRAND = text("""
    UPDATE brands SET name = :name, time_zone = :time_zone, currency = :currency,
        configured_status = :configured_status
    WHERE id = :id
""")

UPDATE_CAMPAIGN = text("""
    UPDATE campaigns SET name = :name, platform = :platform, external_id = :external_id,
        platform_account_id = :platform_account_id, starts_on = :starts_on, ends_on = :ends_on,
        configured_status = :configured_status
    WHERE id = :id
""")

HAS_SPEND = text("SELECT EXISTS (SELECT FROM brand_days WHERE brand_id = :id)")

BUDGET = text("SELECT id, brand_id, campaign_id, period, limit_micros FROM budgets WHERE id = :id")

LIMIT = text("""
    SELECT id, limit_micros FROM budgets
    WHERE brand_id = :brand_id AND campaign_id IS NOT DISTINCT FROM :campaign_id AND period = :period
""")

SET_BUDGET = text("""
    INSERT INTO budgets (brand_id, campaign_id, period, limit_micros, changed_at)
    VALUES (:brand_id, :campaign_id, :period, :limit_micros, :at)
    ON CONFLICT (brand_id, campaign_id, period)
    DO UPDATE SET limit_micros = excluded.limit_micros, changed_at = excluded.changed_at
    RETURNING id
""")

# Passes the time of the edit to the triggers that record removed limits and released external ids.
SET_EDIT_TIME = text("SELECT set_config('spendgate.edited_at', CAST(CAST(:at AS timestamptz) AS text), true)")

REMOVE_BUDGET = text("DELETE FROM budgets WHERE id = :id")

DAYPARTS_OF = text("""
    SELECT weekday, starts_minute, ends_minute FROM dayparts WHERE campaign_id = :id ORDER BY weekday, starts_minute
""")

CLEAR_DAYPARTS = text("DELETE FROM dayparts WHERE campaign_id = :id")

INSERT_DAYPART = text("INSERT INTO dayparts VALUES (:campaign_id, :weekday, :starts_minute, :ends_minute)")

BRAND_FIELDS: Final = frozenset({"name", "time_zone", "currency", "configured_status"})
CAMPAIGN_FIELDS: Final = frozenset(
    {"name", "platform", "external_id", "account", "starts_on", "ends_on", "configured_status"}
)
BUDGET_FIELDS: Final = frozenset({"limit_micros"})
SCHEDULE_FIELDS: Final = frozenset({"dayparts"})
"""The editable fields of each kind of row."""


DEFAULT_ZONE: Final = "UTC"
DEFAULT_CURRENCY: Final = "USD"


def default_notice(*, zone: bool, currency: bool) -> str | None:
    """A notice that names the defaults used for a new brand's zone and currency; None if neither was a default."""
    defaults = [name for name, is_default in ((DEFAULT_ZONE, zone), (DEFAULT_CURRENCY, currency)) if is_default]
    if not defaults:
        return None
    return f"{' and '.join(defaults)} by default; the first spend fixes the brand's time zone and currency"


def lock_catalog(connection: Connection) -> None:
    """Takes the lock for creating missing brands and campaigns, until the transaction ends; waits for others."""
    locks.take(connection, Lock.CATALOG)


def brand_named(connection: Connection, name: str) -> int | None:
    """The id of the brand with this name; None if there is none. Raises InvalidValue if several brands have it."""
    brand_ids = list(connection.scalars(BRANDS_NAMED, {"name": name}))
    if len(brand_ids) > 1:
        ids = ", ".join(map(str, brand_ids))
        raise InvalidValue("brand", f"{name!r} is the name of several: {ids}; rename the others, or use an id")
    return brand_ids[0] if brand_ids else None


def brand_made_by(connection: Connection, name: str, by: str) -> int | None:
    """The id of the oldest brand with this name that the author `by` created; None if there is none."""
    brand_id: int | None = connection.scalar(BRAND_MADE_BY, {"name": name, "by": by})
    return brand_id


def create_brand(connection: Connection, name: str, zone: str, currency: str, edit: Edit) -> int:
    """Creates a brand and returns its id. Raises InvalidValue for an invalid name, time zone or currency."""
    new = {"name": checked_name(name), "time_zone": time_zone(zone).key, "currency": checked_currency(currency)}
    brand_id = int(connection.execute(INSERT_BRAND, new | {"at": edit.at}).scalar_one())
    note(connection, edit, "create", Subject("brand", brand_id, brand_id), None, new)
    return brand_id


def create_campaign(
    connection: Connection,
    brand_id: int,
    name: str,
    edit: Edit,
    *,
    platform: str | None = None,
    external_id: str | None = None,
    account: str | None = None,
    starts_on: date | None = None,
    ends_on: date | None = None,
) -> int:
    """Creates an enabled campaign and returns its id. The caller enforces its brand in the same transaction.

    `account`: the platform's id of an account bound to the brand; None for the brand's default account. Raises
    InvalidValue for an unknown brand or account, an invalid field, or an external id that another campaign has.
    """
    _found(connection, BRAND, "brand", brand_id)
    new = {
        "brand_id": brand_id,
        "name": checked_name(name),
        "platform": checked_external_name("platform", platform),
        "external_id": checked_external_name("external_id", external_id),
        "starts_on": starts_on,
        "ends_on": ends_on,
    }
    _in_order(new)
    account_id = None if account is None else bound_account(connection, brand_id, platform, account)
    row = new | {"platform_account_id": account_id, "at": edit.at}
    campaign_id = int(_unless_taken(connection, INSERT_CAMPAIGN, row).scalar_one())
    audited = new if account is None else new | {"account": account}
    note(connection, edit, "create", Subject("campaign", campaign_id, brand_id), None, audited)
    return campaign_id


def edit_brand(connection: Connection, brand_id: int, changes: Mapping[str, object], edit: Edit) -> None:
    """Sets the fields in `changes`. Raises InvalidValue for invalid values, and for a new zone or currency after spend.

    Writes nothing if no field differs.
    """
    old = _found(connection, BRAND, "brand", brand_id)
    new = _merged(old, changes, BRAND_FIELDS)
    if new == old:
        return
    time_zone(str(new["time_zone"]))
    checked_currency(str(new["currency"]))
    changed = [field for field in ("time_zone", "currency") if new[field] != old[field]]
    if changed and connection.scalar(HAS_SPEND, {"id": brand_id}):
        raise InvalidValue(changed[0], "fixed, because the brand has spend")
    connection.execute(UPDATE_BRAND, new)
    note(connection, edit, "edit", Subject("brand", brand_id, brand_id), old, new)


def edit_campaign(connection: Connection, campaign_id: int, changes: Mapping[str, object], edit: Edit) -> None:
    """Sets the fields in `changes`; writes nothing if no field differs. The caller then enforces the brand.

    Raises InvalidValue for invalid values, such as a flight that ends before it starts.
    """
    old = _found(connection, CAMPAIGN, "campaign", campaign_id)
    new = _merged(old, changes, CAMPAIGN_FIELDS)
    account = new.pop("account", None)
    if account is not None:
        new["platform_account_id"] = bound_account(connection, old["brand_id"], new["platform"], str(account))
    elif new["platform"] != old["platform"] or ("account" in changes and not is_default(connection, old)):
        new["platform_account_id"] = None
    if new == old:
        return
    for field in ("platform", "external_id"):
        checked_external_name(field, new[field])
    _in_order(new)
    connection.execute(SET_EDIT_TIME, {"at": edit.at})
    _unless_taken(connection, UPDATE_CAMPAIGN, new)
    note(connection, edit, "edit", Subject("campaign", campaign_id, old["brand_id"]), old, new)


def brand(connection: Connection, brand_id: int) -> dict[str, Any]:
    """The brand's editable fields and id. Raises InvalidValue if there is no such brand."""
    return _found(connection, BRAND, "brand", brand_id)


def campaign(connection: Connection, campaign_id: int) -> dict[str, Any]:
    """The campaign's editable fields and ids. Raises InvalidValue if there is no such campaign."""
    return _found(connection, CAMPAIGN, "campaign", campaign_id)


def brand_of(connection: Connection, campaign_id: int) -> int:
    """The id of the brand that owns the campaign. Raises InvalidValue if there is no such campaign."""
    return int(_found(connection, CAMPAIGN, "campaign", campaign_id)["brand_id"])


def set_budget(
    connection: Connection, brand_id: int, campaign_id: int | None, period: Period, limit_micros: int, edit: Edit
) -> int:
    """Sets the limit of one period for the brand or one of its campaigns; returns the budget's id.

    A limit of 0 holds at once. Raises InvalidValue for a limit out of range, an unknown brand, or another brand's
    campaign; StaleRead if an edit by SQL has locked the budget.
    """
    if not 0 <= limit_micros <= MAX_AMOUNT_MICROS:
        raise InvalidValue("limit_micros", f"{limit_micros} is not between 0 and {MAX_AMOUNT_MICROS}")
    _found(connection, BRAND, "brand", brand_id)
    if campaign_id is not None and brand_of(connection, campaign_id) != brand_id:
        raise InvalidValue("campaign", f"campaign {campaign_id} is not brand {brand_id}'s")
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    old = connection.execute(LIMIT, key).first()
    if old is not None and old.limit_micros == limit_micros:
        return int(old.id)
    new = key | {"limit_micros": limit_micros}
    budget_id = int(locks.execute_or_yield(connection, SET_BUDGET, new | {"at": edit.at}).scalar_one())
    before = None if old is None else key | {"limit_micros": old.limit_micros}
    note(connection, edit, "set", Subject("budget", budget_id, brand_id), before, new)
    return budget_id


def budget(connection: Connection, budget_id: int) -> dict[str, Any]:
    """The budget's fields. Raises InvalidValue if there is no such budget."""
    return _found(connection, BUDGET, "budget", budget_id)


def budget_of(connection: Connection, brand_id: int, campaign_id: int | None, period: Period) -> int | None:
    """The id of the budget of the brand (`campaign_id` None) or of its campaign for this period; None if not set."""
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    budget_id: int | None = connection.scalar(LIMIT, key)
    return budget_id


def remove_budget(connection: Connection, brand_id: int, campaign_id: int | None, period: Period, edit: Edit) -> None:
    """Removes the budget of the brand or campaign for this period. Raises InvalidValue if there is none."""
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    old = connection.execute(LIMIT, key).first()
    if old is None:
        raise InvalidValue("period", f"there is no {period} budget")
    connection.execute(SET_EDIT_TIME, {"at": edit.at})
    locks.execute_or_yield(connection, REMOVE_BUDGET, {"id": old.id})
    note(
        connection, edit, "remove", Subject("budget", old.id, brand_id), key | {"limit_micros": old.limit_micros}, None
    )


def set_schedule(connection: Connection, campaign_id: int, schedule: Schedule, edit: Edit) -> None:
    """Replaces the campaign's dayparts. An empty schedule is always open. Raises InvalidValue for no such campaign."""
    brand_id = brand_of(connection, campaign_id)
    old = [tuple(row) for row in connection.execute(DAYPARTS_OF, {"id": campaign_id})]
    new = [(part.weekday, part.starts_minute, part.ends_minute) for part in schedule]
    if new == old:
        return
    connection.execute(CLEAR_DAYPARTS, {"id": campaign_id})
    names = ("campaign_id", "weekday", "starts_minute", "ends_minute")
    if new:
        connection.execute(INSERT_DAYPART, [dict(zip(names, (campaign_id, *part), strict=True)) for part in new])
    note(connection, edit, "set", Subject("schedule", campaign_id, brand_id), {"dayparts": old}, {"dayparts": new})


def schedule_of(connection: Connection, campaign_id: int) -> Schedule:
    """The campaign's dayparts. Raises InvalidValue if there is no such campaign."""
    brand_of(connection, campaign_id)
    return tuple(Daypart(*row) for row in connection.execute(DAYPARTS_OF, {"id": campaign_id}))


def _found(connection: Connection, statement: TextClause, subject: str, subject_id: int) -> dict[str, Any]:
    row = connection.execute(statement, {"id": subject_id}).first() if 0 < subject_id <= MAX_ID else None
    if row is None:
        raise InvalidValue(subject, f"there is no {subject} {subject_id}")
    return dict(row._mapping)


def _unless_taken(connection: Connection, statement: TextClause, new: Mapping[str, Any]) -> CursorResult[Any]:
    try:
        return connection.execute(statement, new)
    except IntegrityError as error:
        if "uq_campaigns_platform_account_id_external_id" not in str(error.orig):
            raise
        detail = f"another campaign in this account is {new['platform']} {new['external_id']} already"
        raise InvalidValue("external_id", detail) from None


def _merged(old: Mapping[str, Any], changes: Mapping[str, object], known: frozenset[str]) -> dict[str, Any]:
    for field in changes.keys() - known:
        raise InvalidValue(field, "is not a field that can be edited")
    merged = {**old, **changes}
    if "name" in changes:
        checked_name(str(merged["name"]))
    if merged["configured_status"] not in set(ConfiguredStatus):
        raise InvalidValue("configured_status", f"{merged['configured_status']!r} is not enabled, paused or archived")
    return merged


def checked_name(name: str) -> str:
    """Returns the name. Raises InvalidValue if it is empty, too long, or has characters that `domain.text` forbids."""
    if not name.strip():
        raise InvalidValue("name", "is empty")
    if fault := fault_of(name):
        raise InvalidValue("name", fault)
    if len(name) > MAX_TEXT:
        raise InvalidValue("name", f"has over {MAX_TEXT} characters")
    return name


def checked_external_name(field: str, text: str | None) -> str | None:
    """Returns a platform's name or external id, or None. Raises InvalidValue if a spend event could not contain it."""
    if text is not None and not 0 < len(text) <= MAX_TEXT:
        raise InvalidValue(field, f"is not a line of at most {MAX_TEXT} characters")
    if text and (fault := fault_of(text)):
        raise InvalidValue(field, fault)
    return text


def checked_currency(code: str) -> str:
    """Returns the currency code. Raises InvalidValue unless it is three upper-case letters."""
    if len(code) != 3 or not code.isascii() or not code.isalpha() or not code.isupper():
        raise InvalidValue("currency", f"{code!r} is not an ISO 4217 code such as USD")
    return code


def _in_order(flight: Mapping[str, Any]) -> None:
    starts_on, ends_on = flight["starts_on"], flight["ends_on"]
    for field in ("starts_on", "ends_on"):
        if flight[field] is not None and not FIRST_DAY <= flight[field] <= LAST_DAY:
            raise InvalidValue(field, f"{flight[field]} is not between {FIRST_DAY} and {LAST_DAY}")
    if starts_on is not None and ends_on is not None and ends_on < starts_on:
        raise InvalidValue("ends_on", f"{ends_on} is before the flight starts on {starts_on}")
