"""Enforcement: the one way in which a campaign's holds and effective status ever change."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

import dramatiq
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db.engine import Stale, committed
from db.repository import enforcement as repository
from db.repository.enforcement import Applied, Standing
from domain.campaigns import EffectiveStatus, budget_hold
from domain.enforcement import Decision, decide
from domain.periods import local_day
from runtime import clock
from workers.broker import broker

log = structlog.get_logger()

BRANDS_A_TRANSACTION: Final = 50

Result = TypeVar("Result")


class Cause(StrEnum):
    """What made enforcement look, kept with each status change."""

    SPEND = "spend"
    REPORTED_TOTAL = "reported_total"
    EDIT = "edit"
    SCHEDULE = "schedule"
    DAILY_RESET = "daily_reset"
    MONTHLY_RESET = "monthly_reset"
    REFRESH = "refresh"
    CHECK = "check"


def enforce(
    connection: Connection,
    brand_ids: Collection[int],
    cause: Cause,
    at: datetime | None = None,
    campaign_ids: Sequence[int] | None = None,
) -> list[Applied]:
    """Brings the brands' campaigns, or the chosen ones, to what the rules say now; returns the toggles.

    The facts are loaded in statements that start after the locks, and the clock is read after them: what was
    read before the wait may be stale, so that a limit lowered meanwhile would be missed.
    """
    repository.lock_brands(connection, brand_ids)
    at = at or clock.now()
    standings = repository.load(connection, sorted(brand_ids), at, campaign_ids)
    changes = [change for standing in standings if (change := changed(standing, decide(standing.campaign, at), at))]
    repository.apply(connection, changes, at, cause)
    return [change for change in changes if change.is_toggle]


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
        holds_after=tuple(hold.value for hold in decision.holds),
        next_change_at=decision.next_change_at,
        details=_figures(standing, decision, at) if before[0] != after[0] else {},
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


def edited(work: Callable[[Connection], Result], brand_id: int) -> Result:
    """A person's edit of one brand and its enforcement, in one commit."""

    def edit_and_enforce(connection: Connection) -> tuple[Result, list[Applied]]:
        repository.lock_brands(connection, [brand_id])
        result = work(connection)
        return result, enforce(connection, [brand_id], Cause.EDIT)

    result, toggles = committed(edit_and_enforce)
    announce(toggles, Cause.EDIT)
    return result


def enforce_brands(brand_ids: Iterable[int], cause: Cause) -> list[Applied]:
    """Enforces many brands, some in each transaction. One that fails is logged, and holds up no other."""
    toggles = []
    for chunk in chunks(sorted(set(brand_ids)), BRANDS_A_TRANSACTION):
        toggles += apart(chunk, lambda brands: _committed_toggles(brands, cause))
    return toggles


def enforce_campaigns(pairs: Sequence[tuple[int, int]], cause: Cause) -> list[Applied]:
    """Enforces single campaigns, given as (brand, campaign), in one transaction, or apart when that fails."""
    return apart(pairs, lambda some: _committed_toggles({b for b, _ in some}, cause, [c for _, c in some]))


def _committed_toggles(
    brand_ids: Collection[int], cause: Cause, campaign_ids: Sequence[int] | None = None
) -> list[Applied]:
    toggles = committed(partial(enforce, brand_ids=brand_ids, cause=cause, campaign_ids=campaign_ids))
    announce(toggles, cause)
    return toggles


Item = TypeVar("Item")


def apart(items: Sequence[Item], work: Callable[[Sequence[Item]], list[Applied]]) -> list[Applied]:
    """Does `work` on all items at once; when that fails, on each by itself, logging those that fail again."""
    try:
        return work(items)
    except (DBAPIError, Stale, ArithmeticError, ValueError):
        if len(items) == 1:
            log.exception("enforcement.failed", item=items[0])
            return []
    return [toggle for item in items for toggle in apart([item], work)]


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def announce(toggles: Iterable[Applied], cause: Cause) -> None:
    """Logs committed toggles, and each budget that ran out once however many campaigns it holds."""
    exhausted: set[tuple[int, int | None, str]] = set()
    for toggle in toggles:
        paused = toggle.to_status == EffectiveStatus.INACTIVE
        log.info(
            "campaign.paused" if paused else "campaign.activated",
            brand_id=toggle.brand_id,
            campaign_id=toggle.campaign_id,
            holds=list(toggle.holds_after if paused else toggle.holds_before),
            cause=str(cause),
        )
        for hold, figures in toggle.details.get("budgets", {}).items():
            key = (toggle.brand_id, toggle.campaign_id if hold.startswith("campaign_") else None, str(hold))
            if paused and hold not in toggle.holds_before and key not in exhausted:
                exhausted.add(key)
                log.info("budget.exhausted", brand_id=key[0], campaign_id=key[1], hold=key[2], **figures)


@dramatiq.actor(broker=broker, queue_name="enforcement")
def evaluate_budgets(brand_ids: list[int]) -> None:
    """Enforces the brands: after an edit made elsewhere, or as one part of a large job."""
    enforce_brands(brand_ids, Cause.EDIT)
