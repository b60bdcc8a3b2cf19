"""When accounts are read: intervals by the time left until a limit, and the reads that a quota allows."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.platform_reads import (
    READ_SPANS,
    SHORTEST,
    LimitPace,
    Wait,
    due_reads,
    operations_for_reads,
    retry_interval,
    spend_interval,
    statuses_interval,
    time_left,
)

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MICROS = st.integers(0, 10**15)
TIMES = st.timedeltas(min_value=SECOND, max_value=366 * DAY)
LIMITS = st.builds(LimitPace, MICROS, MICROS, MICROS, st.one_of(st.none(), TIMES), st.one_of(st.none(), TIMES))
WAITS = st.builds(
    Wait,
    account=st.integers(1, 50),
    is_of_spend=st.booleans(),
    waited=st.one_of(st.none(), st.timedeltas(min_value=timedelta(0), max_value=DAY)),
    interval=st.timedeltas(min_value=SHORTEST, max_value=HOUR),
    used_percent=st.integers(0, 120),
)


def test_time_left_follows_the_higher_of_the_two_rates() -> None:
    steady = LimitPace(limit_micros=100, spent_micros=60, added_micros=0, window_passed=12 * HOUR)
    assert time_left([steady], HOUR) == 8 * HOUR
    faster = steady._replace(added_micros=20)
    assert time_left([faster], HOUR) == 2 * HOUR


def test_time_left_is_that_of_the_nearest_limit_that_is_not_reached() -> None:
    far = LimitPace(1_000, 100, 0, 10 * HOUR)
    near = LimitPace(100, 50, 0, 10 * HOUR)
    reached = LimitPace(100, 100, 50, HOUR)
    assert time_left([far, near, reached], HOUR) == 10 * HOUR
    assert time_left([reached], HOUR) is None


def test_window_that_began_after_the_last_read_counts_from_its_beginning() -> None:
    assert time_left([LimitPace(100, 10, 10, HOUR)], 10 * HOUR) == 9 * HOUR


def test_limit_without_spend_is_not_in_sight() -> None:
    assert time_left([LimitPace(100, 0, 0, HOUR), LimitPace(100, -5, -5, HOUR)], HOUR) is None
    assert time_left([LimitPace(100, 50, 0, None)], None) is None


def test_limit_without_new_spend_is_as_far_as_its_release() -> None:
    """Spend that the platform has not reported yet may use up the limit in the time that passed since the release."""
    unseen = LimitPace(100, 0, 0, 9 * HOUR, since_release=10 * MINUTE)
    assert time_left([unseen], HOUR) == 10 * MINUTE
    assert time_left([unseen._replace(spent_micros=60)], HOUR) == 10 * MINUTE
    assert time_left([unseen._replace(spent_micros=1, added_micros=1)], HOUR) == 99 * HOUR
    assert time_left([unseen._replace(since_release=-MINUTE)], HOUR) == timedelta(0)


@given(st.lists(LIMITS, max_size=5), st.one_of(st.none(), TIMES))
def test_more_limits_never_leave_more_time(limits: list[LimitPace], since_read: timedelta | None) -> None:
    left = time_left(limits, since_read)
    for number in range(len(limits)):
        fewer = time_left(limits[:number] + limits[number + 1 :], since_read)
        assert fewer is None or (left is not None and left <= fewer)


def test_interval_runs_from_a_minute_to_an_hour() -> None:
    assert [spend_interval(left, HOUR) for left in (None, DAY, 50 * MINUTE, 2 * MINUTE, timedelta(0), -HOUR)] == [
        *(HOUR, HOUR, 10 * MINUTE),
        *(MINUTE, MINUTE, MINUTE),
    ]
    assert spend_interval(50 * MINUTE, 5 * SECOND) == 5 * SECOND


@given(TIMES, TIMES)
def test_nearer_limit_is_never_read_later(one: timedelta, other: timedelta) -> None:
    nearer, farther = sorted((one, other))
    assert SHORTEST <= spend_interval(nearer, HOUR) <= spend_interval(farther, HOUR) <= HOUR


def test_accounts_with_campaigns_paused_by_us_are_polled_more_often() -> None:
    assert statuses_interval(HOUR, holds_some=True) < statuses_interval(HOUR, holds_some=False)
    assert statuses_interval(5 * SECOND, holds_some=False) == 5 * SECOND


def test_retries_come_later_with_each_failure() -> None:
    assert [retry_interval(failures, HOUR) for failures in (1, 2, 3, 9, 10**9)] == [
        *(30 * SECOND, MINUTE, 2 * MINUTE),
        *(HOUR, HOUR),
    ]


@given(st.integers(1, 10**7), st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_reads_never_touch_the_tenth_that_is_kept_for_pauses(limit: int, used: int, lately: int, hour: int) -> None:
    operations = operations_for_reads(limit, used, dict(zip(READ_SPANS, (lately, hour), strict=True)))
    assert operations >= 0
    assert operations == 0 or used + operations <= limit * 9 // 10


def reads_of(lately: int, hour: int) -> dict[timedelta, int]:
    return {5 * MINUTE: lately, HOUR: hour}


def test_reads_of_five_minutes_and_of_an_hour_use_their_share_of_the_day() -> None:
    assert operations_for_reads(15_000, 0, reads_of(0, 0)) == 38
    assert operations_for_reads(15_000, 0, reads_of(38, 38)) == 0
    assert operations_for_reads(15_000, 5_000, reads_of(0, 450)) == 0
    assert operations_for_reads(15_000, 5_000, reads_of(0, 440)) == 10
    assert operations_for_reads(15_000, 13_490, reads_of(0, 0)) == 10


def test_account_nearest_to_its_limit_is_read_first() -> None:
    near = Wait(1, True, 2 * MINUTE, MINUTE)
    far = Wait(2, True, 90 * MINUTE, HOUR)
    new = Wait(3, True, None, HOUR)
    early = Wait(4, True, MINUTE, HOUR)
    assert due_reads([far, early, near, new], 2) == [new, near]
    assert due_reads([far, early, near, new], None) == [new, near, far]


def test_short_operations_go_to_spend_before_statuses() -> None:
    spend, statuses = Wait(1, True, 2 * HOUR, HOUR), Wait(1, False, 50 * MINUTE, 5 * MINUTE)
    assert due_reads([statuses, spend], 1) == [spend]
    assert due_reads([statuses, spend], None) == [spend, statuses]


def test_platform_that_says_its_quota_is_nearly_used_is_read_less_and_then_not() -> None:
    waits = [Wait(percent, True, HOUR, 30 * MINUTE, percent) for percent in (0, 50, 69, 71, 90, 100)]
    assert [wait.account for wait in due_reads(waits, None)] == [0, 50, 69]
    assert due_reads([Wait(1, True, None, HOUR, 90)], None) == []


@given(st.lists(WAITS, max_size=30), st.integers(0, 20))
def test_reads_are_due_and_no_more_than_allowed(waits: list[Wait], operations: int) -> None:
    due = due_reads(waits, operations)
    assert len(due) <= operations
    assert all(wait.overdue >= 1 for wait in due)
    left_out = [wait for wait in waits if wait not in due and wait.overdue >= 1 and wait.used_percent < 90]
    if left_out:
        assert len(due) == operations
        assert all(wait.urgency >= max(one.urgency for one in left_out) for wait in due)
