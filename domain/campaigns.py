"""Brands, campaigns, and the words for why a campaign must not serve."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.budgets import BudgetSpend, Scope
from domain.periods import Period
from domain.schedules import Schedule


class ConfiguredStatus(StrEnum):
    """What a person wants. Only people change it."""

    ENABLED = "enabled"
    PAUSED = "paused"
    ARCHIVED = "archived"


class EffectiveStatus(StrEnum):
    """What holds. Only enforcement changes it."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class Hold(StrEnum):
    """A reason why a campaign must not serve. A campaign is active exactly when it has none."""

    USER_PAUSED = "user_paused"
    ARCHIVED = "archived"
    BRAND_PAUSED = "brand_paused"
    FLIGHT_NOT_STARTED = "flight_not_started"
    FLIGHT_ENDED = "flight_ended"
    OUTSIDE_SCHEDULE = "outside_schedule"
    BRAND_DAILY_BUDGET = "brand_daily_budget"
    BRAND_WEEKLY_BUDGET = "brand_weekly_budget"
    BRAND_MONTHLY_BUDGET = "brand_monthly_budget"
    BRAND_YEARLY_BUDGET = "brand_yearly_budget"
    BRAND_LIFETIME_BUDGET = "brand_lifetime_budget"
    CAMPAIGN_DAILY_BUDGET = "campaign_daily_budget"
    CAMPAIGN_WEEKLY_BUDGET = "campaign_weekly_budget"
    CAMPAIGN_MONTHLY_BUDGET = "campaign_monthly_budget"
    CAMPAIGN_YEARLY_BUDGET = "campaign_yearly_budget"
    CAMPAIGN_LIFETIME_BUDGET = "campaign_lifetime_budget"


BUDGET_HOLDS: dict[tuple[Scope, Period], Hold] = {
    (scope, period): Hold(f"{scope}_{period}_budget") for scope in Scope for period in Period
}

HOLD_ORDER: dict[Hold, int] = {hold: place for place, hold in enumerate(Hold)}


def budget_hold(spend: BudgetSpend) -> Hold:
    """The hold that this budget puts on a campaign when it is exhausted."""
    return BUDGET_HOLDS[spend.budget.scope, spend.budget.period]


@dataclass(frozen=True, slots=True)
class Brand:
    """The client that owns campaigns, as far as decisions need it."""

    time_zone: ZoneInfo
    configured_status: ConfiguredStatus


@dataclass(frozen=True, slots=True)
class Campaign:
    """The stored facts about one campaign on which its holds depend.

    The flight's days are the brand's local ones, both included. `budgets` are the campaign's own and its brand's.
    """

    brand: Brand
    configured_status: ConfiguredStatus
    starts_on: date | None = None
    ends_on: date | None = None
    schedule: Schedule = ()
    budgets: tuple[BudgetSpend, ...] = ()
