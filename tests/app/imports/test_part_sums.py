"""Rows with a campaign and a day that may be sums of others of that day: sums, parts, or asked about."""

from decimal import Decimal
from typing import Any

import pytest

from app.imports.answers import Refused
from app.imports.sums import part_sums
from tests.app.imports.kit import question, read, refusal, units

DEVICES = "Day,Campaign ID,Device,Cost\n"
AD_SETS = "Day,Campaign ID,Ad set name,Cost\n"


def spent(text: str, **options: Any) -> Decimal:
    """The sum of a file in units."""
    return sum(units(read(text, **options)).values(), Decimal())


def rows(*cells: str) -> str:
    """Rows of campaign 7, each «day device cost» for a day of November; «.» is an empty device."""
    told = (cell.split() for cell in cells)
    return "".join(f"2026-11-0{day},7,{'' if part == '.' else part},{cost}\n" for day, part, cost in told)


def asked(text: str) -> dict[str, Decimal]:
    """The sum of each reading of a file that is asked about."""
    found = question(text)
    assert found.about == "rows of sums"
    return {
        str(one.settles["sum_rows"]): Decimal(sum((one.sum_micros or {}).values())) / 10**6 for one in found.readings
    }


def test_row_of_all_devices_is_no_part_of_its_day() -> None:
    reading = read(DEVICES + rows("1 Mobile 5.50", "1 Desktop 2.50", "1 Total 8.00", "2 Mobile 1.50", "2 Total 1.50"))
    assert reading.totals.sum_micros == 9_500_000
    assert reading.warnings == ("2 rows are sums of the others of their day, and are left out",)


@pytest.mark.parametrize(
    "heading", ["Ad set name", "Device", "Anzeigengruppe", "Ensemble de publicités", "広告グループ"]
)
def test_row_without_a_part_that_sums_up_the_others_is_left_out(heading: str) -> None:
    parts = rows("1 . 15.00", "1 X 10.00", "1 Y 5.00", "2 . 3.00", "2 X 1.00", "2 Y 2.00")
    reading = read(f"Day,Campaign ID,{heading},Cost\n{parts}")
    assert reading.totals.sum_micros == 18_000_000
    assert reading.warnings == ("2 rows are sums of the others of their day, and are left out",)


def test_sum_of_rounded_parts_is_a_sum() -> None:
    text = DEVICES + rows("1 Mobile 3.34", "1 Desktop 3.34", "1 Total 6.67", "2 Mobile 1.50", "2 Total 1.50")
    assert spent(text) == Decimal("8.18")


def test_finer_cell_elsewhere_makes_rounded_parts_no_other_figure() -> None:
    text = DEVICES + rows("1 Mobile 3.34", "1 Desktop 3.34", "1 Total 6.67", "2 Mobile 0.333333", "2 Total 0.333333")
    assert spent(text) == Decimal("7.013333")


@pytest.mark.parametrize("alone", ["0.00", "4.00", "-"])
def test_sum_without_parts_is_its_days_total(alone: str) -> None:
    text = DEVICES + rows("1 Mobile 5.50", "1 Desktop 2.50", "1 Total 8.00", f"2 Total {alone}")
    assert spent(text) == 8 + (0 if alone == "-" else Decimal(alone))


def test_sums_of_another_currency_are_not_added_to_the_chosen_one() -> None:
    parts = (
        ("USD", "Mobile 5.50", "Desktop 2.50", "Total 8.00"),
        ("EUR", "Mobile 50.00", "Desktop 1.00", "Total 51.00"),
    )
    text = "Day,Campaign ID,Currency,Device,Cost\n" + "".join(
        f"2026-11-01,{code},{code},{part.replace(' ', ',')}\n" for code, *of_code in parts for part in of_code
    )
    for code, total in (("USD", 8), ("EUR", 51)):
        reading = read(text, currency=code)
        assert (list(reading.totals.campaigns), reading.totals.sum_micros) == ([code], total * 10**6)


def test_too_many_days_with_sums_are_refused_and_not_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_sums, "MAX_MIXED_DAYS", 1)
    text = DEVICES + rows("1 Mobile 5.50", "1 Total 5.50", "2 Mobile 1.50", "2 Total 1.50")
    assert "over 1 campaign-days have rows that may be sums" in refusal(text)
    with pytest.raises(Refused, match="--sum-rows parts"):
        read(text)
    assert spent(text, sum_rows="parts") == 14


def test_column_that_is_empty_in_every_row_bounds_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_sums, "MAX_MIXED_DAYS", 1)
    assert spent(AD_SETS + rows(*(f"{day} . 1.50" for day in range(1, 9)))) == 12


# --- sums over several columns


CUBE = "Day,Campaign ID,Device,Ad group,Cost\n"


def cells(*told: str) -> str:
    """Rows of campaign 7 on one day, each «device group cost»."""
    return "".join(f"2026-11-01,7,{','.join(one.split())}\n" for one in told)


def test_sums_over_each_of_two_columns_and_over_both_are_left_out() -> None:
    parts = ("Mobile A 1.50", "Mobile B 2.50", "Desktop A 3.00")
    sums = ("Mobile Total 4.00", "Desktop Total 3.00", "Total A 4.50", "Total B 2.50", "Total Total 7.00")
    assert spent(CUBE + cells(*parts, *sums)) == 7
    assert spent(CUBE + cells(*sums, *parts)) == 7


def test_rows_without_a_group_are_parts_below_the_sum_of_all() -> None:
    """A campaign without ad groups has a row for each device, and one of all devices."""
    assert spent(CUBE + cells("Mobile -- 5.00", "Desktop -- 3.00")) == 8
    assert spent(CUBE + cells("Mobile -- 5.00", "Desktop -- 3.00", "Total -- 8.00")) == 8
    assert spent(CUBE + cells("Mobile -- 5.00", "Desktop -- 5.00")) == 10


def test_sum_with_its_own_words_in_another_column_is_a_sum() -> None:
    assert spent(CUBE + cells("Mobile A 5.00", "Desktop B 3.00", "Total All-groups 8.00")) == 8


def test_sums_of_each_hour_are_compared_with_the_parts_of_that_hour() -> None:
    text = "Day,Hour,Campaign ID,Device,Cost\n" + "".join(
        f"2026-11-01,{hour},7,{part},{cost}\n"
        for hour in range(24)
        for part, cost in (("Mobile", "1.00"), ("Desktop", "0.50"), ("Total", "1.50"))
    )
    assert spent(text) == 36


# --- asked about


def test_rows_without_a_part_that_exceed_the_others_are_asked_about() -> None:
    text = AD_SETS + rows("1 . 15.00", "1 X 10.00", "2 . 3.00")
    assert asked(text) == {"sums": 18, "parts": 28}
    assert "may be a sum over Ad set name: it has 15.00, and the others of its day come to 10.00" in refusal(text)
    assert [spent(text, sum_rows=choice) for choice in ("sums", "parts")] == [18, 28]


def test_ad_group_called_total_is_asked_about_unless_it_is_less_than_the_others() -> None:
    text = "Day,Campaign ID,Ad group,Cost\n"
    assert asked(text + rows("1 Total 5.50", "1 Other 2.50")) == {"sums": 5.5, "parts": 8}
    less = read(text + rows("1 Total 5.50", "1 Other 2.50", "2 Total 1.00", "2 Other 2.50"))
    assert less.totals.sum_micros == 11_500_000
    assert "it has 1.00, and the others of its day come to 2.50, which is more" in less.warnings[0]


def test_one_sum_that_differs_makes_the_others_no_parts() -> None:
    text = DEVICES + rows(
        "1 Mobile 5.50", "1 Desktop 2.50", "1 Total 8.00", "2 Mobile 1.50", "2 Desktop 1.00", "2 Total 4.00"
    )
    assert asked(text) == {"sums": 12, "parts": 22.5}
    reading = read(text, sum_rows="sums")
    assert reading.warnings == (
        "2 rows are sums of the others of their day, and are left out",
        "1 of these sums differs from the others, the first on line 7, and counts instead of them: 4.00, not 2.50",
    )


def test_part_that_equals_the_only_other_one_is_asked_about() -> None:
    assert asked(AD_SETS + rows("1 . 5.00", "1 X 5.00", "2 . 5.00", "2 X 5.00")) == {"sums": 10, "parts": 20}
    assert spent(AD_SETS + rows("1 . 5.00", "1 X 5.00", "2 . 4.10", "2 X 4.10")) == Decimal("9.1")


def test_total_of_the_file_answers_the_question() -> None:
    text = AD_SETS + rows("1 . 15.00", "1 X 10.00", "2 . 3.00")
    assert spent(f"{text}Total,,,28.00\n") == 28
    assert spent(f"{text}Total,,,18.00\n") == 18


def test_day_with_an_unreadable_part_is_left_out_and_decides_nothing() -> None:
    reading = read(DEVICES + rows("1 Mobile 5.50", "1 Desktop x", "1 Total 8.00", "2 Mobile 1.50", "2 Total 1.50"))
    assert (reading.totals.sum_micros, len(reading.incomplete)) == (1_500_000, 1)


# --- names that stand for ids


def names(*told: str) -> str:
    """A file of names, each row «day name cost»."""
    found = (one.split() for one in told)
    return "Tag;Kampagne;Kosten\n" + "".join(f"2026-11-0{day};{name};{cost}\n" for day, name, cost in found)


EXACT = ("1 A 5,50", "1 B 3,00", "1 Summe 8,50")


def test_name_of_sums_with_one_rounded_day_is_no_campaign() -> None:
    text = names(*EXACT, "2 A 3,34", "2 B 3,34", "2 Summe 6,67")
    assert units(read(text, name_as_id=True)).keys() == {(name, f"2026-11-0{day}") for name in "AB" for day in (1, 2)}


def test_two_names_of_sums_are_both_compared_with_the_campaigns_alone() -> None:
    text = names(*EXACT, "1 Total 8,50")
    assert list(read(text, name_as_id=True).totals.campaigns) == ["A", "B"]


def test_name_of_sums_that_differs_on_one_day_is_asked_about() -> None:
    text = names(*EXACT, "2 A 1,50", "2 Summe 4,00")
    found = question(text, name_as_id=True)
    assert [(one.settles["sum_rows"], one.sum_micros) for one in found.readings] == [
        ("sums", {"": 10_000_000}), ("parts", {"": 22_500_000}),
    ]  # fmt: skip
    assert "Summe may be the sum of the other campaigns: on 2026-11-02 it has 4.00, and they come to 1.50" in str(found)


def test_name_of_sums_that_is_less_than_the_others_is_a_campaign() -> None:
    text = names("1 A 5,50", "1 Summe 3,00", "2 A 1,50", "2 Summe 4,00")
    assert list(read(text, name_as_id=True).totals.campaigns) == ["A", "Summe"]


def test_stated_total_proves_whether_a_name_is_of_sums() -> None:
    text = names("1 A 5,50", "1 Summe 8,00")
    assert list(read(f"{text}Gesamt;;13,50\n", name_as_id=True).totals.campaigns) == ["A", "Summe"]
    assert list(read(f"{text}Gesamt;;5,50\n", name_as_id=True).totals.campaigns) == ["A"]
