"""Pacing: the straight line from a window's start through what is spent now."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.pacing import pace

MIDNIGHT = datetime(2026, 6, 17, tzinfo=UTC)
DAY = timedelta(days=1)


def test_half_a_day_spends_half_of_what_the_day_will() -> None:
    told = pace(50, None, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (told.projected_micros, told.even_micros, told.used_percent, told.runs_out_at) == (100, None, None, None)


def test_a_limit_that_the_pace_reaches_runs_out_on_the_way_and_stops_the_projection() -> None:
    told = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert told.runs_out_at == MIDNIGHT + timedelta(hours=19, minutes=12)
    assert (told.projected_micros, told.even_micros, told.used_percent) == (80, 40, 62)


def test_a_limit_that_the_pace_meets_just_at_the_end_holds_out() -> None:
    told = pace(50, 100, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (told.projected_micros, told.runs_out_at) == (100, None)


def test_an_exhausted_limit_projects_what_is_spent() -> None:
    for limit in (50, 40, 0):
        told = pace(50, limit, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
        assert told.is_exhausted
        assert (told.projected_micros, told.runs_out_at) == (50, None)


def test_a_limit_of_nothing_has_no_share() -> None:
    assert pace(0, 0, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT).used_percent is None


def test_the_first_hour_of_a_day_tells_nothing_of_its_end() -> None:
    early = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + timedelta(minutes=59))
    assert (early.projected_micros, early.runs_out_at) == (None, None)
    assert pace(50, None, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + timedelta(hours=1)).projected_micros == 1200


def test_more_refunds_than_spend_head_below_nothing_and_never_run_out() -> None:
    told = pace(-50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (told.projected_micros, told.runs_out_at, told.used_percent) == (-100, None, -63)


AMOUNTS = st.integers(-(10**15), 10**15)
LIMITS = st.none() | st.integers(0, 10**15)


@given(AMOUNTS, LIMITS, st.integers(1, 366 * 86_400), st.integers(-10, 366 * 86_400 + 10))
def test_it_holds_together_for_every_amount_and_instant(spent: int, limit: int | None, whole: int, passed: int) -> None:
    ends_at = MIDNIGHT + timedelta(seconds=whole)
    at = MIDNIGHT + timedelta(seconds=min(passed, whole))
    told = pace(spent, limit, MIDNIGHT, ends_at, at)
    if told.runs_out_at is not None:
        assert at <= told.runs_out_at < ends_at
        assert limit == told.projected_micros
    if told.projected_micros is not None and limit is not None:
        assert told.projected_micros <= max(limit, spent)
    if told.even_micros is not None and limit is not None:
        assert 0 <= told.even_micros <= limit
