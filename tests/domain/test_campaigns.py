"""The order of holds, and the holds of budgets."""

import itertools

from domain.budgets import Scope
from domain.holds import (
    BUDGET_HOLDS,
    Hold,
    budget_hold,
    in_order,
)
from domain.periods import Period
from tests.domain.facts import spent


def test_every_scope_and_period_has_its_own_hold() -> None:
    assert set(BUDGET_HOLDS) == set(itertools.product(Scope, Period))
    assert len(set(BUDGET_HOLDS.values())) == len(Scope) * len(Period)


def test_in_order_sorts_holds_as_declared() -> None:
    assert in_order(reversed(Hold)) == tuple(Hold)


def test_holds_set_by_people_come_first_and_budget_holds_last() -> None:
    ordered = in_order(Hold)
    assert ordered[:3] == (Hold.USER_PAUSED, Hold.ARCHIVED, Hold.BRAND_PAUSED)
    assert set(ordered[-len(BUDGET_HOLDS) :]) == set(BUDGET_HOLDS.values())


def test_budget_hold_is_named_by_scope_and_period() -> None:
    of_brand = spent(0, limit=1, scope=Scope.BRAND, period=Period.MONTHLY)
    of_campaign = spent(0, limit=1, scope=Scope.CAMPAIGN, period=Period.DAILY)
    assert budget_hold(of_brand) is Hold.BRAND_MONTHLY_BUDGET
    assert budget_hold(of_campaign) is Hold.CAMPAIGN_DAILY_BUDGET
