"""Decides campaigns, turns decisions into changes of their rows, and announces committed changes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import structlog

from app.wakes import after_toggles
from db.repository.enforcement.changes import DecidedChange, SharedChange
from db.repository.enforcement.facts import SharedRow, StoredRow
from domain.budgets import Scope
from domain.campaigns import EffectiveStatus
from domain.enforcement import Decision, decide
from domain.holds import budget_hold
from domain.periods import local_day
from runtime import logs
from runtime.metrics import TOGGLES

log = structlog.get_logger()


def decide_shared(stored: Iterable[SharedRow], at: datetime) -> list[SharedChange]:
    """Decides the campaigns of each stored row, whose facts they share, at `at`; returns the changes to write.

    A row that is right has no change.
    """
    changes = []
    for row, campaign_ids in stored:
        change = _change(row, campaign_ids[0], decide(row.campaign, at), at)
        if change is not None:
            changes.append(SharedChange(change, campaign_ids))
    return changes


def each_change(changes: Iterable[SharedChange]) -> list[DecidedChange]:
    """The change of each campaign, sorted by campaign id."""
    by_id = (one for change in changes for one in change.each())
    return sorted(by_id, key=lambda one: one.campaign_id)


def _change(row: StoredRow, campaign_id: int, decision: Decision, at: datetime) -> DecidedChange | None:
    """The change that the decision requires of the campaign's row; None if the row is right already."""
    before = (row.effective_status, row.holds, row.next_change_at)
    after = (decision.effective_status, decision.holds, decision.next_change_at)
    if before == after and not row.is_new:
        return None
    return DecidedChange(
        brand_id=row.brand_id,
        campaign_id=campaign_id,
        from_status=row.effective_status,
        to_status=decision.effective_status.value,
        holds_before=row.holds,
        holds_after=decision.holds,
        next_change_at=decision.next_change_at,
        details=_figures(row, decision, at) if before[1] != after[1] else {},
        is_first=row.is_new,
    )


def _figures(row: StoredRow, decision: Decision, at: datetime) -> dict[str, Any]:
    """The local day, and spend and limit of every budget whose hold the campaign had before or has after."""
    today = local_day(at, row.campaign.brand.time_zone)
    holds = {*row.holds, *decision.holds}
    budgets = {
        budget_hold(spend): {"spent_micros": spend.spent_on(today), "limit_micros": spend.budget.limit_micros}
        for spend in row.campaign.budgets
        if budget_hold(spend) in holds
    }
    return {"day": today.isoformat(), "budgets": budgets}


def announce(changes: Sequence[DecidedChange], cause: str) -> None:
    """Logs committed toggles, logs each exhausted budget once, and wakes the actors that carry toggles out."""
    announce_shared(_shared(changes), cause)


def _shared(changes: Sequence[DecidedChange]) -> list[SharedChange]:
    """Groups changes that share every object but the campaign's id, as those decided together do."""
    by_objects: dict[tuple[int, ...], SharedChange] = {}
    for change in changes:
        key = (change.brand_id, *map(id, change[2:]))
        by_objects.setdefault(key, SharedChange(change, [])).campaign_ids.append(change.campaign_id)
    return list(by_objects.values())


def announce_shared(changes: Sequence[SharedChange], cause: str) -> None:
    """Does what `announce` does for each campaign of these changes."""
    _log_toggles(changes, cause)
    _log_exhausted(changes)
    after_toggles(change.of_first for change in changes)


def _log_toggles(changes: Iterable[SharedChange], cause: str) -> None:
    toggles: dict[str, list[tuple[dict[str, Any], list[int]]]] = {status: [] for status in EffectiveStatus}
    for change, campaign_ids in changes:
        if change.is_toggle:
            paused = change.to_status == EffectiveStatus.INACTIVE
            holds = list(change.holds_after if paused else change.holds_before)
            fields = {"cause": str(cause), "brand_id": change.brand_id, "campaign_id": change.campaign_id}
            toggles[change.to_status].append(({**fields, "holds": holds}, campaign_ids))
    for status, several in toggles.items():
        TOGGLES.labels(status).inc(sum(len(campaign_ids) for _, campaign_ids in several))
    logs.info_each("campaign.paused", "campaign_id", toggles[EffectiveStatus.INACTIVE])
    logs.info_each("campaign.activated", "campaign_id", toggles[EffectiveStatus.ACTIVE])


def _log_exhausted(changes: Iterable[SharedChange]) -> None:
    """Logs each budget that became exhausted, once, although changes of many campaigns name the same brand's budget."""
    exhausted: dict[tuple[int, int | None, str], dict[str, int]] = {}
    for change, _ in changes:
        for hold, figures in change.details.get("budgets", {}).items():
            if hold in change.holds_after and hold not in change.holds_before:
                campaign_id = change.campaign_id if hold.startswith(Scope.CAMPAIGN) else None
                exhausted[change.brand_id, campaign_id, str(hold)] = figures
    for (brand_id, campaign_id, hold), figures in exhausted.items():
        log.info("budget.exhausted", brand_id=brand_id, campaign_id=campaign_id, hold=hold, **figures)


def changes_of_holds(changes: Iterable[DecidedChange]) -> list[DecidedChange]:
    """The changes whose holds differ, without those that only change `next_change_at`."""
    return [change for change in changes if change.holds_before != change.holds_after]


def count_toggles(changes: Iterable[DecidedChange]) -> int:
    """The number of changes that toggle a campaign between active and inactive."""
    return sum(change.is_toggle for change in changes)
