"""Decides which holds a campaign has at an instant, and when they may next change without an edit or spend."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

from domain.budgets import BudgetSpend
from domain.campaigns import Campaign, ConfiguredStatus, EffectiveStatus
from domain.holds import Hold, budget_hold, in_order
from domain.periods import LAST_DAY, ONE_DAY, Window, day_starts_at, local_day, window_of
from domain.schedules import is_open, next_edge

Holds = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A campaign's holds in their fixed order, and the next instant when they may change without an edit or spend.

    `next_change_at` None: they never do.
    """

    holds: Holds
    next_change_at: datetime | None

    @property
    def effective_status(self) -> EffectiveStatus:
        return EffectiveStatus.INACTIVE if self.holds else EffectiveStatus.ACTIVE


def decide(campaign: Campaign, at: datetime) -> Decision:
    """The decision for `campaign` at the instant `at`. It depends on nothing else."""
    return Decision(holds_at(campaign, at), next_change_at(campaign, at))


def holds_at(campaign: Campaign, at: datetime) -> Holds:
    """All holds of the campaign at `at`, in the order of `Hold`.

    Each is decided independently, so lifting one lifts no other.
    """
    today = local_day(at, campaign.brand.time_zone)
    return in_order(_holds(campaign, at, today))


def _holds(campaign: Campaign, at: datetime, today: date) -> Iterator[str]:
    if campaign.configured_status is ConfiguredStatus.PAUSED:
        yield Hold.USER_PAUSED
    if campaign.configured_status is ConfiguredStatus.ARCHIVED:
        yield Hold.ARCHIVED
    if campaign.brand.configured_status is not ConfiguredStatus.ENABLED:
        yield Hold.BRAND_PAUSED
    if campaign.starts_on is not None and today < campaign.starts_on:
        yield Hold.FLIGHT_NOT_STARTED
    if campaign.ends_on is not None and today > campaign.ends_on:
        yield Hold.FLIGHT_ENDED
    if not is_open(campaign.schedule, at, campaign.brand.time_zone):
        yield Hold.OUTSIDE_SCHEDULE
    yield from campaign.set_holds
    for spend in campaign.budgets:
        if spend.is_exhausted_on(today):
            yield budget_hold(spend)


def next_change_at(campaign: Campaign, at: datetime) -> datetime | None:
    """The next instant after `at` at which an edge of schedule, flight or window may change holds; None if none."""
    zone = campaign.brand.time_zone
    today = local_day(at, zone)
    instants = [day_starts_at(day, zone) for day in _days_of_change(campaign, today)]
    edge = next_edge(campaign.schedule, at, zone)
    if edge is not None:
        instants.append(edge)
    return min(instants, default=None)


def _days_of_change(campaign: Campaign, today: date) -> Iterator[date]:
    if campaign.starts_on is not None and today < campaign.starts_on:
        yield campaign.starts_on
    if campaign.ends_on is not None and today <= campaign.ends_on < LAST_DAY:
        yield campaign.ends_on + ONE_DAY
    for spend in campaign.budgets:
        day = spend.next_flip_day(today)
        if day is not None:
            yield day


@dataclass(frozen=True, slots=True)
class HoldExplanation:
    """One hold. `lifts_at`: the instant at which it ends without an edit or spend; None: never.

    `spent_micros`, `limit_micros`, `window`: the current figures of the budget; None for a hold of another kind.
    """

    hold: str
    lifts_at: datetime | None
    spent_micros: int | None = None
    limit_micros: int | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a campaign serves or not at `at`.

    `serves_at`: when it next serves if there is neither an edit nor spend; None if it never does.
    """

    at: datetime
    effective_status: EffectiveStatus
    holds: tuple[HoldExplanation, ...]
    serves_at: datetime | None

    @property
    def lasting(self) -> list[str]:
        """The holds that never end without an edit or spend; all holds if each of them ends at some time."""
        return [hold.hold for hold in self.holds if hold.lifts_at is None] or [hold.hold for hold in self.holds]


def explain(campaign: Campaign, at: datetime) -> Explanation:
    """Explains the campaign's holds at `at`. For an active campaign `serves_at` is `at` itself."""
    holds = tuple(_explained(campaign, hold, at) for hold in holds_at(campaign, at))
    status = EffectiveStatus.INACTIVE if holds else EffectiveStatus.ACTIVE
    return Explanation(at, status, holds, _serves_at(campaign, at, holds))


def _explained(campaign: Campaign, hold: str, at: datetime) -> HoldExplanation:
    zone = campaign.brand.time_zone
    today = local_day(at, zone)
    if hold == Hold.OUTSIDE_SCHEDULE:
        return HoldExplanation(hold, next_edge(campaign.schedule, at, zone))
    if hold == Hold.FLIGHT_NOT_STARTED and campaign.starts_on is not None:
        return HoldExplanation(hold, day_starts_at(campaign.starts_on, zone))
    for spend in campaign.budgets:
        if budget_hold(spend) == hold:
            return _explained_budget(hold, spend, today, campaign)
    return HoldExplanation(hold, None)


def _explained_budget(hold: str, spend: BudgetSpend, today: date, campaign: Campaign) -> HoldExplanation:
    lifts_on = spend.next_flip_day(today)
    return HoldExplanation(
        hold,
        None if lifts_on is None else day_starts_at(lifts_on, campaign.brand.time_zone),
        spent_micros=spend.spent_on(today),
        limit_micros=spend.budget.limit_micros,
        window=window_of(spend.budget.period, today),
    )


def _serves_at(campaign: Campaign, at: datetime, holds: Iterable[HoldExplanation]) -> datetime | None:
    """The next instant without holds; None if there is none.

    Each round jumps to the latest end of the current holds, because until then at least that hold stays.
    """
    lifts = [hold.lifts_at for hold in holds]
    while lifts:
        if None in lifts:
            return None
        at = max(instant for instant in lifts if instant is not None)
        lifts = list(map(partial(_lifts_at, campaign, at), holds_at(campaign, at)))
    return at


def _lifts_at(campaign: Campaign, at: datetime, hold: Hold) -> datetime | None:
    return _explained(campaign, hold, at).lifts_at
