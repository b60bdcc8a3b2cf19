"""Several exports in one file, and rows that sum up the parts of a campaign's day."""

import pytest

from tests.app.imports.kit import expected, read, refusal, units

HEADINGS = "Day,Campaign ID,Campaign,Cost\n"
FIRST = "2026-11-01,21480211001,A,10.50\n2026-11-02,21480211001,A,3.25\n"
LATER = "2026-11-02,21480211001,A,5.25\n2026-11-03,21480211001,A,4.25\n"


def test_a_day_that_two_pasted_exports_have_is_refused() -> None:
    told = refusal(HEADINGS + FIRST + HEADINGS + LATER)
    assert "campaign 21480211001 on 2026-11-02 is below two of them, on lines 3 and 5" in told
    assert "--keep-duplicates" in told
    kept = read(HEADINGS + FIRST + HEADINGS + LATER, keep_duplicates=True)
    assert units(kept)["21480211001", "2026-11-02"] == expected({("a", "b"): "8.50"})["a", "b"]


def test_pasted_exports_of_different_days_are_one_file() -> None:
    reading = read(HEADINGS + FIRST + HEADINGS + "2026-11-03,21480211001,A,4.25\n")
    assert sum(units(reading).values()) == 18
    assert reading.warnings == ("the headings are there 2 times: the file is several exports",)


def test_days_that_the_first_of_two_pasted_reports_names_are_not_those_of_the_file() -> None:
    ranges = ("November 1, 2026 - November 2, 2026", "November 3, 2026 - November 3, 2026")
    later = "2026-11-03,21480211001,A,4.25\n"
    first, second = (f'Campaign report\n"{days}"\n{HEADINGS}' for days in ranges)
    reading = read(f"{first}{FIRST}{second}{later}", None)
    assert sum(units(reading).values()) == 18
    assert reading.warnings == ("the headings are there 2 times: the file is several exports",)
    assert (reading.stated_days, reading.is_complete) == (None, False)


@pytest.mark.parametrize(
    ("one", "other"), [("Currency: USD", "Currency: EUR"), ("Time zone: UTC", "Time zone: Asia/Tokyo")]
)
def test_pasted_reports_of_two_currencies_or_zones_are_refused(one: str, other: str) -> None:
    later = "2026-11-03,21480211001,A,4.25\n"
    told = refusal(f"Campaign report\n{one}\n{HEADINGS}{FIRST}Campaign report\n{other}\n{HEADINGS}{later}", None)
    assert f"has the {other.partition(':')[0].lower()} {other.rpartition(': ')[2]}" in told


def test_yen_of_yahoo_japan_have_no_decimals() -> None:
    rows = '2026/11/1,123456,A,"1,100"\n2026/11/2,123456,A,"12,345"\n'
    reading = read("日,キャンペーンID,キャンペーン名,コスト\n" + rows, "yahoo_japan")
    assert sum(units(reading).values()) == 13_445
