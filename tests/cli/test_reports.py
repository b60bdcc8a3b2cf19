"""A brand's month from a shell: for a person, a program and a spreadsheet."""

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


def test_a_person_reads_the_month_with_what_it_held(world: World, spendgate: Spendgate, brand: int) -> None:
    told = spendgate("report", "--brand", "[bold]Hudson[/bold]")
    assert told.code == 0, told
    for words in (
        "[bold]Hudson[/bold] 2026-05",
        "America/New_York; version 1",
        "spent €6.000001",
        "1 of 3 budget windows overspent",
        "Sat 2026-05-30",
        "12:30",
        "Brand search",
        "the brand's daily budget is spent",
        "the last spend was larger than what was left",
        "120.0 %",
        "Limits in force",
        "1 of 3",
        "Sat 2026-05-30 12:30",
    ):
        assert words in told.out


def test_a_month_before_all_history_says_that_its_times_are_not_known(world: World, spendgate: Spendgate) -> None:
    world.set_clock(JUNE)
    brand = world.brand()
    world.spend(world.campaign(brand), UNIT, "2026-05-20T12:00:00Z")
    told = spendgate("report", "--brand", str(brand))
    assert "no history of holds reaches so far back" in told.out
    assert "0 h 00 min" not in told.out


def test_a_restated_month_says_what_it_was_closed_at(world: World, spendgate: Spendgate, brand: int) -> None:
    spendgate("report", "--all")
    world.spend(1, -UNIT, "2026-05-30T12:00:00Z")
    told = spendgate("report", "--brand", str(brand), "--month", "2026-05")
    assert "version 2" in told.out
    assert "closed at €6.000001, restated by -€1.00 since" in told.out
    first = spendgate("report", "--brand", str(brand), "--month", "2026-05", "--version", "1", "--format", "json")
    assert first.data["spent_micros"] == 6_000_001


def test_the_running_month_is_told_as_of_now_and_not_stored(world: World, spendgate: Spendgate, brand: int) -> None:
    told = spendgate("report", "--brand", str(brand), "--month", "2026-06")
    assert "not over; as of Mon 2026-06-01 02:00 EDT" in told.out
    assert "Nothing was spent." in told.out
    assert world.rows("SELECT FROM monthly_reports") == []


def test_programs_and_spreadsheets_get_the_whole_report(
    world: World, spendgate: Spendgate, brand: int, tmp_path: Path
) -> None:
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


def test_what_is_due_is_stored_for_every_brand_and_listed(world: World, spendgate: Spendgate, brand: int) -> None:
    other = world.brand(name="Too new")
    assert "No reports yet" in spendgate("report", "--list").out
    assert "1 reports stored" in spendgate("report", "--all").out
    assert "0 reports stored" in spendgate("report", "--all").out
    assert "2026-05" in spendgate("report", "--list").out
    (row,) = spendgate("report", "--list", "--format", "json").data
    assert (row["month"], row["brand_id"], row["version"], row["spent_micros"]) == ("2026-05-01", brand, 1, 6_000_001)
    assert spendgate("report", "--list", "--brand", str(other), "--format", "json").data == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "brand: say whose report"),
        (("--brand", "Nobody"), "brand: there is no brand 'Nobody'"),
        (("--brand", "99"), "brand: there is no brand 99"),
        (("--brand", "99999999999999999999"), "brand: there is no brand"),
        (("--brand", "1", "--month", "2026-13"), "month: '2026-13' is not a month such as 2026-10"),
        (("--brand", "1", "--month", "0000-01"), "is not a month"),
        (("--brand", "1", "--month", "2026-07"), "month: 2026-07 has not begun"),
        (("--brand", "1", "--month", "2026-04"), "was over before the brand had anything"),
        (("--brand", "1", "--month", "2026-05", "--version", "3"), "version: there is no version 3 of 2026-05"),
        (("--brand", "1", "--format", "csv", "--output", "/nowhere/report.csv"), "output: /nowhere/report.csv"),
    ],
)
def test_what_cannot_be_reported_is_one_line_and_exit_code_2(
    world: World, spendgate: Spendgate, brand: int, arguments: tuple[str, ...], sentence: str
) -> None:
    told = spendgate("report", *arguments)
    assert told.code == 2
    assert told.err.count("\n") == 1
    assert sentence in told.err
