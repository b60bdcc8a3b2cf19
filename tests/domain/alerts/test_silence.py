"""A silence is odd only against the campaign's own history."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.alerts.silence import (
    LONGER_BY,
    MIN_SILENCES,
    MIN_SILENT_HOURS,
    full_hours,
    hour_of,
    hour_starts_at,
    is_odd,
    silent_hours,
)
from tests.domain.facts import QUICK
from tests.world import moment

ALWAYS = list(range(100))


def is_odd_at(hours: list[int], until: int) -> bool:
    return is_odd(silent_hours(hours, until))


def test_campaign_that_spends_every_hour_is_told_after_three_whole_silent_hours() -> None:
    assert not is_odd_at(ALWAYS, 102)
    assert is_odd_at(ALWAYS, 103)


def test_campaign_that_sleeps_at_night_is_not_told_at_night() -> None:
    by_day = [hour for hour in range(24 * 6) if 8 <= hour % 24 < 20]
    assert not is_odd_at(by_day, 24 * 6 + 8)
    assert is_odd_at(by_day, 24 * 6 + 15)


def test_campaign_with_little_history_is_never_told() -> None:
    assert not is_odd_at(list(range(MIN_SILENCES)), 1_000)
    assert is_odd_at(list(range(MIN_SILENCES + 1)), 1_000)


def test_hours_in_which_the_campaign_was_stopped_do_not_count() -> None:
    stopped = range(100, 110)
    assert silent_hours(ALWAYS, 112, lambda hour: hour not in stopped)[-1] == 2


def test_full_hours_lie_wholly_within_a_span_and_are_over() -> None:
    at = moment("2026-06-17T12:30")
    noon = hour_of(moment("2026-06-17T12:00"))
    spans = [(at - timedelta(hours=5), at - timedelta(hours=2)), (moment("2026-06-17T11:00"), None)]
    assert full_hours(spans, at) == {noon - 4, noon - 3, noon - 1}
    assert hour_starts_at(noon) == moment("2026-06-17T12:00")


@QUICK
@given(st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted), st.integers(201, 400))
def test_odd_silences_are_longer_than_all_earlier_ones_and_stay_odd(hours: list[int], until: int) -> None:
    lengths = silent_hours(hours, until)
    assert sum(lengths) + len(hours) == until - hours[0]
    if is_odd(lengths):
        assert lengths[-1] >= MIN_SILENT_HOURS
        assert lengths[-1] > LONGER_BY * max(lengths[:-1])
        assert is_odd(silent_hours(hours, until + 1))
