"""Edits of brands, campaigns, budgets and schedules are audited; invalid ones are refused by field name."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from app.edits import editing
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from domain.errors import InvalidValue
from domain.money import MAX_AMOUNT_MICROS
from domain.periods import Period
from domain.schedules import parse_schedule
from tests.world import World


@pytest.fixture
def edit(world: World, noon: datetime) -> Edit:
    """An edit by Ada at noon."""
    return Edit("ada", world.set_clock(noon))


def made(edit: Edit) -> tuple[int, int]:
    brand = committed(lambda connection: editing.create_brand(connection, "Shop", "Asia/Tokyo", "JPY", edit))
    return brand, committed(lambda connection: editing.create_campaign(connection, brand, "Shoes", edit))


def set_daily(brand: int, limit: int, edit: Edit, campaign: int | None = None) -> None:
    committed(lambda connection: editing.set_budget(connection, brand, campaign, Period.DAILY, limit, edit))


def audited(world: World) -> list[tuple[str, str, Any, Any]]:
    rows = world.rows("SELECT action, subject, old, new FROM audit_entries ORDER BY id")
    return [(row["action"], row["subject"], row["old"], row["new"]) for row in rows]


def test_creating_a_brand_and_a_campaign_is_audited(world: World, edit: Edit) -> None:
    brand, campaign = made(edit)
    first, second = world.rows("SELECT * FROM audit_entries ORDER BY id")
    assert (first["changed_by"], first["changed_at"], first["subject_id"], first["brand_id"]) == (
        "ada",
        edit.at,
        brand,
        brand,
    )
    assert (second["subject"], second["subject_id"], second["brand_id"]) == ("campaign", campaign, brand)
    assert audited(world) == [
        ("create", "brand", None, {"name": "Shop", "time_zone": "Asia/Tokyo", "currency": "JPY"}),
        (
            "create",
            "campaign",
            None,
            {
                "brand_id": brand,
                "name": "Shoes",
                "platform": None,
                "external_id": None,
                "starts_on": None,
                "ends_on": None,
            },
        ),
    ]


def test_edits_are_audited_with_old_and_new_values(world: World, edit: Edit) -> None:
    brand, campaign = made(edit)
    flight = {"starts_on": date(2026, 6, 1), "configured_status": "paused"}
    committed(lambda connection: editing.edit_brand(connection, brand, {"name": "Store"}, edit))
    committed(lambda connection: editing.edit_campaign(connection, campaign, flight, edit))
    (_, _, old_brand, new_brand), (_, _, old, new) = audited(world)[2:]
    assert (old_brand["name"], new_brand["name"]) == ("Shop", "Store")
    assert (old["starts_on"], old["configured_status"]) == (None, "enabled")
    assert (new["starts_on"], new["configured_status"]) == ("2026-06-01", "paused")
    assert old | {"starts_on": "2026-06-01", "configured_status": "paused"} == new


def test_setting_changing_and_removing_limits_is_audited(world: World, edit: Edit) -> None:
    brand, campaign = made(edit)
    for limit in (5, 7):
        set_daily(brand, limit, edit, campaign)
    committed(lambda connection: editing.remove_budget(connection, brand, campaign, Period.DAILY, edit))
    budget = {"brand_id": brand, "campaign_id": campaign, "period": "daily"}
    assert audited(world)[2:] == [
        ("set", "budget", None, {**budget, "limit_micros": 5}),
        ("set", "budget", {**budget, "limit_micros": 5}, {**budget, "limit_micros": 7}),
        ("remove", "budget", {**budget, "limit_micros": 7}, None),
    ]


def test_setting_a_schedule_is_audited(world: World, edit: Edit) -> None:
    _, campaign = made(edit)
    schedule = parse_schedule("Mon 22:00-06:00")
    committed(lambda connection: editing.set_schedule(connection, campaign, schedule, edit))
    assert committed(lambda connection: catalog.schedule_of(connection, campaign)) == schedule
    committed(lambda connection: editing.set_schedule(connection, campaign, (), edit))
    assert committed(lambda connection: catalog.schedule_of(connection, campaign)) == ()
    parts = {"dayparts": [[1, 1320, 1440], [2, 0, 360]]}
    assert [(old, new) for _, _, old, new in audited(world)[2:]] == [
        ({"dayparts": []}, parts),
        (parts, {"dayparts": []}),
    ]


def test_every_limit_is_kept_with_the_time_it_was_set(world: World, edit: Edit) -> None:
    brand, _ = made(edit)
    moments = [edit.at + timedelta(days=days) for days in range(3)]
    for at, limit in zip(moments, (5, 7, 7), strict=True):
        set_daily(brand, limit, Edit("ada", at))
    removed = moments[-1] + timedelta(days=1)
    committed(lambda connection: editing.remove_budget(connection, brand, None, Period.DAILY, Edit("a", removed)))
    rows = world.rows("SELECT limit_micros, changed_at FROM budget_limits ORDER BY id")
    assert [(row["limit_micros"], row["changed_at"]) for row in rows] == [
        (5, moments[0]),
        (7, moments[1]),
        (None, removed),
    ]


def test_failed_edit_is_not_audited(world: World, edit: Edit) -> None:
    brand, _ = made(edit)
    with pytest.raises(InvalidValue):
        committed(lambda connection: editing.edit_brand(connection, brand, {"name": " "}, edit))
    assert len(audited(world)) == 2


def test_a_brands_zone_and_currency_are_fixed_with_its_first_spend(world: World, edit: Edit) -> None:
    brand, campaign = made(edit)
    change = {"time_zone": "UTC", "currency": "USD"}
    committed(lambda connection: editing.edit_brand(connection, brand, change, edit))
    world.spend(campaign, 5)
    for field, value in (("time_zone", "Asia/Tokyo"), ("currency", "JPY")):
        work = partial(editing.edit_brand, brand_id=brand, changes={field: value}, edit=edit)
        assert refused(work) == field
    committed(lambda connection: editing.edit_brand(connection, brand, {**change, "name": "Store"}, edit))


def refused(work: Callable[[Connection], object]) -> str:
    """The field named by the error with which an edit is refused."""
    try:
        committed(work)
    except InvalidValue as error:
        return error.field
    return "nothing"


def test_invalid_values_are_refused_by_field_name(world: World, edit: Edit) -> None:
    brand, campaign = made(edit)
    known = world.campaign(brand, platform="meta_ads", external_id="77")
    other = world.campaign(world.brand())

    def brands(**fields: object) -> Callable[[Connection], object]:
        return lambda connection: editing.edit_brand(connection, brand, fields, edit)

    def campaigns(**fields: object) -> Callable[[Connection], object]:
        return lambda connection: editing.edit_campaign(connection, campaign, fields, edit)

    def limits(campaign_id: int | None, limit: int) -> Callable[[Connection], object]:
        return lambda connection: editing.set_budget(connection, brand, campaign_id, Period.DAILY, limit, edit)

    tried = [
        ("name", lambda c: editing.create_brand(c, "", "UTC", "USD", edit)),
        ("name", lambda c: editing.create_brand(c, "nul \0", "UTC", "USD", edit)),
        ("time_zone", lambda c: editing.create_brand(c, "Shop", "Mars/Olympus", "USD", edit)),
        ("currency", lambda c: editing.create_brand(c, "Shop", "UTC", "usd", edit)),
        ("brand", lambda c: editing.create_campaign(c, 404, "Shoes", edit)),
        ("brand", lambda c: editing.create_campaign(c, 2**63, "Shoes", edit)),
        ("name", lambda c: editing.create_campaign(c, brand, "\n", edit)),
        ("ends_on", lambda c: editing.create_campaign(c, brand, "S", edit, starts_on=TODAY, ends_on=YESTERDAY)),
        (
            "external_id",
            lambda c: editing.create_campaign(c, brand, "S", edit, platform="meta_ads", external_id="77"),
        ),
        ("brand", lambda c: editing.edit_brand(c, 404, {}, edit)),
        ("id", brands(id=5)),
        ("time_zone", brands(time_zone="PST")),
        ("currency", brands(currency="Dollar")),
        ("configured_status", brands(configured_status="gone")),
        ("campaign", lambda c: editing.edit_campaign(c, 404, {}, edit)),
        ("effective_status", campaigns(effective_status="active")),
        ("name", campaigns(name="")),
        ("ends_on", campaigns(starts_on=TODAY, ends_on=YESTERDAY)),
        ("starts_on", campaigns(starts_on=date(1989, 12, 31))),
        ("ends_on", campaigns(ends_on=date(2200, 1, 1))),
        ("configured_status", campaigns(configured_status="active")),
        ("external_id", campaigns(platform="meta_ads", external_id="77")),
        ("limit_micros", limits(campaign, -1)),
        ("limit_micros", limits(None, MAX_AMOUNT_MICROS + 1)),
        ("campaign", limits(404, 5)),
        ("campaign", limits(other, 5)),
        ("brand", lambda c: editing.set_budget(c, 404, None, Period.DAILY, 5, edit)),
        ("period", lambda c: editing.remove_budget(c, brand, None, Period.WEEKLY, edit)),
        ("campaign", lambda c: editing.set_schedule(c, 404, (), edit)),
        ("campaign", lambda c: catalog.schedule_of(c, -1)),
        ("campaign", lambda c: catalog.brand_of(c, 404)),
    ]
    answers = []
    for number, (field, work) in enumerate(tried):
        try:
            answers.append((number, field, refused(work)))
        except Exception as error:  # noqa: BLE001 - named beside the field that should have been
            answers.append((number, field, type(error).__name__))
    assert [answer for answer in answers if answer[1] != answer[2]] == []
    assert known


TODAY = date(2026, 6, 17)
YESTERDAY = date(2026, 6, 16)


def test_brand_named_finds_a_brand_and_refuses_ambiguous_names(world: World, edit: Edit) -> None:
    first = world.brand(name="Shop")
    assert committed(lambda connection: catalog.brand_named(connection, "Shop")) == first
    second = world.brand(name="Shop")
    with pytest.raises(InvalidValue, match=f"several brands: {first}, {second}"):
        committed(lambda connection: catalog.brand_named(connection, "Shop"))
    assert committed(lambda connection: catalog.brand_named(connection, "Store")) is None


@pytest.mark.parametrize("bad", ["\u200b", "\U000e0041", "Spring\u202esale", "Spring\u2028sale", "tab\t"])
def test_name_with_a_forbidden_character_is_refused_and_the_character_named(world: World, edit: Edit, bad: str) -> None:
    brand = world.brand()
    for make in (
        lambda connection: editing.create_brand(connection, bad, "UTC", "USD", edit),
        lambda connection: editing.create_campaign(connection, brand, bad, edit),
        lambda connection: editing.create_campaign(connection, brand, "x", edit, platform="meta", external_id=bad),
    ):
        with pytest.raises(InvalidValue, match=r"U\+[0-9A-F]{4,5}"):
            committed(make)


def test_old_invalid_name_does_not_block_other_edits(world: World, edit: Edit) -> None:
    campaign = world.campaign(world.brand())
    world.execute("UPDATE campaigns SET name = %s", "Spring\u202esale")
    committed(lambda connection: editing.edit_campaign(connection, campaign, {"configured_status": "paused"}, edit))
    with pytest.raises(InvalidValue, match="U\\+202E"):
        committed(lambda connection: editing.edit_campaign(connection, campaign, {"name": "Winter\u202e"}, edit))
