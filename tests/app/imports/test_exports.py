"""The 38 files in the platforms' real layouts: each comes to its expected totals, or is refused or asked about."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.imports.answers import Question, Reading, ReadOptions, Refused
from app.imports.reading import read_file
from tests.app.imports.kit import MODIFIED_AT, units

FOLDER = Path(__file__).parent / "exports"
EXPECTED: list[dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
EXACT = [one for one in EXPECTED if one["must"].startswith("exact") and one["file"] != "v08_unclosed_quote.csv"]
REFUSED = [one for one in EXPECTED if one["must"] == "refuse"]

NAMELESS = {"r01_reddit_ui.csv", "v01_decimal_comma_three_decimals.csv", "v07_latin1_names_as_ids.csv"}
"""Files in which nothing says which platform they are of."""


def read(file: str, **options: Any) -> Reading:
    return read_file(FOLDER / file, file, ReadOptions(**options), MODIFIED_AT)


def by_file(one: dict[str, Any]) -> str:
    return str(one["file"])


def needs_names(one: dict[str, Any]) -> bool:
    return "--name-as-id" in one["must"]


def totals(one: dict[str, Any]) -> dict[tuple[str, str], Decimal]:
    return {(campaign, day): Decimal(amount) for campaign, day, amount in one["totals_units"]}


@pytest.mark.parametrize("one", EXACT, ids=by_file)
def test_a_file_comes_to_its_totals(one: dict[str, Any]) -> None:
    reading = read(one["file"], platform=one["platform"], name_as_id=needs_names(one))
    assert units(reading) == totals(one)
    assert (reading.bad_rows, reading.warnings) == ((), ())


@pytest.mark.parametrize("one", [one for one in EXACT if one["file"] not in NAMELESS], ids=by_file)
def test_the_platform_is_found_from_the_file(one: dict[str, Any]) -> None:
    if one["file"] == "bl01_blended_sheet.csv":
        with pytest.raises(Question, match="spend of Google Ads and Meta and Microsoft"):
            read(one["file"])
        return
    reading = read(one["file"], name_as_id=needs_names(one))
    assert reading.platform == one["platform"]
    assert units(reading) == totals(one)


@pytest.mark.parametrize("one", [one for one in EXACT if needs_names(one)], ids=by_file)
def test_a_file_without_ids_is_asked_about_with_the_sum(one: dict[str, Any]) -> None:
    with pytest.raises(Question, match="no column of campaign ids") as asked:
        read(one["file"], platform=one["platform"])
    choice = asked.value.readings[0]
    assert (choice.flags, sum((choice.sum_micros or {}).values())) == (
        "--name-as-id", int(sum(totals(one).values()) * 10**6),
    )  # fmt: skip


@pytest.mark.parametrize("one", REFUSED, ids=by_file)
def test_a_file_that_gives_no_total_is_refused(one: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        read(one["file"], platform=one["platform"])


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("f02_meta_ui_whole_range.csv", "line 2 covers 2026-11-01 to 2026-11-28.*Breakdown → By time → Day"),
        ("f07_meta_ui_excel_ids_de.csv", r"campaign 1,2021E\+17 is a number that a spreadsheet has rounded"),
        ("v02_unquoted_decimal_comma.csv", "line 2 has 4 cells and there are 3 headings: '34' has none"),
        ("v03_year_month.csv", "line 2 has '202611', a month"),
        ("v04_range_in_a_cell.csv", "line 2 has '2026-11-01 - 2026-11-07', a range of days"),
        ("v08_unclosed_quote.csv", "line 2 opens a quote that is never closed"),
        (
            "v09_two_exports_overlap.csv",
            "2 identical rows: campaign 800010 on 2026-11-28 is there twice, on lines 3 and 4",
        ),
    ],
)
def test_a_refusal_says_where_and_what(file: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read(file, platform="meta_ads")


def test_identical_rows_are_kept_and_told_when_a_person_says_so() -> None:
    reading = read("v09_two_exports_overlap.csv", platform="meta_ads", keep_duplicates=True)
    assert (reading.totals.sum_micros, reading.identical_rows) == (32_000_000, 2)
    assert reading.warnings == ("2 identical rows, all of them counted",)


def test_a_file_of_headings_alone_is_warned_of() -> None:
    reading = read("v06_header_only.csv", platform="meta_ads")
    assert (len(reading.totals), reading.warnings) == (0, ("the file has headings and no rows",))


@pytest.mark.parametrize(("file", "hour"), [("v05a_hour_10.csv", "10:00"), ("v05b_hour_11.csv", "11:00")])
def test_a_file_of_one_hour_is_warned_of(file: str, hour: str) -> None:
    assert f"the hour {hour}" in read(file, platform="tiktok_ads").warnings[0]


def test_a_sign_says_the_currency() -> None:
    assert read("v10_currency_symbol_against_brand.csv", platform="meta_ads").currency == "EUR"


def test_the_lines_around_a_table_are_read() -> None:
    apple = read("ap01_apple_ui.csv")
    assert (apple.time_zone, apple.currency, apple.is_complete) == ("America/Los_Angeles", "USD", True)
    microsoft = read("m01_microsoft_api.csv")
    assert str(microsoft.as_of) == "2026-11-02 22:15:00+00:00"
    assert (microsoft.is_complete, str(microsoft.first_day)) == (False, "2026-11-01")
    cm360 = read("c01_cm360.csv")
    assert str(cm360.as_of) == "2026-11-03 09:00:00+00:00"
    assert tuple(map(str, cm360.stated_days or ())) == ("2026-11-01", "2026-11-02")
    linkedin = read("l01_linkedin_ui.csv")
    assert (linkedin.time_zone, str(linkedin.as_of)) == ("UTC", "2026-11-14 09:00:00+00:00")


def test_totals_rows_are_counted_and_compared() -> None:
    assert read("g01_google_ui_daily_en.csv").totals_phrase == "3 totals rows, they agree with the sum"
    assert read("t01_tiktok_ui.csv").totals_rows[0].label == "Total of 2 results"
