"""Pacing: projections on a straight line from a window's start through its spend now."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.periods import Period, window_of
from domain.reporting.pacing import most_to_spend, pace
from tests.domain.facts import spent

MIDNIGHT = datetime(2026, 6, 17, tzinfo=UTC)
DAY = timedelta(days=1)


def test_spend_after_half_a_day_projects_to_twice_as_much() -> None:
    projected = pace(50, None, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (projected.projected_micros, projected.even_micros, projected.used_percent, projected.runs_out_at) == (
        100,
        None,
        None,
        None,
    )


def test_limit_reached_by_the_pace_runs_out_and_caps_the_projection() -> None:
    projected = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert projected.runs_out_at == MIDNIGHT + timedelta(hours=19, minutes=12)
    assert (projected.projected_micros, projected.even_micros, projected.used_percent) == (80, 40, 62)


def test_limit_reached_exactly_at_the_end_does_not_run_out() -> None:
    projected = pace(50, 100, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (projected.projected_micros, projected.runs_out_at) == (100, None)


def test_exhausted_limit_projects_its_present_spend() -> None:
    for limit in (50, 40, 0):
        projected = pace(50, limit, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
        assert projected.is_exhausted
        assert (projected.projected_micros, projected.runs_out_at) == (50, None)


def test_limit_of_0_has_no_used_percent() -> None:
    assert pace(0, 0, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT).used_percent is None


def test_limit_of_0_is_exhausted_and_leaves_nothing_after_a_refund() -> None:
    projected = pace(-5, 0, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (projected.is_exhausted, projected.projected_micros, projected.runs_out_at) == (True, -5, None)
    assert most_to_spend([spent(-5, limit=0, on="2026-06-17")], date(2026, 6, 17), date(2026, 6, 18)) == 0


def test_no_projection_in_the_first_hour_of_a_day() -> None:
    early = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + timedelta(minutes=59))
    assert (early.projected_micros, early.runs_out_at) == (None, None)
    assert pace(50, None, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + timedelta(hours=1)).projected_micros == 1200


def test_net_refunds_project_below_0_and_never_run_out() -> None:
    projected = pace(-50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (projected.projected_micros, projected.runs_out_at, projected.used_percent) == (-100, None, -63)


def test_no_projection_when_nothing_serves() -> None:
    projected = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, serves=False)
    assert (projected.is_stopped, projected.projected_micros, projected.runs_out_at, projected.even_micros) == (
        True,
        None,
        None,
        40,
    )


def test_exhausted_limit_is_shown_as_exhausted_not_stopped() -> None:
    projected = pace(80, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, serves=False)
    assert (projected.is_exhausted, projected.is_stopped) == (True, False)


def test_other_limit_caps_the_projection_before_this_one_is_reached() -> None:
    projected = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, most_micros=20)
    assert (projected.projected_micros, projected.runs_out_at) == (70, None)
    assert pace(50, None, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, most_micros=20).projected_micros == 70


def test_other_limit_with_enough_left_does_not_change_the_projection() -> None:
    noon = MIDNIGHT + DAY / 2
    for limit in (None, 80, 100, 120):
        alone = pace(50, limit, MIDNIGHT, MIDNIGHT + DAY, noon)
        assert pace(50, limit, MIDNIGHT, MIDNIGHT + DAY, noon, most_micros=50) == alone


WEDNESDAY = date(2026, 6, 17)


def test_weekly_limit_allows_what_is_left_on_its_last_day() -> None:
    week = spent(90, limit=100, period=Period.WEEKLY, on="2026-06-17")
    assert most_to_spend([week], WEDNESDAY, date(2026, 6, 18)) == 10


def test_daily_limit_allows_itself_again_on_each_coming_day_of_the_month() -> None:
    day = spent(4, limit=10, on="2026-06-17")
    assert most_to_spend([day], WEDNESDAY, date(2026, 7, 1)) == 6 + 13 * 10


def test_smallest_allowance_counts_and_no_limit_gives_none() -> None:
    day, life = spent(4, limit=10, on="2026-06-17"), spent(95, limit=100, period=Period.LIFETIME, on="2026-06-17")
    assert most_to_spend([day, life], WEDNESDAY, date(2026, 7, 1)) == 5
    assert most_to_spend([], WEDNESDAY, date(2026, 7, 1)) is None


def test_overspent_limit_leaves_nothing_and_its_next_window_is_whole() -> None:
    day = spent(14, limit=10, on="2026-06-17")
    assert most_to_spend([day], WEDNESDAY, date(2026, 6, 18)) == 0
    assert most_to_spend([day], WEDNESDAY, date(2026, 6, 19)) == 10


@given(st.sampled_from(Period), st.integers(-50, 150), st.integers(0, 100), st.dates(WEDNESDAY), st.integers(1, 400))
def test_most_to_spend_equals_filling_every_window_day_by_day(
    period: Period, already: int, limit: int, today: date, days: int
) -> None:
    today = min(today, date(2190, 1, 1))
    taken: dict[date, int] = {window_of(period, today).first_day: already}
    for ahead in range(days):
        first_day = window_of(period, today + timedelta(days=ahead)).first_day
        taken[first_day] = max(taken.get(first_day, 0), limit)
    budget = spent(already, limit=limit, period=period, on=today.isoformat())
    expected = sum(taken.values()) - already if limit else 0
    assert most_to_spend([budget], today, today + timedelta(days=days)) == expected


AMOUNTS = st.integers(-(10**15), 10**15)
LIMITS = st.none() | st.integers(0, 10**15)


@given(
    AMOUNTS,
    LIMITS,
    st.integers(1, 366 * 86_400),
    st.integers(-10, 366 * 86_400 + 10),
    LIMITS,
    st.sampled_from([True] * 3 + [False]),
)
def test_pace_is_consistent_for_every_amount_and_instant(
    spent: int, limit: int | None, whole: int, passed: int, most: int | None, serves: bool
) -> None:
    ends_at = MIDNIGHT + timedelta(seconds=whole)
    at = MIDNIGHT + timedelta(seconds=min(passed, whole))
    projected = pace(spent, limit, MIDNIGHT, ends_at, at, most_micros=most, serves=serves)
    if projected.runs_out_at is not None:
        assert at <= projected.runs_out_at < ends_at
        assert limit == projected.projected_micros
    if projected.projected_micros is not None and limit is not None:
        assert projected.projected_micros <= max(limit, spent)
    if projected.even_micros is not None and limit is not None:
        assert 0 <= projected.even_micros <= limit
    if projected.projected_micros is not None and most is not None:
        assert projected.projected_micros <= spent + most
    if projected.is_stopped:
        assert not serves
        assert (projected.projected_micros, projected.runs_out_at) == (None, None)
