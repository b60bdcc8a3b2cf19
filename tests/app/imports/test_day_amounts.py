"""Amounts by day in an array behave as a dict, for any days and integers."""

from datetime import date
from decimal import Decimal
from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.sums import adding
from app.imports.sums.day_amounts import DayAmounts
from tests.app.imports.kit import read, units

DAYS = st.one_of(st.dates(date(2026, 1, 1), date(2026, 3, 1)), st.dates())
AMOUNTS = st.one_of(st.integers(-100, 100), st.integers(-(2**63), 2**63), st.integers())
STEPS = st.lists(st.tuples(st.sampled_from(["add", "set", "pop"]), DAYS, AMOUNTS), max_size=60)


@given(STEPS)
def test_amounts_by_day_behave_as_a_dict(steps: list[tuple[str, date, int]]) -> None:
    ours, reference = DayAmounts(), dict[date, int]()
    for step, day, amount in steps:
        if step == "add":
            ours.add(day, amount)
            reference[day] = reference.get(day, 0) + amount
        elif step == "set":
            ours[day] = reference[day] = amount
        else:
            assert ours.pop(day, None) == reference.pop(day, None)
        assert len(ours) == len(reference)
    assert dict(ours) == reference
    assert sorted(ours.items()) == sorted(reference.items())
    assert (day in ours) == (day in reference) if steps else not ours


def test_days_that_are_centuries_apart_take_little_memory() -> None:
    days = DayAmounts()
    for year in range(1, 9999):
        days[date(year, 1, 1)] = year
    assert len(days) == 9998
    assert getsizeof(days._amounts) < 1_000_000


@given(st.dictionaries(DAYS, AMOUNTS))
def test_amounts_of_a_dict_are_its_amounts(amounts: dict[date, int]) -> None:
    assert dict(DayAmounts(amounts)) == amounts


def test_a_file_of_many_rows_comes_to_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"2026-{1 + n % 9:02}-{1 + n % 28:02}", 7 + n % 5, f"{n % 100}.{n % 10}5") for n in range(500)]
    text = "date,campaign_id,spend\n" + "".join(f"{day},{campaign},{cost}\n" for day, campaign, cost in rows)
    few = units(read(text))
    monkeypatch.setattr(adding, "COMPACT_AFTER", 100)
    assert units(read(text)) == few
    assert sum(few.values()) == sum(Decimal(cost) for *_, cost in rows)
