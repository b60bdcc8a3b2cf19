"""Holds: the reasons why a campaign must not serve. `KINDS` defines the words and properties of every kind.

A kind with `is_set` is stored on the campaign and stays until it is lifted: people set and lift it by the API or the
command line; `platform_paused` also follows the ad platform. All other kinds are derived from budgets, flight, schedule
and configured statuses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.budgets import BudgetSpend, Scope
from domain.errors import InvalidValue
from domain.periods import Period


class Hold(StrEnum):
    """A reason why a campaign must not serve, in the order in which holds are stored and shown."""

    USER_PAUSED = "user_paused"
    ARCHIVED = "archived"
    BRAND_PAUSED = "brand_paused"
    PLATFORM_PAUSED = "platform_paused"
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


SOMEONE_ENABLES_IT: Final = "someone enables it"
NOT_BY_CLOCK: Final = "stays stopped until someone changes it"
"""The text that pages show in place of a time for holds that last until a person acts."""

SERVES_AGAIN_IF: Final = "if nobody changes anything and no budget is used up before"
"""The condition under which a campaign serves again at the time that pages show."""


@dataclass(frozen=True, slots=True)
class HoldKind:
    """The words and properties of one kind of hold.

    `because` ends the sentence «it does not serve, because …», `released_by` ends «it stays stopped until …».
    `lifts_by_clock`: it may end as time passes. `is_set`: it is stored on the campaign, and people set and lift it.
    """

    because: str
    released_by: str = SOMEONE_ENABLES_IT
    lifts_by_clock: bool = False
    is_set: bool = False


BUDGET_HOLDS: Final[Mapping[tuple[Scope, Period], Hold]] = {
    (scope, period): Hold(f"{scope}_{period}_budget") for scope in Scope for period in Period
}

KINDS: Final[Mapping[Hold, HoldKind]] = {
    Hold.USER_PAUSED: HoldKind("paused by a person"),
    Hold.ARCHIVED: HoldKind("archived"),
    Hold.BRAND_PAUSED: HoldKind("the brand is paused or archived", "someone enables the brand"),
    Hold.PLATFORM_PAUSED: HoldKind("paused on the ad platform", "someone enables it on the ad platform", is_set=True),
    Hold.FLIGHT_NOT_STARTED: HoldKind("the flight has not started", "someone changes its flight", lifts_by_clock=True),
    Hold.FLIGHT_ENDED: HoldKind("the flight has ended", "someone changes its flight"),
    Hold.OUTSIDE_SCHEDULE: HoldKind("outside its schedule", "someone changes its schedule", lifts_by_clock=True),
    **{
        hold: HoldKind(
            f"the {scope}'s {period} budget is spent",
            "someone raises the limit",
            lifts_by_clock=period is not Period.LIFETIME,
        )
        for (scope, period), hold in BUDGET_HOLDS.items()
    },
}

HOLD_WORDS: Final[Mapping[str, str]] = {hold: kind.because for hold, kind in KINDS.items()}
"""The `because` of every hold: the end of the sentence «it does not serve, because …»."""

_RELEASED_BY: Final[Mapping[str, str]] = {hold: kind.released_by for hold, kind in KINDS.items()}

SET_HOLDS: Final = frozenset(hold for hold, kind in KINDS.items() if kind.is_set)
"""The holds that can be set and lifted by hand, and are stored on campaigns."""

LIFTED_BY_PEOPLE: Final = frozenset(hold for hold, kind in KINDS.items() if not kind.lifts_by_clock)
"""The holds that last until a person acts, in Spendgate or on the ad platform; other holds may end as time passes."""

_ORDER: Final[Mapping[str, int]] = {hold: place for place, hold in enumerate(Hold)}


def in_order(holds: Iterable[str]) -> tuple[str, ...]:
    """Removes duplicates and sorts holds in the order of `Hold`; names unknown to this version come last, by name."""
    return tuple(sorted(set(holds), key=lambda hold: (_ORDER.get(hold, len(_ORDER)), hold)))


def of_budgets(holds: Iterable[str]) -> frozenset[str]:
    """The budget holds among `holds`: those that an exhausted budget puts on a campaign."""
    return frozenset(holds).intersection(BUDGET_HOLDS.values())


def budget_hold(spend: BudgetSpend) -> Hold:
    """The hold that this budget puts on a campaign when it is exhausted, by its scope and period."""
    return BUDGET_HOLDS[spend.budget.scope, spend.budget.period]


def settable(hold: str) -> Hold:
    """The hold of this name. Raises InvalidValue for an unknown name, or a hold that people cannot set and lift."""
    if hold not in SET_HOLDS:
        names = ", ".join(in_order(SET_HOLDS))
        raise InvalidValue("hold", f"{hold!r} cannot be set or lifted by hand; these can: {names}")
    return Hold(hold)


def hold_in_words(hold: str) -> str:
    """The hold's reason; a name unknown to this version is returned as it is."""
    return HOLD_WORDS.get(hold, hold)


def in_words(holds: Iterable[str]) -> str:
    """The reasons of all holds, separated by semicolons."""
    return "; ".join(map(hold_in_words, holds))


def stays_stopped(holds: Iterable[str]) -> str:
    """The words `stays stopped until …`, with every action that is needed before these holds are lifted."""
    needed = dict.fromkeys(_RELEASED_BY.get(hold, SOMEONE_ENABLES_IT) for hold in holds)
    return f"stays stopped until {' and '.join(needed) or SOMEONE_ENABLES_IT}"
