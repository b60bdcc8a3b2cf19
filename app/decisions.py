"""Decides campaigns, turns decisions into changes of their rows, and announces committed changes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import structlog

from app.wakes import after_toggles
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import StoredCampaign
from domain.budgets import Scope
from domain.campaigns import EffectiveStatus
from domain.enforcement import Decision, decide
from domain.holds import budget_hold
from domain.periods import local_day
from runtime import logs
from runtime.metrics import TOGGLES

log = structlog.get_logger()


def decide_changes(stored: Iterable[StoredCampaign], at: datetime) -> list[DecidedChange]:
    """Decides the campaigns at `at` and returns the changes to write; campaigns without a change are left out.

    Decides once for all campaigns with equal facts and equal rows.
    """
    by_facts: dict[tuple[object, ...], DecidedChange | None] = {}
    changes = []
    for one in stored:
        campaign_id, _, campaign, *row = one
        facts = (id(campaign), *row)
        if facts not in by_facts:
            by_facts[facts] = change_of_row(one, decide(campaign, at), at)
        change = by_facts[facts]
        if change is not None:
            changes.append(DecidedChange(change.brand_id, campaign_id, *change[2:]))
    return changes


def change_of_row(stored: StoredCampaign, decision: Decision, at: datetime) -> DecidedChange | None:
    """The change that the decision requires of the campaign's row; None if the row is right already."""
    before = (stored.effective_status, stored.holds, stored.next_change_at)
    after = (decision.effective_status, decision.holds, decision.next_change_at)
    if before == after and not stored.is_new:
        return None
    return DecidedChange(
        brand_id=stored.brand_id,
        campaign_id=stored.campaign_id,
        from_status=stored.effective_status,
        to_status=decision.effective_status.value,
        holds_before=stored.holds,
        holds_after=decision.holds,
        next_change_at=decision.next_change_at,
        details=_figures(stored, decision, at) if before[1] != after[1] else {},
        is_first=stored.is_new,
    )


def _figures(stored: StoredCampaign, decision: Decision, at: datetime) -> dict[str, Any]:
    """The local day, and spend and limit of every budget whose hold the campaign had before or has after."""
    today = local_day(at, stored.campaign.brand.time_zone)
    holds = {*stored.holds, *decision.holds}
    budgets = {
        budget_hold(spend): {"spent_micros": spend.spent_on(today), "limit_micros": spend.budget.limit_micros}
        for spend in stored.campaign.budgets
        if budget_hold(spend) in holds
    }
    return {"day": today.isoformat(), "budgets": budgets}


def announce(changes: Sequence[DecidedChange], cause: str) -> None:
    """Logs committed toggles, logs each exhausted budget once, and wakes the actors that carry toggles out."""
    _log_changes(changes, cause)
    after_toggles(changes)


def _log_changes(changes: Iterable[DecidedChange], cause: str) -> None:
    toggles: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    exhausted: dict[tuple[int, int | None, str], dict[str, int]] = {}
    for change in changes:
        paused = change.to_status == EffectiveStatus.INACTIVE
        if change.is_toggle:
            holds = list(change.holds_after if paused else change.holds_before)
            fields = {"brand_id": change.brand_id, "campaign_id": change.campaign_id, "holds": holds}
            toggles[paused].append({"cause": str(cause), **fields})
        for hold, figures in change.details.get("budgets", {}).items():
            if hold in change.holds_after and hold not in change.holds_before:
                campaign_id = change.campaign_id if hold.startswith(Scope.CAMPAIGN) else None
                exhausted[change.brand_id, campaign_id, str(hold)] = figures
    TOGGLES.labels(EffectiveStatus.INACTIVE).inc(len(toggles[True]))
    TOGGLES.labels(EffectiveStatus.ACTIVE).inc(len(toggles[False]))
    logs.info_each("campaign.paused", toggles[True])
    logs.info_each("campaign.activated", toggles[False])
    for (brand_id, campaign_id, hold), figures in exhausted.items():
        log.info("budget.exhausted", brand_id=brand_id, campaign_id=campaign_id, hold=hold, **figures)


def changes_of_holds(changes: Iterable[DecidedChange]) -> list[DecidedChange]:
    """The changes whose holds differ, without those that only change `next_change_at`."""
    return [change for change in changes if change.holds_before != change.holds_after]


def count_toggles(changes: Iterable[DecidedChange]) -> int:
    """The number of changes that toggle a campaign between active and inactive."""
    return sum(change.is_toggle for change in changes)
