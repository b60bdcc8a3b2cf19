"""Pacing: the straight line from a window's start through what is spent now."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.pacing import most_to_spend, pace
from domain.periods import Period, window_of
from tests.domain.facts import spent

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


def test_a_limit_of_0_is_used_up_and_leaves_nothing_after_a_refund() -> None:
    told = pace(-5, 0, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (told.is_exhausted, told.projected_micros, told.runs_out_at) == (True, -5, None)
    assert most_to_spend([spent(-5, limit=0, on="2026-06-17")], date(2026, 6, 17), date(2026, 6, 18)) == 0


def test_the_first_hour_of_a_day_tells_nothing_of_its_end() -> None:
    early = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + timedelta(minutes=59))
    assert (early.projected_micros, early.runs_out_at) == (None, None)
    assert pace(50, None, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + timedelta(hours=1)).projected_micros == 1200


def test_more_refunds_than_spend_head_below_nothing_and_never_run_out() -> None:
    told = pace(-50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2)
    assert (told.projected_micros, told.runs_out_at, told.used_percent) == (-100, None, -63)


def test_what_does_not_serve_heads_nowhere() -> None:
    told = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, serves=False)
    assert (told.is_stopped, told.projected_micros, told.runs_out_at, told.even_micros) == (True, None, None, 40)


def test_a_spent_limit_is_used_up_rather_than_stopped() -> None:
    told = pace(80, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, serves=False)
    assert (told.is_exhausted, told.is_stopped) == (True, False)


def test_another_limit_stops_the_projection_before_this_one_is_reached() -> None:
    told = pace(50, 80, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, most_micros=20)
    assert (told.projected_micros, told.runs_out_at) == (70, None)
    assert pace(50, None, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY / 2, most_micros=20).projected_micros == 70


def test_another_limit_with_room_enough_changes_nothing() -> None:
    noon = MIDNIGHT + DAY / 2
    for limit in (None, 80, 100, 120):
        alone = pace(50, limit, MIDNIGHT, MIDNIGHT + DAY, noon)
        assert pace(50, limit, MIDNIGHT, MIDNIGHT + DAY, noon, most_micros=50) == alone


WEDNESDAY = date(2026, 6, 17)


def test_a_week_lets_its_last_day_spend_what_is_left_of_it() -> None:
    week = spent(90, limit=100, period=Period.WEEKLY, on="2026-06-17")
    assert most_to_spend([week], WEDNESDAY, date(2026, 6, 18)) == 10


def test_a_daily_limit_lets_a_month_spend_it_again_on_each_day_to_come() -> None:
    day = spent(4, limit=10, on="2026-06-17")
    assert most_to_spend([day], WEDNESDAY, date(2026, 7, 1)) == 6 + 13 * 10


def test_the_tightest_limit_counts_and_none_is_no_bound() -> None:
    day, life = spent(4, limit=10, on="2026-06-17"), spent(95, limit=100, period=Period.LIFETIME, on="2026-06-17")
    assert most_to_spend([day, life], WEDNESDAY, date(2026, 7, 1)) == 5
    assert most_to_spend([], WEDNESDAY, date(2026, 7, 1)) is None


def test_a_limit_spent_beyond_leaves_nothing_and_its_next_window_is_whole() -> None:
    day = spent(14, limit=10, on="2026-06-17")
    assert most_to_spend([day], WEDNESDAY, date(2026, 6, 18)) == 0
    assert most_to_spend([day], WEDNESDAY, date(2026, 6, 19)) == 10


@given(st.sampled_from(Period), st.integers(-50, 150), st.integers(0, 100), st.dates(WEDNESDAY), st.integers(1, 400))
def test_the_most_is_what_a_spender_takes_who_fills_every_window_day_by_day(
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
def test_it_holds_together_for_every_amount_and_instant(
    spent: int, limit: int | None, whole: int, passed: int, most: int | None, serves: bool
) -> None:
    ends_at = MIDNIGHT + timedelta(seconds=whole)
    at = MIDNIGHT + timedelta(seconds=min(passed, whole))
    told = pace(spent, limit, MIDNIGHT, ends_at, at, most_micros=most, serves=serves)
    if told.runs_out_at is not None:
        assert at <= told.runs_out_at < ends_at
        assert limit == told.projected_micros
    if told.projected_micros is not None and limit is not None:
        assert told.projected_micros <= max(limit, spent)
    if told.even_micros is not None and limit is not None:
        assert 0 <= told.even_micros <= limit
    if told.projected_micros is not None and most is not None:
        assert told.projected_micros <= spent + most
    if told.is_stopped:
        assert not serves
        assert (told.projected_micros, told.runs_out_at) == (None, None)
