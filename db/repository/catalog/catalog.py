"""Brands, campaigns, budgets and schedules as people edit them; every edit audited."""

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

# The brand of a name that somebody made, by the audit.
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

# Tells triggers when a limit is taken away, or an external id released.
TELL_EDIT_TIME = text("SELECT set_config('spendgate.edited_at', CAST(CAST(:at AS timestamptz) AS text), true)")

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
"""What people set of each; an edit that changes none of them writes nothing."""


DEFAULT_ZONE: Final = "UTC"
DEFAULT_CURRENCY: Final = "USD"


def taken_by_default(*, zone: bool, currency: bool) -> str | None:
    """A sentence that names what nobody has chosen of a new brand; None where both were chosen."""
    taken = [name for name, is_taken in ((DEFAULT_ZONE, zone), (DEFAULT_CURRENCY, currency)) if is_taken]
    if not taken:
        return None
    return f"{' and '.join(taken)} by default; the first spend fixes the brand's time zone and currency"


def lock_catalog(connection: Connection) -> None:
    """Waits until no other transaction makes brands or campaigns that it did not find."""
    locks.take(connection, Lock.CATALOG)


def brand_named(connection: Connection, name: str) -> int | None:
    """The id of the brand with this name. Raises InvalidValue where several have it."""
    found = list(connection.scalars(BRANDS_NAMED, {"name": name}))
    if len(found) > 1:
        ids = ", ".join(map(str, found))
        raise InvalidValue("brand", f"{name!r} is the name of several: {ids}; rename the others, or use an id")
    return found[0] if found else None


def brand_made_by(connection: Connection, name: str, by: str) -> int | None:
    """The id of the oldest brand with this name that `by` made."""
    found: int | None = connection.scalar(BRAND_MADE_BY, {"name": name, "by": by})
    return found


def create_brand(connection: Connection, name: str, zone: str, currency: str, edit: Edit) -> int:
    """Makes a brand and returns its id. Raises InvalidValue for a zone or currency that does not exist."""
    new = {"name": named(name), "time_zone": time_zone(zone).key, "currency": checked_currency(currency)}
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
    """Makes a campaign, enabled, and returns its id. The caller enforces its brand in the same transaction.

    `account`: the platform's id of an account that is bound to the brand; None: the brand's default account.
    """
    _found(connection, BRAND, "brand", brand_id)
    new = {
        "brand_id": brand_id,
        "name": named(name),
        "platform": known_as("platform", platform),
        "external_id": known_as("external_id", external_id),
        "starts_on": starts_on,
        "ends_on": ends_on,
    }
    _in_order(new)
    account_id = None if account is None else bound_account(connection, brand_id, platform, account)
    row = new | {"platform_account_id": account_id, "at": edit.at}
    campaign_id = int(_unless_taken(connection, INSERT_CAMPAIGN, row).scalar_one())
    told = new if account is None else new | {"account": account}
    note(connection, edit, "create", Subject("campaign", campaign_id, brand_id), None, told)
    return campaign_id


def edit_brand(connection: Connection, brand_id: int, changes: Mapping[str, object], edit: Edit) -> None:
    """Changes the named fields. Raises InvalidValue for a zone or currency changed after the first spend."""
    old = _found(connection, BRAND, "brand", brand_id)
    new = _merged(old, changes, BRAND_FIELDS)
    if new == old:
        return
    time_zone(str(new["time_zone"]))
    checked_currency(str(new["currency"]))
    moved = [field for field in ("time_zone", "currency") if new[field] != old[field]]
    if moved and connection.scalar(HAS_SPEND, {"id": brand_id}):
        raise InvalidValue(moved[0], "fixed, because the brand has spend")
    connection.execute(UPDATE_BRAND, new)
    note(connection, edit, "edit", Subject("brand", brand_id, brand_id), old, new)


def edit_campaign(connection: Connection, campaign_id: int, changes: Mapping[str, object], edit: Edit) -> None:
    """Changes the named fields. Raises InvalidValue for a flight that ends before it starts."""
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
        known_as(field, new[field])
    _in_order(new)
    connection.execute(TELL_EDIT_TIME, {"at": edit.at})
    _unless_taken(connection, UPDATE_CAMPAIGN, new)
    note(connection, edit, "edit", Subject("campaign", campaign_id, old["brand_id"]), old, new)


def brand(connection: Connection, brand_id: int) -> dict[str, Any]:
    """The brand's fields. Raises InvalidValue when there is no such brand."""
    return _found(connection, BRAND, "brand", brand_id)


def campaign(connection: Connection, campaign_id: int) -> dict[str, Any]:
    """The campaign's fields, as people set them. Raises InvalidValue when there is no such campaign."""
    return _found(connection, CAMPAIGN, "campaign", campaign_id)


def brand_of(connection: Connection, campaign_id: int) -> int:
    """The brand that owns the campaign. Raises InvalidValue when there is no such campaign."""
    return int(_found(connection, CAMPAIGN, "campaign", campaign_id)["brand_id"])


def set_budget(
    connection: Connection, brand_id: int, campaign_id: int | None, period: Period, limit_micros: int, edit: Edit
) -> int:
    """Sets the limit of one period, of the brand or of its campaign; returns the budget's id. 0 holds at once."""
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
    """The budget's fields. Raises InvalidValue when there is no such budget."""
    return _found(connection, BUDGET, "budget", budget_id)


def budget_of(connection: Connection, brand_id: int, campaign_id: int | None, period: Period) -> int | None:
    """The id of the budget that the brand or its campaign has for this period."""
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    found: int | None = connection.scalar(LIMIT, key)
    return found


def remove_budget(connection: Connection, brand_id: int, campaign_id: int | None, period: Period, edit: Edit) -> None:
    """Takes the limit away: no budget, no limit. Raises InvalidValue when there is none."""
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    old = connection.execute(LIMIT, key).first()
    if old is None:
        raise InvalidValue("period", f"there is no {period} budget")
    connection.execute(TELL_EDIT_TIME, {"at": edit.at})
    locks.execute_or_yield(connection, REMOVE_BUDGET, {"id": old.id})
    note(
        connection, edit, "remove", Subject("budget", old.id, brand_id), key | {"limit_micros": old.limit_micros}, None
    )


def set_schedule(connection: Connection, campaign_id: int, schedule: Schedule, edit: Edit) -> None:
    """Replaces the campaign's dayparts; an empty schedule is always open."""
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
    """The campaign's dayparts. Raises InvalidValue when there is no such campaign."""
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
        taken = f"{new['platform']} {new['external_id']} is another campaign already in this account"
        raise InvalidValue("external_id", taken) from None


def _merged(old: Mapping[str, Any], changes: Mapping[str, object], known: frozenset[str]) -> dict[str, Any]:
    for field in changes.keys() - known:
        raise InvalidValue(field, "is not a field that can be edited")
    merged = {**old, **changes}
    if "name" in changes:
        named(str(merged["name"]))
    if merged["configured_status"] not in set(ConfiguredStatus):
        raise InvalidValue("configured_status", f"{merged['configured_status']!r} is not enabled, paused or archived")
    return merged


def named(name: str) -> str:
    """The name, where it is one. Raises InvalidValue for an empty or a long one, or as `domain.text` says."""
    if not name.strip():
        raise InvalidValue("name", "is empty")
    if fault := fault_of(name):
        raise InvalidValue("name", fault)
    if len(name) > MAX_TEXT:
        raise InvalidValue("name", f"has over {MAX_TEXT} characters")
    return name


def known_as(field: str, text: str | None) -> str | None:
    """How a platform or its id for a campaign may be written: as a spend event can name it."""
    if text is not None and not 0 < len(text) <= MAX_TEXT:
        raise InvalidValue(field, f"is not a line of at most {MAX_TEXT} characters")
    if text and (fault := fault_of(text)):
        raise InvalidValue(field, fault)
    return text


def checked_currency(code: str) -> str:
    """The code, where it has the form of one. Raises InvalidValue."""
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
