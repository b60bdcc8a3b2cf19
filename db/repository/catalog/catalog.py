"""Reads and writes brands, campaigns, budgets and schedules, with the fields that people edit."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Row, TextClause, text
from sqlalchemy.exc import IntegrityError

from db.engine import deferred
from db.local_settings import local_setting
from db.repository.catalog import budget_locks
from db.repository.shared import locks
from db.repository.shared.locks import Lock
from db.repository.spread import written_by_edits
from domain.errors import InvalidValue, NotFound
from domain.inputs.values import MAX_ID
from domain.periods import Period
from domain.schedules import Daypart, Schedule

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
    WHERE brand_id = :brand_id AND id = :id
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
EDIT_TIME: Final = "spendgate.edited_at"

REMOVE_BUDGET = text("DELETE FROM budgets WHERE brand_id = :brand_id AND id = :id")

DAYPARTS_OF = text("""
    SELECT weekday, starts_minute, ends_minute FROM dayparts
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id ORDER BY weekday, starts_minute
""")

CLEAR_DAYPARTS = text("DELETE FROM dayparts WHERE brand_id = :brand_id AND campaign_id = :campaign_id")

INSERT_DAYPART = text("""
    INSERT INTO dayparts (brand_id, campaign_id, weekday, starts_minute, ends_minute)
    VALUES (:brand_id, :campaign_id, :weekday, :starts_minute, :ends_minute)
""")


def lock_catalog(connection: Connection) -> None:
    """Takes the lock for creating missing brands and campaigns until the transaction ends; waits until it is free."""
    locks.take(connection, Lock.CATALOG)


def brand_named(connection: Connection, name: str) -> int | None:
    """The id of the brand with this name; None if there is none. Raises InvalidValue if several brands have it."""
    brand_ids = list(connection.scalars(BRANDS_NAMED, {"name": name}))
    if len(brand_ids) > 1:
        ids = ", ".join(map(str, brand_ids))
        raise InvalidValue("brand", f"{name!r} is the name of several brands: {ids}; rename all but one, or use an id")
    return brand_ids[0] if brand_ids else None


def brand_made_by(connection: Connection, name: str, by: str) -> int | None:
    """The id of the oldest brand with this name that the author `by` created; None if there is none."""
    brand_id: int | None = connection.scalar(BRAND_MADE_BY, {"name": name, "by": by})
    return brand_id


def insert_brand(connection: Connection, new: Mapping[str, Any]) -> int:
    """Writes a brand with its name, zone, currency and time of creation; returns its id."""
    brand_id = int(connection.execute(INSERT_BRAND, new).scalar_one())
    written_by_edits.keep_facts(connection, brand_id, new["time_zone"], new["currency"])
    return brand_id


def insert_campaign(connection: Connection, new: Mapping[str, Any]) -> int:
    """Writes a campaign; returns its id. Raises InvalidValue if another campaign of the account has its external id."""
    new = written_by_edits.with_account(connection, new)
    campaign_id = int(_unless_taken(connection, INSERT_CAMPAIGN, new).scalar_one())
    written_by_edits.keep_name(connection, {**new, "id": campaign_id})
    written_by_edits.heed_released(connection, {**new, "id": campaign_id})
    return campaign_id


def update_brand(connection: Connection, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Writes the editable fields of the brand with the id in `new`; `old` has the fields before the edit."""
    connection.execute(UPDATE_BRAND, new)
    if (old["time_zone"], old["currency"]) != (new["time_zone"], new["currency"]):
        written_by_edits.keep_facts(connection, new["id"], new["time_zone"], new["currency"])


def update_campaign(connection: Connection, old: Mapping[str, Any], new: Mapping[str, Any], at: datetime) -> None:
    """Writes the editable fields of the campaign with the id in `new`; `old` has the fields before the edit.

    A released external id is recorded as released at `at`. Raises InvalidValue if another campaign of the account has
    the external id.
    """
    new = written_by_edits.with_account(connection, new, old)
    deferred(connection, local_setting(connection, EDIT_TIME, at.isoformat()))
    _unless_taken(connection, UPDATE_CAMPAIGN, new)
    written_by_edits.keep_name(connection, new, old)
    written_by_edits.heed_released(connection, new, old)
    written_by_edits.keep_released(connection, old, new, at=at)


def has_spend(connection: Connection, brand_id: int) -> bool:
    """Whether the brand has a counted day, so that its zone and currency are fixed."""
    return bool(connection.scalar(HAS_SPEND, {"id": brand_id}))


def brand(connection: Connection, brand_id: int) -> dict[str, Any]:
    """The brand's editable fields and id. Raises InvalidValue if there is no such brand."""
    return _found(connection, BRAND, "brand", brand_id)


def campaign(connection: Connection, campaign_id: int) -> dict[str, Any]:
    """The campaign's editable fields and ids. Raises InvalidValue if there is no such campaign."""
    return _found(connection, CAMPAIGN, "campaign", campaign_id)


def brand_of(connection: Connection, campaign_id: int) -> int:
    """The id of the brand that owns the campaign. Raises InvalidValue if there is no such campaign."""
    return int(_found(connection, CAMPAIGN, "campaign", campaign_id)["brand_id"])


def limit_of(connection: Connection, key: Mapping[str, Any]) -> Row[Any] | None:
    """The id and limit of the budget with this brand, campaign (or None) and period; None if there is none."""
    return connection.execute(LIMIT, key).first()


def write_limit(connection: Connection, new: Mapping[str, Any], old_micros: int | None) -> int:
    """Writes a budget's limit; returns the budget's id. `old_micros`: the limit before the edit; None: there was none.

    Raises StaleRead if an edit by SQL has locked the budget.
    """
    budget_id = int(budget_locks.execute_or_yield(connection, SET_BUDGET, new, new).scalar_one())
    written_by_edits.keep_limit(connection, new, old_micros, new["limit_micros"], new["at"])
    return budget_id


def delete_budget(connection: Connection, key: Mapping[str, Any], old: Row[Any], at: datetime) -> None:
    """Deletes the budget `old` (id and limit) with this key; its limit ends at `at`.

    `key`: its brand id, campaign id (None: a budget of the brand itself) and period. Raises StaleRead if an edit by SQL
    has locked the budget.
    """
    deferred(connection, local_setting(connection, EDIT_TIME, at.isoformat()))
    parameters = {"id": old.id, "brand_id": key["brand_id"]}
    budget_locks.execute_or_yield(connection, REMOVE_BUDGET, parameters, key)
    written_by_edits.keep_limit(connection, key, old.limit_micros, None, at)


def budget(connection: Connection, budget_id: int) -> dict[str, Any]:
    """The budget's fields. Raises InvalidValue if there is no such budget."""
    return _found(connection, BUDGET, "budget", budget_id)


def budget_of(connection: Connection, brand_id: int, campaign_id: int | None, period: Period) -> int | None:
    """The id of the budget of the brand (`campaign_id` None) or of its campaign for this period; None if not set."""
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    budget_id: int | None = connection.scalar(LIMIT, key)
    return budget_id


def schedule_of(connection: Connection, campaign_id: int) -> Schedule:
    """The campaign's dayparts by weekday and start. Raises InvalidValue if there is no such campaign."""
    key = {"brand_id": brand_of(connection, campaign_id), "campaign_id": campaign_id}
    return tuple(Daypart(*row) for row in connection.execute(DAYPARTS_OF, key))


def replace_dayparts(connection: Connection, brand_id: int, campaign_id: int, schedule: Schedule) -> None:
    """Writes the dayparts of the brand's campaign in place of its earlier dayparts."""
    key = {"brand_id": brand_id, "campaign_id": campaign_id}
    connection.execute(CLEAR_DAYPARTS, key)
    if schedule:
        connection.execute(INSERT_DAYPART, [key | asdict(part) for part in schedule])


def _found(connection: Connection, statement: TextClause, subject: str, subject_id: int) -> dict[str, Any]:
    row = connection.execute(statement, {"id": subject_id}).first() if 0 < subject_id <= MAX_ID else None
    if row is None:
        raise NotFound(subject, f"there is no {subject} {subject_id}")
    return dict(row._mapping)


def _unless_taken(connection: Connection, statement: TextClause, new: Mapping[str, Any]) -> CursorResult[Any]:
    try:
        return connection.execute(statement, new)
    except IntegrityError as error:
        if "uq_campaigns_platform_account_id_external_id" not in str(error.orig):
            raise
        detail = f"another campaign in this account already has the id {new['external_id']} on {new['platform']}"
        raise InvalidValue("external_id", detail) from None
