"""Thresholds of budgets: the highest alone, once a window, and a point of hysteresis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.alerts.kinds import AlertKind, Ending
from domain.alerts.states import Changes, Condition, KnownAlert
from domain.alerts.thresholds import checked_thresholds, overspend_percent, threshold_changes
from domain.errors import InvalidValue
from tests.domain.facts import QUICK

BUDGET = Condition(AlertKind.BUDGET_THRESHOLD, "budget:1", "2026-06-17")
LIMIT = 10_000
DEFAULT = (80, 100)


class Budget:
    """A budget's alerts of one window, as the rows would have them after each change of its spend."""

    def __init__(self, thresholds: tuple[int, ...] = DEFAULT) -> None:
        self.thresholds, self.alerts = thresholds, list[KnownAlert]()
        self.raised, self.resolved = list[int](), list[tuple[int, Ending]]()

    def spends(self, spent_micros: int, limit_micros: int = LIMIT) -> Changes:
        changes = threshold_changes(BUDGET, spent_micros, limit_micros, self.thresholds, self.alerts)
        self.alerts = [
            alert._replace(is_open=(alert.is_open and alert.id not in changes.resolved) or alert.id in changes.reopened)
            for alert in self.alerts
        ]
        self.resolved += [(self.alerts[alert].threshold, ending) for alert, ending in changes.resolved.items()]
        for condition in changes.raised:
            self.raised.append(condition.threshold)
            number = len(self.alerts)
            self.alerts.append(KnownAlert(number, BUDGET.subject, BUDGET.episode, condition.threshold, is_open=True))
        return changes

    @property
    def open(self) -> list[int]:
        return [alert.threshold for alert in self.alerts if alert.is_open]


def test_spend_at_the_threshold_raises_and_one_micro_less_does_not() -> None:
    budget = Budget()
    assert not budget.spends(7_999)
    budget.spends(8_000)
    assert budget.raised == [80]


def test_spend_that_jumps_over_several_thresholds_raises_the_highest_alone() -> None:
    budget = Budget((50, 80, 90, 100))
    budget.spends(12_000)
    assert (budget.raised, budget.open) == ([100], [100])


def test_higher_threshold_supersedes_the_lower_one() -> None:
    budget = Budget()
    budget.spends(8_500)
    budget.spends(10_000)
    assert (budget.raised, budget.resolved, budget.open) == ([80, 100], [(80, Ending.SUPERSEDED)], [100])


def test_alert_ends_a_whole_point_below_its_threshold_and_not_before() -> None:
    budget = Budget()
    budget.spends(10_000)
    assert not budget.spends(9_901)
    budget.spends(9_900)
    assert budget.resolved == [(100, Ending.BELOW)]


def test_spend_that_goes_up_down_and_up_raises_once() -> None:
    budget = Budget()
    for spent_micros in (10_500, 3_000, 10_500, 3_000, 9_000, 10_500):
        budget.spends(spent_micros)
    assert budget.raised == [100]
    assert budget.open == [100]


def test_raised_limit_resolves_and_a_limit_of_zero_has_no_threshold() -> None:
    budget = Budget()
    budget.spends(10_000)
    budget.spends(10_000, 100_000)
    assert budget.resolved == [(100, Ending.BELOW)]
    assert not Budget().spends(10_000, 0)


@QUICK
@given(
    st.lists(st.integers(-2_000, 15_000), max_size=12),
    st.sets(st.integers(1, 150), min_size=1, max_size=5),
)
def test_any_course_of_spend_keeps_the_rules(course: list[int], percents: set[int]) -> None:
    budget = Budget(tuple(sorted(percents)))
    for spent_micros in course:
        budget.spends(spent_micros)
        assert len(budget.open) <= 1
        assert not budget.spends(spent_micros), "an evaluation of the same spend changes nothing"
        raised = [one for one in budget.raised if spent_micros * 100 >= LIMIT * one]
        assert not raised or budget.open[0] >= max(raised), "an alert is open while its threshold is reached"
        assert not budget.open or spent_micros * 100 > LIMIT * (budget.open[0] - 1)
    assert budget.raised == sorted(set(budget.raised)), "each is raised once, and none below an earlier one"


def test_thresholds_are_whole_percents_sorted_and_few() -> None:
    assert checked_thresholds([100, 50, 100]) == (50, 100)
    for wrong in ([0], [1_001], list(range(1, 12))):
        with pytest.raises(InvalidValue):
            checked_thresholds(wrong)


def test_overspend_begins_beyond_the_measured_bound_or_a_tenth_of_the_limit() -> None:
    assert overspend_percent(LIMIT, None) == 110
    assert overspend_percent(LIMIT, 0) == 101
    assert overspend_percent(LIMIT, 2_001) == 121
    assert overspend_percent(0, 5) == 110
