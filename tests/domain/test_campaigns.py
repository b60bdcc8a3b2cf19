"""The words for why a campaign must not serve."""

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


def test_every_scope_and_period_has_a_hold_of_its_own() -> None:
    assert set(BUDGET_HOLDS) == set(itertools.product(Scope, Period))
    assert len(set(BUDGET_HOLDS.values())) == len(Scope) * len(Period)


def test_every_hold_has_its_own_place() -> None:
    assert in_order(reversed(Hold)) == tuple(Hold)


def test_what_people_decided_is_told_first_and_budgets_last() -> None:
    told = in_order(Hold)
    assert told[:3] == (Hold.USER_PAUSED, Hold.ARCHIVED, Hold.BRAND_PAUSED)
    assert set(told[-len(BUDGET_HOLDS) :]) == set(BUDGET_HOLDS.values())


def test_the_hold_of_a_budget_is_named_by_scope_and_period() -> None:
    of_brand = spent(0, limit=1, scope=Scope.BRAND, period=Period.MONTHLY)
    of_campaign = spent(0, limit=1, scope=Scope.CAMPAIGN, period=Period.DAILY)
    assert budget_hold(of_brand) is Hold.BRAND_MONTHLY_BUDGET
    assert budget_hold(of_campaign) is Hold.CAMPAIGN_DAILY_BUDGET
