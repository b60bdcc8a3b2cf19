"""Reports as CSV and JSON: every figure is there and exact, and no name can be read as a formula."""

import csv
import io
import json
from datetime import date
from typing import Any

import pytest

from app.reports.formats import (
    COLUMNS,
    as_csv,
    as_json,
    limits_in_force,
    notable_limits,
)
from app.reports.generate import on_demand
from tests.world import UNIT, World

MAY = date(2026, 5, 1)


def table(content: dict[str, Any]) -> list[dict[str, str]]:
    head, *rows = csv.reader(as_csv(content).splitlines(), strict=True)
    assert tuple(head) == COLUMNS
    assert {len(row) for row in rows} == {len(head)}
    return [dict(zip(head, row, strict=True)) for row in rows]


def own_cells(row: dict[str, str]) -> dict[str, str]:
    """The row without the columns that are equal in all rows."""
    common = {"brand_id", "brand", "month", "currency"}
    return {name: value for name, value in row.items() if value and name not in common}


@pytest.fixture
def content(world: World) -> dict[str, Any]:
    world.set_clock("2026-05-30T00:00:00Z")
    brand = world.brand(name="=Hudson", currency="EUR")
    campaign = world.campaign(brand, name='@sum(A1), "search"', daily=5 * UNIT)
    world.set_clock("2026-05-30T12:00:00Z")
    world.spend(campaign, 6 * UNIT + 1)
    world.set_clock("2026-05-31T00:00:00Z")
    world.tick()
    world.set_clock("2026-06-01T00:00:00Z")
    on_demand(brand, MAY)
    world.spend(campaign, -UNIT, "2026-05-31T12:00:00Z")
    report: dict[str, Any] = on_demand(brand, MAY)["content"]
    return report


def test_table_has_a_row_for_each_figure(content: dict[str, Any]) -> None:
    rows = table(content)
    named = {"scope": "campaign", "campaign_id": "1", "campaign": '\'@sum(A1), "search"'}
    brand = {"scope": "brand"}
    spent = [
        {"first_day": "2026-05-30", "spent_micros": "6000001", "spent": "6.000001"},
        {"first_day": "2026-05-31", "spent_micros": "-1000000", "spent": "-1.00"},
    ]
    held = [{"hold": "none", "seconds": "129600"}, {"hold": "campaign_daily_budget", "seconds": "43200"}]
    assert [own_cells(row) for row in rows if row["kind"] == "spend"] == [
        {"kind": "spend", **scope, **figures} for scope in (brand, named) for figures in spent
    ]
    assert [own_cells(row) for row in rows if row["kind"] == "held"] == [
        {"kind": "held", **scope, **figures} for scope in (brand, named) for figures in held
    ]
    assert [own_cells(row) for row in rows if row["kind"] == "in_budget"] == [
        {"kind": "in_budget", **scope, "seconds": "43200", "in_budget_permille": "750"} for scope in (brand, named)
    ]
    assert [own_cells(row) for row in rows if row["kind"] == "exhausted"] == [
        {
            "kind": "exhausted",
            **named,
            "period": "daily",
            "first_day": "2026-05-30",
            "end_day": "2026-05-31",
            "from": "2026-05-30T12:00:00+00:00",
        }
    ]
    assert [own_cells(row) for row in rows if row["kind"] == "restated"] == [
        {"kind": "restated", **brand, "first_day": "2026-05-31", "restated_micros": "-1000000", "restated": "-1.00"},
        {"kind": "restated", **named, "restated_micros": "-1000000", "restated": "-1.00"},
    ]
    first, second = (own_cells(row) for row in rows if row["kind"] == "limit")
    limit = {
        "kind": "limit",
        **named,
        "period": "daily",
        "complete": "true",
        "limit_micros": "5000000",
        "limit": "5.00",
    }
    assert first == limit | {
        "first_day": "2026-05-30",
        "end_day": "2026-05-31",
        "spent_micros": "6000001",
        "spent": "6.000001",
        "overspend_micros": "1000001",
        "overspend": "1.000001",
        "used_permille": "1200",
        "times_exhausted": "1",
        "cause": "last_event",
        "delay_seconds": "0",
        "confirmation_delay_micros": "0",
        "confirmation_delay": "0.00",
    }
    assert (second["spent"], second["overspend"], second["times_exhausted"]) == ("-1.00", "0.00", "0")


def test_every_row_has_brand_month_and_currency_and_no_formula_in_names(content: dict[str, Any]) -> None:
    for row in table(content):
        assert (row["brand_id"], row["brand"], row["month"], row["currency"]) == ("1", "'=Hudson", "2026-05", "EUR")
        assert not any(cell.startswith(("=", "+", "@")) for cell in row.values())


@pytest.mark.parametrize("sign", "=+-@")
def test_name_that_begins_like_a_formula_gets_an_apostrophe(world: World, sign: str) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    content = on_demand(world.brand(), MAY)["content"] | {"brand": f"{sign}1", "by_day": {"2026-05-30": -1}}
    spend = table(content)[0]
    assert (spend["brand"], spend["spent_micros"], spend["spent"]) == (f"'{sign}1", "-1", "-0.000001")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("＝1+1", "'＝1+1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠SUM(A1)", "'＠SUM(A1)"),
        ("−1", "'−1"),
        ("Shoes;=1+1", "Shoes;'=1+1"),
        ('Shoes"; "@SUM(A1)', 'Shoes";\' "@SUM(A1)'),
        ("Shoes\t+1", "Shoes\t'+1"),
        ("Shoes\n-1", "Shoes\n'-1"),
        ("  =1", "'  =1"),
        ("\u200b=1", "'\u200b=1"),
        ("Shoes - summer, -20 % @ home; new", "Shoes - summer, -20 % @ home; new"),
    ],
)
def test_no_part_of_a_name_is_a_formula_for_any_cell_separator(world: World, name: str, written: str) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    content = on_demand(world.brand(), MAY)["content"] | {"brand": name, "by_day": {"2026-05-30": -1}}
    first = next(csv.DictReader(io.StringIO(as_csv(content), newline=""), strict=True))
    assert first["brand"] == written


def test_names_in_any_script_are_kept_in_csv_and_json(world: World) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    brand = world.brand(name='Zürich, "東京"; موسيقى 🎈')
    content = on_demand(brand, MAY)["content"]
    assert {row["brand"] for row in table(content)} == {'Zürich, "東京"; موسيقى 🎈'}
    assert "東京" in as_json(content)


def test_running_month_has_no_restated_rows(world: World) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    rows = table(on_demand(world.brand(), MAY)["content"])
    assert [row["kind"] for row in rows] == ["held", "in_budget"]


def test_json_is_the_stored_content(content: dict[str, Any]) -> None:
    assert json.loads(as_json(content)) == content


def test_notable_limits_are_longer_windows_and_exhausted_days_worst_first(world: World) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    brand = world.brand(daily=50 * UNIT, monthly=90 * UNIT)
    campaigns = [world.campaign(brand, name, daily=5 * UNIT) for name in ("A little", "Not", "Much", "Just")]
    for campaign, micros in zip(campaigns, (6 * UNIT, 4 * UNIT, 9 * UNIT, 5 * UNIT), strict=True):
        world.spend(campaign, micros)
    own_cells = [(limit["campaign"], limit["period"]) for limit in notable_limits(on_demand(brand, MAY)["content"])]
    assert own_cells == [(None, "monthly"), ("Much", "daily"), ("A little", "daily"), ("Just", "daily")]


def test_exhausted_times_are_brand_local_and_end_with_the_hold(world: World) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    brand = world.brand("Asia/Kathmandu", daily=5 * UNIT)
    world.set_clock("2026-05-30T06:00:00Z")
    world.spend(world.campaign(brand), 5 * UNIT)
    world.set_clock("2026-05-30T07:30:00Z")
    world.limit(9 * UNIT, brand=brand)
    rows = table(on_demand(brand, MAY)["content"])
    (ran_out,) = (row for row in rows if row["kind"] == "exhausted")
    assert (ran_out["scope"], ran_out["period"], ran_out["first_day"]) == ("brand", "daily", "2026-05-30")
    assert (ran_out["from"], ran_out["until"]) == ("2026-05-30T11:45:00+05:45", "2026-05-30T13:15:00+05:45")


def test_every_budget_has_a_line_also_if_it_was_never_reached(world: World) -> None:
    world.set_clock("2026-05-28T00:00:00Z")
    brand = world.brand(daily=50 * UNIT, monthly=90 * UNIT)
    calm, other = (world.campaign(brand, name, daily=5 * UNIT) for name in ("Calm", "Other"))
    world.spend(calm, 3 * UNIT)
    world.spend(other, 5 * UNIT)
    world.set_clock("2026-05-29T12:00:00Z")
    world.tick()
    world.limit(10 * UNIT, campaign=calm)
    lines = limits_in_force(on_demand(brand, MAY)["content"], date(2026, 5, 29))
    own_cells = [
        (line["campaign"], line["period"], line["limit_micros"], line["days"], line["used_permille"], line["reached"])
        for line in lines
    ]
    assert own_cells == [
        (None, "daily", 50 * UNIT, 2, 80, 0),
        (None, "monthly", 90 * UNIT, 29, 88, 0),
        ("Other", "daily", 5 * UNIT, 2, 500, 1),
        ("Calm", "daily", 10 * UNIT, 2, 200, 0),
    ]
    assert [line["was_changed"] for line in lines] == [False, False, False, True]


def test_weekly_and_lifetime_limits_count_only_days_of_the_month(world: World) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    brand = world.brand(weekly=0, lifetime=5 * UNIT)
    world.campaign(brand)
    world.set_clock("2026-06-02T00:00:00Z")
    lines = limits_in_force(on_demand(brand, MAY)["content"], date(2026, 6, 2))
    assert [(line["period"], line["days"], line["used_permille"], line["reached"]) for line in lines] == [
        ("weekly", 7, None, 1),
        ("lifetime", 31, 0, 0),
    ]


def test_time_without_history_is_empty(world: World) -> None:
    world.set_clock("2026-06-03T00:00:00Z")
    brand = world.brand()
    world.spend(world.campaign(brand), UNIT, "2026-05-20T12:00:00Z")
    content = on_demand(brand, MAY)["content"]
    for scope in (content, *content["campaigns"]):
        times = (scope["served_seconds"], scope["held_by_budgets_seconds"], scope["in_budget_permille"])
        assert times == (None, None, None)
    assert (content["spent_micros"], content["paused"], content["activated"]) == (UNIT, None, None)
    assert {row["seconds"] for row in table(content) if row["kind"] in {"held", "in_budget"}} == {""}
