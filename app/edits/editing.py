"""Edits of brands, campaigns, budgets and schedules, each audited. The caller enforces the brand in the same commit."""

from collections.abc import Mapping
from dataclasses import astuple
from datetime import date
from typing import Any

import structlog
from sqlalchemy import Connection

from db.repository.access.audit import Edit, Subject, note
from db.repository.catalog import catalog
from db.repository.catalog.platform_accounts import bound_account, is_default
from db.repository.platforms.statuses import is_paused_by_us
from domain.edits.fields import (
    BRAND_FIELDS,
    CAMPAIGN_FIELDS,
    check_flight,
    check_limit,
    checked_currency,
    checked_external_name,
    checked_name,
    checked_platform,
    merged,
)
from domain.errors import InvalidValue, NotFound
from domain.periods import Period
from domain.schedules import Schedule
from domain.zones import time_zone

log = structlog.get_logger()


def create_brand(connection: Connection, name: str, zone: str, currency: str, edit: Edit) -> int:
    """Creates a brand and returns its id. Raises InvalidValue for an invalid name, time zone or currency."""
    new = {"name": checked_name(name), "time_zone": time_zone(zone).key, "currency": checked_currency(currency)}
    brand_id = catalog.insert_brand(connection, new | {"at": edit.at})
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
    catalog.brand(connection, brand_id)
    platform = checked_platform(platform)
    new = {
        "brand_id": brand_id,
        "name": checked_name(name),
        "platform": platform,
        "external_id": checked_external_name("external_id", external_id),
        "starts_on": starts_on,
        "ends_on": ends_on,
    }
    check_flight(starts_on, ends_on)
    account_id = None if account is None else bound_account(connection, brand_id, platform, account)
    row = new | {"platform_account_id": account_id, "at": edit.at}
    campaign_id = catalog.insert_campaign(connection, row)
    audited = new if account is None else new | {"account": account}
    note(connection, edit, "create", Subject("campaign", campaign_id, brand_id), None, audited)
    return campaign_id


def edit_brand(connection: Connection, brand_id: int, changes: Mapping[str, object], edit: Edit) -> None:
    """Sets the fields in `changes` of the brand; writes nothing if none differs. The caller then enforces the brand.

    Raises InvalidValue for an unknown brand, invalid values, and a new time zone or currency if the brand has spend.
    """
    old = catalog.brand(connection, brand_id)
    new = merged(old, changes, BRAND_FIELDS)
    if new == old:
        return
    time_zone(str(new["time_zone"]))
    checked_currency(str(new["currency"]))
    changed = [field for field in ("time_zone", "currency") if new[field] != old[field]]
    if changed and catalog.has_spend(connection, brand_id):
        raise InvalidValue(
            changed[0],
            "cannot change, because the brand has spend; in a terminal, `spendgate brand correct` changes it",
        )
    catalog.update_brand(connection, old, new)
    note(connection, edit, "edit", Subject("brand", brand_id, brand_id), old, new)


def edit_campaign(connection: Connection, campaign_id: int, changes: Mapping[str, object], edit: Edit) -> None:
    """Sets the fields in `changes` of the campaign; writes nothing if none differs. The caller then enforces the brand.

    If Spendgate has paused the campaign on its platform, and its external id is replaced, the platform's campaign with
    the old id stays paused; the log and the audit say so. Raises InvalidValue for invalid values, such as a flight that
    ends before it starts.
    """
    old = catalog.campaign(connection, campaign_id)
    new = merged(old, changes, CAMPAIGN_FIELDS)
    account = new.pop("account", None)
    if "platform" in changes:
        new["platform"] = checked_platform(new["platform"])
    if account is not None:
        new["platform_account_id"] = bound_account(connection, old["brand_id"], new["platform"], str(account))
    elif new["platform"] != old["platform"] or ("account" in changes and not is_default(connection, old)):
        new["platform_account_id"] = None
    if new == old:
        return
    checked_external_name("external_id", new["external_id"])
    check_flight(new["starts_on"], new["ends_on"])
    left = _left_paused(connection, old, new)
    catalog.update_campaign(connection, old, new, edit.at)
    note(connection, edit, "edit", Subject("campaign", campaign_id, old["brand_id"]), old, new | left)


def _left_paused(connection: Connection, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """If Spendgate paused the platform's campaign with the old external id and will no longer enable it, logs that.

    Returns the old external id as a field for the audit then; else an empty dict.
    """
    fields = ("platform_account_id", "external_id")
    is_kept = all(new[field] == old[field] for field in fields)
    if is_kept or not is_paused_by_us(connection, old["brand_id"], old["id"]):
        return {}
    named = {"platform": old["platform"], "brand_id": old["brand_id"], "campaign_id": old["id"]}
    log.warning("platform.left_paused", external_id=old["external_id"], **named)
    return {"left_paused_there": old["external_id"]}


def set_budget(
    connection: Connection, brand_id: int, campaign_id: int | None, period: Period, limit_micros: int, edit: Edit
) -> int:
    """Sets the limit of one period for the brand or one of its campaigns; returns the budget's id.

    Writes nothing if the limit is the same. A limit of 0 is always exhausted. `campaign_id` None: the brand's own
    budget. Raises InvalidValue for a limit out of range, an unknown brand or campaign, and another brand's campaign;
    StaleRead if an edit by SQL has locked the budget.
    """
    check_limit(limit_micros)
    catalog.brand(connection, brand_id)
    if campaign_id is not None and catalog.brand_of(connection, campaign_id) != brand_id:
        raise InvalidValue("campaign", f"campaign {campaign_id} does not belong to brand {brand_id}")
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    old = catalog.limit_of(connection, key)
    if old is not None and old.limit_micros == limit_micros:
        return int(old.id)
    new = key | {"limit_micros": limit_micros}
    budget_id = catalog.write_limit(connection, new | {"at": edit.at}, None if old is None else old.limit_micros)
    before = None if old is None else key | {"limit_micros": old.limit_micros}
    note(connection, edit, "set", Subject("budget", budget_id, brand_id), before, new)
    return budget_id


def remove_budget(connection: Connection, brand_id: int, campaign_id: int | None, period: Period, edit: Edit) -> None:
    """Removes the budget of the brand or campaign for this period. `campaign_id` None: the brand's own budget.

    Raises InvalidValue if there is none, and StaleRead if an edit by SQL has locked the budget.
    """
    key = {"brand_id": brand_id, "campaign_id": campaign_id, "period": period.value}
    old = catalog.limit_of(connection, key)
    if old is None:
        raise NotFound("period", f"there is no {period} budget")
    catalog.delete_budget(connection, key, old, edit.at)
    note(
        connection, edit, "remove", Subject("budget", old.id, brand_id), key | {"limit_micros": old.limit_micros}, None
    )


def set_schedule(connection: Connection, campaign_id: int, schedule: Schedule, edit: Edit) -> None:
    """Replaces the campaign's dayparts; writes nothing if they are the same. An empty schedule always lets it serve.

    Raises InvalidValue if there is no such campaign.
    """
    brand_id = catalog.brand_of(connection, campaign_id)
    old = [astuple(part) for part in catalog.schedule_of(connection, campaign_id)]
    new = [astuple(part) for part in schedule]
    if new == old:
        return
    catalog.replace_dayparts(connection, brand_id, campaign_id, schedule)
    note(connection, edit, "set", Subject("schedule", campaign_id, brand_id), {"dayparts": old}, {"dayparts": new})
