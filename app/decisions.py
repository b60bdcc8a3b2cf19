"""Decides the holds of campaigns, turns decisions into changes of rows, and announces committed changes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import structlog

from app.wakes import after_toggles
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import SharedRow, StoredRow
from domain.budgets import Scope
from domain.campaigns import EffectiveStatus
from domain.enforcement import Decision, decide
from domain.holds import budget_hold
from domain.periods import local_day
from runtime import logs
from runtime.metrics import TOGGLES

log = structlog.get_logger()


def decide_rows(stored: Iterable[SharedRow], at: datetime) -> list[DecidedChange]:
    """Decides the holds, status and next change at `at` of the campaigns of each row; returns the changes to write.

    All campaigns of a row share its facts. A row that is right has no change, unless it was never enforced. The changes
    are sorted by their first campaign ids.
    """
    changes = []
    for row, campaign_ids in stored:
        change = _change(row, campaign_ids, decide(row.campaign, at), at)
        if change is not None:
            changes.append(change)
    return sorted(changes, key=lambda change: change.campaign_ids[0])


def _change(row: StoredRow, campaign_ids: Sequence[int], decision: Decision, at: datetime) -> DecidedChange | None:
    """The change of the campaigns' rows that the decision requires; None if they were enforced before and are right."""
    before = (row.effective_status, row.holds, row.next_change_at)
    after = (decision.effective_status, decision.holds, decision.next_change_at)
    if before == after and not row.is_new:
        return None
    return DecidedChange(
        brand_id=row.brand_id,
        campaign_ids=campaign_ids,
        from_status=row.effective_status,
        to_status=decision.effective_status.value,
        holds_before=row.holds,
        holds_after=decision.holds,
        next_change_at=decision.next_change_at,
        details=_figures(row, decision, at) if before[1] != after[1] else {},
        is_first=row.is_new,
    )


def _figures(row: StoredRow, decision: Decision, at: datetime) -> dict[str, Any]:
    """The local day, and spend and limit in micros of every budget whose hold the campaign had before or has after."""
    today = local_day(at, row.campaign.brand.time_zone)
    holds = {*row.holds, *decision.holds}
    budgets = {
        budget_hold(spend): {"spent_micros": spend.spent_on(today), "limit_micros": spend.budget.limit_micros}
        for spend in row.campaign.budgets
        if budget_hold(spend) in holds
    }
    return {"day": today.isoformat(), "budgets": budgets}


def announce(changes: Sequence[DecidedChange], cause: str) -> None:
    """Logs committed toggles and each newly exhausted budget, and wakes the actors that carry toggles out."""
    _log_toggles(changes, cause)
    _log_exhausted(changes)
    after_toggles(changes)


def _log_toggles(changes: Iterable[DecidedChange], cause: str) -> None:
    toggles: dict[str, list[tuple[dict[str, Any], Sequence[int]]]] = {status: [] for status in EffectiveStatus}
    for change in changes:
        if change.is_toggle:
            paused = change.to_status == EffectiveStatus.INACTIVE
            holds = list(change.holds_after if paused else change.holds_before)
            fields = {"cause": str(cause), "brand_id": change.brand_id, "campaign_id": change.campaign_ids[0]}
            toggles[change.to_status].append(({**fields, "holds": holds}, change.campaign_ids))
    for status, several in toggles.items():
        TOGGLES.labels(status).inc(sum(len(campaign_ids) for _, campaign_ids in several))
    logs.info_each("campaign.paused", "campaign_id", toggles[EffectiveStatus.INACTIVE])
    logs.info_each("campaign.activated", "campaign_id", toggles[EffectiveStatus.ACTIVE])


def _log_exhausted(changes: Iterable[DecidedChange]) -> None:
    """Logs each budget that became exhausted, once, although changes of many campaigns name the same brand's budget."""
    exhausted: dict[tuple[int, int | None, str], dict[str, int]] = {}
    for change in changes:
        for hold, figures in change.details.get("budgets", {}).items():
            if hold in change.holds_after and hold not in change.holds_before:
                for campaign_id in change.campaign_ids if hold.startswith(Scope.CAMPAIGN) else (None,):
                    exhausted[change.brand_id, campaign_id, str(hold)] = figures
    for (brand_id, campaign_id, hold), figures in exhausted.items():
        log.info("budget.exhausted", brand_id=brand_id, campaign_id=campaign_id, hold=hold, **figures)


def changes_of_campaigns(changes: Iterable[DecidedChange]) -> list[tuple[int, DecidedChange]]:
    """(campaign id, its change) pairs, sorted by campaign id."""
    pairs = ((campaign_id, change) for change in changes for campaign_id in change.campaign_ids)
    return sorted(pairs, key=lambda pair: pair[0])


def changes_of_holds(changes: Iterable[DecidedChange]) -> list[DecidedChange]:
    """The changes whose holds differ, without those that only change `next_change_at`."""
    return [change for change in changes if change.holds_before != change.holds_after]


def count_toggles(changes: Iterable[DecidedChange]) -> int:
    """The number of campaigns that the changes toggle between active and inactive."""
    return sum(change.toggles for change in changes)
