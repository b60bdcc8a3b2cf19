"""What the rules make of campaigns' rows, why enforcement looked, and what the log says of it afterwards."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog

from db.repository.enforcement.enforcement import Applied, Standing
from domain.budgets import Scope
from domain.campaigns import EffectiveStatus
from domain.enforcement import Decision, decide
from domain.holds import budget_hold
from domain.periods import local_day
from runtime import logs

log = structlog.get_logger()


def decided(standings: Iterable[Standing], at: datetime) -> list[Applied]:
    """What the decisions make of the campaigns' rows; of those with the same facts and row one is decided for all."""
    like_it: dict[tuple[object, ...], Applied | None] = {}
    changes = []
    for standing in standings:
        campaign_id, _, campaign, *row = standing
        alike = (id(campaign), *row)
        if alike not in like_it:
            like_it[alike] = changed(standing, decide(campaign, at), at)
        change = like_it[alike]
        if change is not None:
            changes.append(Applied(change.brand_id, campaign_id, *change[2:]))
    return changes


def changed(standing: Standing, decision: Decision, at: datetime) -> Applied | None:
    """What the decision makes of the campaign's row; None where the row says it already."""
    before = (standing.effective_status, standing.holds, standing.next_change_at)
    after = (decision.effective_status, decision.holds, decision.next_change_at)
    if before == after and not standing.is_new:
        return None
    return Applied(
        brand_id=standing.brand_id,
        campaign_id=standing.campaign_id,
        from_status=standing.effective_status,
        to_status=decision.effective_status.value,
        holds_before=standing.holds,
        holds_after=decision.holds,
        next_change_at=decision.next_change_at,
        details=_figures(standing, decision, at) if before[1] != after[1] else {},
        is_first=standing.is_new,
    )


def _figures(standing: Standing, decision: Decision, at: datetime) -> dict[str, Any]:
    """Spent and limit of every budget that holds or held, so that the toggle explains itself."""
    today = local_day(at, standing.campaign.brand.time_zone)
    named = {*standing.holds, *decision.holds}
    budgets = {
        budget_hold(spend): {"spent_micros": spend.spent_on(today), "limit_micros": spend.budget.limit_micros}
        for spend in standing.campaign.budgets
        if budget_hold(spend) in named
    }
    return {"day": today.isoformat(), "budgets": budgets}


def announce(changes: Iterable[Applied], cause: str) -> None:
    """Logs committed toggles, and each budget that ran out, once however many campaigns it holds."""
    toggles: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    exhausted: dict[tuple[int, int | None, str], dict[str, int]] = {}
    for change in changes:
        paused = change.to_status == EffectiveStatus.INACTIVE
        if change.is_toggle:
            holds = list(change.holds_after if paused else change.holds_before)
            about = {"brand_id": change.brand_id, "campaign_id": change.campaign_id, "holds": holds}
            toggles[paused].append({"cause": str(cause), **about})
        for hold, figures in change.details.get("budgets", {}).items():
            if hold in change.holds_after and hold not in change.holds_before:
                campaign_id = change.campaign_id if hold.startswith(Scope.CAMPAIGN) else None
                exhausted[change.brand_id, campaign_id, str(hold)] = figures
    logs.info_each("campaign.paused", toggles[True])
    logs.info_each("campaign.activated", toggles[False])
    for (brand_id, campaign_id, hold), figures in exhausted.items():
        log.info("budget.exhausted", brand_id=brand_id, campaign_id=campaign_id, hold=hold, **figures)


def with_other_holds(changes: Iterable[Applied]) -> list[Applied]:
    """The changes of holds, without those of the next change alone."""
    return [change for change in changes if change.holds_before != change.holds_after]


def toggled(changes: Iterable[Applied]) -> int:
    """How many of the changes are toggles."""
    return sum(change.is_toggle for change in changes)
