"""The arithmetic of monthly reports: seconds by hold, windows, limits in force, and causes of overspend."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.periods import Period, Window, day_starts_at, windows_between
from domain.reporting.history import Stretch, stretches
from domain.reporting.monthly import (
    Limit,
    LimitChange,
    LimitWindow,
    MonthFacts,
    ServingTimes,
    Span,
    SpentBefore,
    days_exhausted,
    differences,
    exhausted_in,
    limit_before,
    limit_windows,
    merge_spans,
    month_named,
    seconds_of,
    spans_with,
    times_of,
)
from domain.reporting.overspend import (
    CAUSE_WORDS,
    Crossing,
    LateSpend,
    Overspend,
    OverspendCause,
    explain_overspend,
    held_at,
    was_lowered,
)
from domain.zones import time_zone

START = datetime(2026, 5, 1, tzinfo=UTC)
MAY = Window(date(2026, 5, 1), date(2026, 6, 1))
BRAND_DAILY, CAMPAIGN_DAILY, PAUSED = "brand_daily_budget", "campaign_daily_budget", "user_paused"
HOUR = 3_600


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def span(starts: float, ends: float) -> Span:
    return Span(at(starts), at(ends))


# Seconds


def test_second_counts_for_each_hold_and_as_served_without_holds() -> None:
    changes = [(at(0), ()), (at(2), (PAUSED,)), (at(3), (PAUSED, BRAND_DAILY)), (at(5), (BRAND_DAILY,))]
    times = times_of(stretches(changes, at(0), at(9)))
    assert times == ServingTimes(2 * HOUR, 4 * HOUR, {PAUSED: 3 * HOUR, BRAND_DAILY: 6 * HOUR})


def test_in_budget_permille_ignores_time_with_other_holds_and_rounds_down() -> None:
    assert ServingTimes(2, 1, {}).in_budget_permille == 666
    assert ServingTimes(0, 5, {}).in_budget_permille == 0
    assert ServingTimes(5, 0, {PAUSED: 99}).in_budget_permille == 1000
    assert ServingTimes(999_999, 1, {}).in_budget_permille == 999


def test_in_budget_permille_is_none_when_only_other_holds_applied() -> None:
    assert ServingTimes(0, 0, {PAUSED: 99}).in_budget_permille is None


def test_time_with_two_budget_holds_counts_as_held_by_budgets() -> None:
    both = stretches([(at(0), (BRAND_DAILY, CAMPAIGN_DAILY))], at(0), at(1))
    assert times_of(both).held_by_budgets_seconds == HOUR


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Asia/Kathmandu", date(2026, 5, 1), 24),
        ("Pacific/Apia", date(2011, 12, 30), 0),
    ],
)
def test_day_with_a_clock_change_has_its_elapsed_seconds(zone: str, day: date, hours: float) -> None:
    rules = time_zone(zone)
    whole = Span(day_starts_at(day, rules), day_starts_at(day + timedelta(days=1), rules))
    assert seconds_of(whole) == hours * HOUR


MICROSECONDS = st.integers(0, 3_000_000_000)
HOLDS = st.sets(st.sampled_from([PAUSED, BRAND_DAILY, CAMPAIGN_DAILY, "outside_schedule"])).map(
    lambda holds: tuple(sorted(holds))
)


@given(st.lists(st.tuples(MICROSECONDS, HOLDS)), MICROSECONDS)
def test_each_sum_of_seconds_is_exact_and_rounded_once(changes: list[tuple[int, tuple[str, ...]]], length: int) -> None:
    moments = [(START, ()), *((START + timedelta(microseconds=place), holds) for place, holds in sorted(changes))]
    parts = list(stretches(moments, START, START + timedelta(microseconds=length)))
    times = times_of(parts)

    def is_exact(seconds: int, of: list[Stretch]) -> bool:
        exact = sum((part.ends_at - part.starts_at for part in of), timedelta())
        return abs(timedelta(seconds=seconds) - exact) <= timedelta(seconds=0.5)

    assert is_exact(times.served_seconds, [part for part in parts if not part.holds])
    budgets_alone = [part for part in parts if part.holds and {BRAND_DAILY, CAMPAIGN_DAILY} >= set(part.holds)]
    assert is_exact(times.held_by_budgets_seconds, budgets_alone)
    assert times.held_seconds.keys() == {hold for part in parts for hold in part.holds}
    for hold, seconds in times.held_seconds.items():
        assert is_exact(seconds, [part for part in parts if hold in part.holds])


def test_hold_in_every_other_minute_counts_exactly_half_the_time() -> None:
    minute, early = timedelta(minutes=1), timedelta(microseconds=20)
    changes = [
        (START + place * minute - (place % 2) * early, (PAUSED,) if place % 2 else ()) for place in range(32 * 60)
    ]
    times = times_of(stretches(changes, START, START + 32 * 60 * minute))
    assert (times.served_seconds, times.held_seconds) == (16 * HOUR, {PAUSED: 16 * HOUR})


Hours = list[tuple[int, int]]
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)))


@given(SPANS, st.randoms())
def test_merged_spans_cover_the_same_hours_once_in_any_order(hours: Hours, random: object) -> None:
    spans = [span(start, start + length) for start, length in hours]
    shuffled = list(spans)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    union = merge_spans(shuffled)
    assert union == merge_spans(spans)
    covered = {hour for start, length in hours for hour in range(start, start + length)}
    assert sum(seconds_of(part) for part in union) == len(covered) * HOUR
    assert all(earlier.ends_at < later.starts_at for earlier, later in itertools.pairwise(union))


def test_brand_span_covers_the_hold_on_any_of_its_campaigns() -> None:
    one = stretches([(at(0), ()), (at(1), (BRAND_DAILY,)), (at(3), ())], at(0), at(9))
    two = stretches([(at(2), (BRAND_DAILY, PAUSED)), (at(4), (PAUSED,)), (at(8), (BRAND_DAILY,))], at(0), at(9))
    assert spans_with(BRAND_DAILY, [*one, *two]) == [span(1, 4), span(8, 9)]


# Windows and limits


def test_windows_between_contain_a_day_of_the_month() -> None:
    weeks = windows_between(Period.WEEKLY, date(2026, 5, 1), date(2026, 6, 1))
    assert [week.first_day.isoformat() for week in weeks] == [
        "2026-04-27",
        "2026-05-04",
        "2026-05-11",
        "2026-05-18",
        "2026-05-25",
    ]
    assert windows_between(Period.MONTHLY, date(2026, 5, 1), date(2026, 6, 1)) == [MAY]
    assert len(windows_between(Period.DAILY, date(2028, 2, 1), date(2028, 3, 1))) == 29
    assert len(windows_between(Period.YEARLY, date(2026, 12, 1), date(2027, 1, 1))) == 1
    assert len(windows_between(Period.LIFETIME, date(2026, 5, 1), date(2026, 6, 1))) == 1


@given(st.sampled_from(list(Period)), st.dates(date(1990, 1, 1), date(2190, 1, 1)), st.integers(1, 40))
def test_each_day_is_in_exactly_one_window(period: Period, first_day: date, days: int) -> None:
    windows = windows_between(period, first_day, first_day + timedelta(days=days))
    for place in range(days):
        assert sum(first_day + timedelta(days=place) in window for window in windows) == 1
    assert first_day in windows[0]
    assert first_day + timedelta(days=days - 1) in windows[-1]


def changes(*values: tuple[float, int | None]) -> tuple[LimitChange, ...]:
    return tuple(LimitChange(number, at(hours), limit) for number, (hours, limit) in enumerate(values))


def test_the_limit_is_the_last_one_set_before_the_instant() -> None:
    history = changes((1, 10), (3, 20), (3, 30))
    assert limit_before(history, at(1)) is None
    assert limit_before(history, at(2)) == Limit(10, at(1))
    assert limit_before(history, at(3)) == Limit(10, at(1))
    assert limit_before(history, at(9)) == Limit(30, at(3))


def test_a_budget_that_was_removed_has_no_limit_until_it_is_set_again() -> None:
    history = changes((1, 10), (3, None), (5, 0))
    assert limit_before(history, at(4)) is None
    assert limit_before(history, at(6)) == Limit(0, at(5))


@given(st.permutations(range(5)))
def test_the_order_in_which_a_history_is_read_does_not_matter(order: Sequence[int]) -> None:
    history = changes((1, 10), (2, None), (3, 30), (3, 40), (6, 50))
    shuffled = [history[place] for place in order]
    assert [limit_before(shuffled, at(hours)) for hours in range(8)] == [
        limit_before(history, at(hours)) for hours in range(8)
    ]


@pytest.mark.parametrize(
    ("held", "starts_exhausted", "ends_exhausted", "found"),
    [
        (span(26, 30), False, False, [span(26, 30)]),
        (span(20, 24), False, True, []),
        (span(20, 24.01), False, False, []),
        (span(20, 24.01), False, True, []),
        (span(20, 30), True, False, [span(24, 30)]),
        (span(20, 60), False, False, []),
        (span(20, 60), False, True, [span(24, 48)]),
        (span(24, 25), False, False, [span(24, 25)]),
        (span(47, 60), False, True, [span(47, 48)]),
        (span(48, 60), False, True, []),
    ],
)
def test_hold_carried_over_from_the_previous_window_does_not_count(
    held: Span, starts_exhausted: bool, ends_exhausted: bool, found: list[Span]
) -> None:
    spans = exhausted_in(span(24, 48), [held], starts_exhausted=starts_exhausted, ends_exhausted=ends_exhausted)
    assert spans == found


def facts(
    days: Mapping[date, int], limits: tuple[LimitChange, ...], *, period: Period, zone: str = "UTC"
) -> MonthFacts:
    rules = time_zone(zone)
    return MonthFacts(
        zone=rules,
        month=MAY,
        span=Span(day_starts_at(MAY.first_day, rules), day_starts_at(date(2026, 6, 1), rules)),
        days_from=date(2026, 4, 27),
        names={7: "Brand search"},
        days={7: days},
        carried={7: SpentBefore(year_micros=100, lifetime_micros=1000)},
        limits={(7, period): limits},
        holds={7: [(START, ()), (at(11), (CAMPAIGN_DAILY,)), (at(24), ())]},
    )


def test_window_spend_sums_its_days_and_earlier_spend() -> None:
    days = {date(2026, 4, 28): 1, date(2026, 5, 3): 2, date(2026, 5, 4): 4}
    spent = {}
    for period in Period:
        month = facts(days, changes((0, 50)), period=period)
        spent[period] = [entry.spent_micros for entry in limit_windows(month, [7]) if entry.spent_micros]
    assert spent == {
        Period.DAILY: [2, 4],
        Period.WEEKLY: [3, 4],
        Period.MONTHLY: [6],
        Period.YEARLY: [107],
        Period.LIFETIME: [1007],
    }


def test_days_exhausted_give_local_times() -> None:
    month = facts({date(2026, 5, 1): 50}, changes((0, 50)), period=Period.DAILY, zone="Asia/Kathmandu")
    assert days_exhausted(limit_windows(month, [7]), month.zone) == {7: {"2026-05-01": "16:45"}}


def test_differences_list_changed_keys_only() -> None:
    assert differences({"a": 1, "b": 2, "d": 0}, {"a": 1, "c": 3}) == {"b": 2, "c": -3}


@given(st.dictionaries(st.text(), st.integers()), st.dictionaries(st.text(), st.integers()))
def test_adding_differences_to_then_gives_now(now: dict[str, int], then: dict[str, int]) -> None:
    changed = differences(now, then)
    assert all(now.get(key, 0) == then.get(key, 0) + changed.get(key, 0) for key in {*now, *then})


@pytest.mark.parametrize("text", ["", "2026", "2026-5", "2026-13", "0000-01", "2026-05-01", "２０２６-05", "soon"])
def test_month_in_another_form_is_refused(text: str) -> None:
    assert month_named("2026-05") == date(2026, 5, 1)
    with pytest.raises(InvalidValue, match="is not a month such as 2026-10"):
        month_named(text)


# Causes of overspend


def window(
    *exhausted: Span, spent: int = 15, limit: int = 10, history: tuple[LimitChange, ...] = changes((-9, 10))
) -> LimitWindow:
    return LimitWindow(
        campaign_id=None,
        period=Period.DAILY,
        window=Window(date(2026, 5, 1), date(2026, 5, 2)),
        span=span(0, 24),
        complete=True,
        limit_micros=limit,
        spent_micros=spent,
        history=history,
        exhausted=exhausted,
    )


def test_late_spend_delay_runs_until_the_hold() -> None:
    explanation = explain_overspend(window(span(12, 24)), Crossing(at(10), 1), LateSpend(3))
    assert explanation == Overspend(at(10), at(12), 2 * HOUR, 3, OverspendCause.LATE_SPEND)


def test_late_spend_delay_without_hold_runs_until_receipt() -> None:
    explanation = explain_overspend(window(), Crossing(at(10), 9), LateSpend(15, known_at=at(34)))
    assert explanation == Overspend(at(10), None, 24 * HOUR, None, OverspendCause.LATE_SPEND)


def test_overspend_by_one_large_event_is_caused_by_the_last_event() -> None:
    assert explain_overspend(window(span(12, 24)), Crossing(at(10), 5), LateSpend(0)).cause is OverspendCause.LAST_EVENT
    assert explain_overspend(window(span(12, 24)), Crossing(at(10), 4), LateSpend(0)).cause is OverspendCause.LATE_SPEND


def test_events_received_with_the_crossing_one_count_as_last_event() -> None:
    assert explain_overspend(window(span(10, 24)), Crossing(at(10), 1), LateSpend(0)).cause is OverspendCause.LAST_EVENT
    assert explain_overspend(window(span(10, 24)), Crossing(at(10), 1), LateSpend(4)).cause is OverspendCause.LATE_SPEND


def test_hold_before_the_crossing_gives_no_negative_delay() -> None:
    assert explain_overspend(window(span(9, 24)), Crossing(at(10), 1), LateSpend(4)).delay_seconds == 0


def test_limit_that_was_higher_at_the_crossing_counts_as_lowered() -> None:
    lowered = window(span(3, 5), span(14, 24), history=changes((-9, 8), (5, 100), (14, 10)))
    assert was_lowered(lowered, at(13))
    explanation = explain_overspend(lowered, Crossing(at(13), 1), LateSpend(2))
    assert explanation == Overspend(at(13), at(14), 0, 2, OverspendCause.LIMIT_LOWERED)
    assert held_at(lowered, at(2)) == at(3)


def test_limit_first_set_after_the_crossing_counts_as_lowered() -> None:
    assert (
        explain_overspend(
            window(span(14, 24), history=changes((14, 10))), Crossing(at(10), 1), LateSpend(0)
        ).delay_seconds
        == 0
    )


def test_limit_that_was_lower_at_the_crossing_is_not_the_cause() -> None:
    raised = window(span(9, 24), history=changes((-9, 5), (14, 10)))
    assert not was_lowered(raised, at(10))


def test_confirmation_delay_is_given_apart_from_the_cause_of_the_rest() -> None:
    explanation = explain_overspend(window(span(10, 24)), Crossing(at(10), 2), LateSpend(3), 3)
    assert explanation == Overspend(at(10), at(10), 0, 3, OverspendCause.LAST_EVENT, 3)
    assert explain_overspend(window(span(12, 24)), Crossing(at(10), 1), LateSpend(3), 1).cause is (
        OverspendCause.LATE_SPEND
    )


def test_confirmation_delay_is_the_cause_when_it_explains_the_whole_overspend() -> None:
    explanation = explain_overspend(window(span(10, 24)), Crossing(at(10), 0), LateSpend(7), 7)
    assert (explanation.cause, explanation.confirmation_delay_micros) == (OverspendCause.CONFIRMATION_DELAY, 5)


def test_credit_during_the_confirmation_delay_counts_as_none() -> None:
    explanation = explain_overspend(window(span(12, 24)), Crossing(at(10), 5), LateSpend(0), -2)
    assert (explanation.cause, explanation.confirmation_delay_micros) == (OverspendCause.LAST_EVENT, 0)


def test_held_at_is_the_hold_in_force_at_the_crossing_or_the_next() -> None:
    entry = window(span(2, 4), span(12, 24))
    assert [held_at(entry, at(hours)) for hours in (1, 3, 4, 23)] == [at(2), at(2), at(12), at(12)]
    assert held_at(entry, None) == at(2)
    assert held_at(window(), at(3)) is None


def test_cause_is_none_when_the_ledger_was_dropped() -> None:
    assert explain_overspend(window(span(12, 24)), Crossing(None), LateSpend()) == Overspend(
        None, at(12), None, None, None
    )


def test_every_overspend_cause_has_words() -> None:
    assert set(CAUSE_WORDS) == set(OverspendCause)
