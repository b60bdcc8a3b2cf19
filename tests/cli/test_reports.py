"""`spendgate report` shows a brand's month as text, JSON and CSV."""

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Spendgate
from tests.world import UNIT, World

JUNE = "2026-06-01T06:00:00Z"


@pytest.fixture
def brand(world: World) -> int:
    world.set_clock("2026-05-30T00:00:00Z")
    brand = world.brand("America/New_York", "EUR", "[bold]Hudson[/bold]", daily=5 * UNIT)
    campaign = world.campaign(brand, name="Brand search")
    world.set_clock("2026-05-30T16:30:00Z")
    world.spend(campaign, 6 * UNIT + 1)
    world.set_clock(JUNE)
    return brand


def test_report_prints_spend_limits_holds_and_exhausted_budgets(world: World, spendgate: Spendgate, brand: int) -> None:
    result = spendgate("report", "--brand", "[bold]Hudson[/bold]")
    assert result.code == 0, result
    for words in (
        "[bold]Hudson[/bold] 2026-05",
        "America/New_York; version 1",
        "spent €6.000001",
        "1 of 3 budget periods overspent",
        "Sat 2026-05-30",
        "12:30",
        "Brand search",
        "the brand's daily budget is spent",
        "the last spend event exceeded the remaining budget",
        "120.0 %",
        "Limits in force",
        "1 of 3",
        "Sat 2026-05-30 12:30",
    ):
        assert words in result.out


def test_report_of_a_month_before_the_history_of_holds_says_that_times_are_unknown(
    world: World, spendgate: Spendgate
) -> None:
    world.set_clock(JUNE)
    brand = world.brand()
    world.spend(world.campaign(brand), UNIT, "2026-05-20T12:00:00Z")
    result = spendgate("report", "--brand", str(brand))
    assert "the history of holds starts after this month" in result.out
    assert "0 h 00 min" not in result.out


def test_report_of_a_restated_month_shows_the_amount_at_its_close(
    world: World, spendgate: Spendgate, brand: int
) -> None:
    spendgate("report", "--all")
    world.spend(1, -UNIT, "2026-05-30T12:00:00Z")
    result = spendgate("report", "--brand", str(brand), "--month", "2026-05")
    assert "version 2" in result.out
    assert "first stored as €6.000001, changed by -€1.00 since" in result.out
    first = spendgate("report", "--brand", str(brand), "--month", "2026-05", "--version", "1", "--format", "json")
    assert first.data["spent_micros"] == 6_000_001


def test_report_of_the_current_month_covers_it_up_to_now_and_is_not_stored(
    world: World, spendgate: Spendgate, brand: int
) -> None:
    result = spendgate("report", "--brand", str(brand), "--month", "2026-06")
    assert "current month, as of Mon 2026-06-01 02:00 EDT" in result.out
    assert "Nothing was spent." in result.out
    assert world.rows("SELECT FROM monthly_reports") == []


def test_report_as_json_and_csv_has_all_rows(world: World, spendgate: Spendgate, brand: int, tmp_path: Path) -> None:
    command = ("report", "--brand", str(brand), "--format")
    assert spendgate(*command, "json").data["spent_micros"] == 6_000_001
    rows = list(csv.DictReader(spendgate(*command, "csv").out.splitlines()))
    assert {row["kind"] for row in rows} == {"spend", "limit", "exhausted", "held", "in_budget"}
    for form in ("csv", "json", "text"):
        written = tmp_path / f"report.{form}"
        assert "2026-05 written to" in spendgate(*command, form, "--output", str(written)).out
    assert (tmp_path / "report.csv").read_bytes().count(b"\r\n") == len(rows) + 1
    assert json.loads((tmp_path / "report.json").read_text())["brand_id"] == brand
    assert "Brand search" in (tmp_path / "report.text").read_text()


def test_report_all_stores_due_reports_and_list_shows_them(world: World, spendgate: Spendgate, brand: int) -> None:
    other = world.brand(name="Too new")
    assert "There are no reports yet" in spendgate("report", "--list").out
    assert "1 reports stored" in spendgate("report", "--all").out
    assert "0 reports stored" in spendgate("report", "--all").out
    assert "2026-05" in spendgate("report", "--list").out
    (row,) = spendgate("report", "--list", "--format", "json").data
    assert (row["month"], row["brand_id"], row["version"], row["spent_micros"]) == ("2026-05-01", brand, 1, 6_000_001)
    assert spendgate("report", "--list", "--brand", str(other), "--format", "json").data == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "brand: name a brand"),
        (("--brand", "Nobody"), "brand: there is no brand 'Nobody'"),
        (("--brand", "99"), "brand: there is no brand 99"),
        (("--brand", "99999999999999999999"), "brand: there is no brand"),
        (("--brand", "1", "--month", "2026-13"), "month: '2026-13' is not a month such as 2026-10"),
        (("--brand", "1", "--month", "0000-01"), "is not a month"),
        (("--brand", "1", "--month", "2026-07"), "month: 2026-07 has not begun"),
        (("--brand", "1", "--month", "2026-04"), "ended before the brand's first data"),
        (("--brand", "1", "--month", "2026-05", "--version", "3"), "version: there is no version 3 of 2026-05"),
        (("--brand", "1", "--format", "csv", "--output", "/nowhere/report.csv"), "output: /nowhere/report.csv"),
    ],
)
def test_report_refuses_bad_options_in_one_line_with_exit_code_2(
    world: World, spendgate: Spendgate, brand: int, arguments: tuple[str, ...], sentence: str
) -> None:
    result = spendgate("report", *arguments)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert sentence in result.err
