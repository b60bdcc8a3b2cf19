"""Budgets: spend in a window, and the day on which exhaustion changes by the clock alone."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.budgets import Budget, BudgetSpend, Scope, left_micros
from domain.periods import Period, window_of
from tests.domain.facts import DAY, QUICK, days, spent

SUNDAY = date(2026, 11, 22)
MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(("micros", "exhausted"), [(99, False), (100, True), (101, True)])
def test_is_exhausted_when_spend_reaches_the_limit(micros: int, exhausted: bool) -> None:
    assert spent(micros, limit=100).is_exhausted_on(SUNDAY) is exhausted


def test_a_limit_of_0_is_exhausted_without_any_spend() -> None:
    assert spent(0, limit=0).is_exhausted_on(SUNDAY)


@pytest.mark.parametrize("micros", [-1, -(10**15)])
def test_a_limit_of_0_is_exhausted_after_a_refund(micros: int) -> None:
    assert spent(micros, limit=0).is_exhausted_on(SUNDAY)
    assert spent(micros, limit=0, ahead=micros).next_flip_day(SUNDAY) is None


@pytest.mark.parametrize(
    ("micros", "limit", "left"), [(-5, 0, 0), (0, 0, 0), (7, 0, 0), (-5, 10, 15), (4, 10, 6), (10, 10, 0), (11, 10, 0)]
)
def test_micros_left_include_refunds_and_are_never_negative(micros: int, limit: int, left: int) -> None:
    assert left_micros(micros, limit) == left


def test_a_limit_of_0_never_flips() -> None:
    assert all(spent(0, limit=0, period=period).next_flip_day(SUNDAY) is None for period in Period)


def test_refund_below_the_limit_ends_exhaustion() -> None:
    assert spent(100, limit=100).is_exhausted_on(SUNDAY)
    assert not spent(100 - 1, limit=100).is_exhausted_on(SUNDAY)


def test_negative_spend_does_not_exhaust_a_limit() -> None:
    refunded = spent(-500, limit=1)
    assert not refunded.is_exhausted_on(SUNDAY)
    assert refunded.next_flip_day(SUNDAY) is None


def test_a_new_window_begins_with_nothing_spent() -> None:
    budget = spent(100, limit=100)
    assert budget.spent_on(MONDAY) == 0
    assert budget.next_flip_day(SUNDAY) == MONDAY


def test_days_before_the_window_have_nothing_spent() -> None:
    assert spent(100, limit=100).spent_on(SUNDAY - DAY) == 0


def test_ahead_micros_default_to_0() -> None:
    budget = BudgetSpend(Budget(Scope.BRAND, Period.DAILY, 1), window_of(Period.DAILY, SUNDAY), 1)
    assert budget.spent_on(MONDAY) == 0


def test_spend_ahead_counts_in_the_next_window_only() -> None:
    budget = spent(3, limit=100, ahead=7)
    assert [budget.spent_on(SUNDAY + n * DAY) for n in range(3)] == [3, 7, 0]


def test_spend_ahead_within_the_same_window_is_not_ahead() -> None:
    budget = spent(3, limit=100, period=Period.WEEKLY, on="2026-11-21", ahead=7)
    assert budget.spent_on(SUNDAY) == 3
    assert budget.spent_on(MONDAY) == 7


def test_spend_ahead_flips_when_its_window_begins_and_when_it_ends() -> None:
    budget = spent(0, limit=100, ahead=100)
    assert budget.next_flip_day(SUNDAY) == MONDAY
    assert budget.next_flip_day(MONDAY) == MONDAY + DAY
    assert budget.next_flip_day(MONDAY + DAY) is None


def test_budget_exhausted_now_and_ahead_flips_after_both_windows() -> None:
    assert spent(100, limit=100, ahead=100).next_flip_day(SUNDAY) == MONDAY + DAY


@pytest.mark.parametrize(
    ("period", "flips_on"),
    [
        (Period.DAILY, date(2026, 11, 23)),
        (Period.WEEKLY, date(2026, 11, 23)),
        (Period.MONTHLY, date(2026, 12, 1)),
        (Period.YEARLY, date(2027, 1, 1)),
        (Period.LIFETIME, None),
    ],
)
def test_exhausted_budget_flips_when_its_window_ends(period: Period, flips_on: date | None) -> None:
    assert spent(100, limit=100, period=period).next_flip_day(SUNDAY) == flips_on


def test_a_budget_that_is_not_exhausted_never_flips_by_the_clock() -> None:
    assert all(spent(99, limit=100, period=period).next_flip_day(SUNDAY) is None for period in Period)


@QUICK
@given(
    st.builds(Budget, st.just(Scope.BRAND), st.sampled_from([*Period]), st.integers(0, 3)),
    days,
    st.integers(-2, 4),
    st.integers(-2, 4),
)
def test_flip_day_is_the_first_day_with_another_exhaustion(budget: Budget, day: date, now: int, ahead: int) -> None:
    spend = BudgetSpend(budget, window_of(budget.period, day), now, ahead)
    before = spend.is_exhausted_on(day)
    later = (day + n * DAY for n in range(1, 2 * 366 + 1))
    assert spend.next_flip_day(day) == next((on for on in later if spend.is_exhausted_on(on) != before), None)
