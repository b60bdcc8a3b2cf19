"""Enforcement: the one way in which a campaign's holds and effective status ever change."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from operator import itemgetter
from typing import Any, Final, TypeVar

import dramatiq
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db.engine import PASSING_FAULTS, committed, passes
from db.repository import enforcement as repository
from db.repository.enforcement import Applied, Standing
from domain.budgets import Scope
from domain.campaigns import Brand, EffectiveStatus, budget_hold
from domain.enforcement import Decision, decide
from domain.periods import local_day
from runtime import clock
from runtime.settings import settings
from workers.broker import broker
from workers.side_by_side import side_by_side

log = structlog.get_logger()

BRANDS_A_TRANSACTION: Final = 50
AT_ONCE: Final = 3
"""Transactions of one job: while Postgres works for one, this process does for another."""

Result = TypeVar("Result")
Told = TypeVar("Told")


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


BY_THE_CLOCK: Final = frozenset({Cause.SCHEDULE, Cause.DAILY_RESET, Cause.MONTHLY_RESET, Cause.REFRESH})
"""What comes again by itself, and so waits briefly for a lock: the brands behind a locked one must not wait with it."""


def enforce(
    connection: Connection,
    brand_ids: Collection[int],
    cause: Cause,
    at: datetime | None = None,
    campaign_ids: Sequence[int] | None = None,
) -> list[Applied]:
    """Brings the brands' campaigns, or the chosen ones, to what the rules say now; returns those whose holds changed.

    The facts are loaded in statements that start after the locks, and the clock is read after them: what was
    read before the wait may be stale, so that a limit lowered meanwhile would be missed.
    """
    brands = repository.lock_brands(connection, brand_ids)
    return enforce_locked(connection, brands, cause, at or clock.now(), campaign_ids)


def enforce_locked(
    connection: Connection,
    brands: Mapping[int, Brand],
    cause: Cause,
    at: datetime,
    campaign_ids: Sequence[int] | None = None,
) -> list[Applied]:
    """The same for brands that this transaction has locked, which are what they are since."""
    standings = repository.load_of(connection, brands, at, campaign_ids)
    changes = _changes(standings, at)
    repository.apply(connection, changes, at, cause)
    return [change for change in changes if change.holds_before != change.holds_after]


def _changes(standings: Iterable[Standing], at: datetime) -> list[Applied]:
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
            changes.append(change._replace(campaign_id=campaign_id))
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
        holds_after=tuple(hold.value for hold in decision.holds),
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


def edited(work: Callable[[Connection], Result], brand_id: int) -> Result:
    """A person's edit of one brand and its enforcement, in one commit."""
    return edited_then(work, brand_id, lambda _connection, result: result)


def edited_then(
    work: Callable[[Connection], Result], brand_id: int, tell: Callable[[Connection, Result], Told]
) -> Told:
    """The same, and in the same commit what there is to tell after the enforcement."""

    def edit_enforce_tell(connection: Connection) -> tuple[Told, list[Applied]]:
        repository.lock_brands(connection, [brand_id])
        result = work(connection)
        changes = enforce(connection, [brand_id], Cause.EDIT)
        return tell(connection, result), changes

    told, changes = committed(edit_enforce_tell)
    announce(changes, Cause.EDIT)
    return told


def enforce_brands(brand_ids: Iterable[int], cause: Cause) -> list[Applied]:
    """Enforces many brands, some in each transaction; returns the campaigns whose holds changed. See `_apart`."""
    return _apart(((brand_id, None) for brand_id in sorted(set(brand_ids))), cause)


def enforce_campaigns(pairs: Iterable[tuple[int, int]], cause: Cause) -> list[Applied]:
    """Enforces single campaigns, given as (brand, campaign) in brand order, some brands in each transaction."""
    by_brand = itertools.groupby(pairs, key=itemgetter(0))
    return _apart(((brand_id, [campaign_id for _, campaign_id in some]) for brand_id, some in by_brand), cause)


Part = tuple[int, list[int] | None]
"""A brand, and which of its campaigns are meant (None: all)."""


def _apart(parts: Iterable[Part], cause: Cause) -> list[Applied]:
    """Enforces some brands at a time, and each by itself where that fails, so that one holds up no other.

    What fails again is logged. Bad data is left there: it would fail tomorrow too. A fault that passes, such as a lock
    held elsewhere, is raised when all others are done, so that the job is done again.
    """
    passing: list[Exception] = []
    remaining = iter(parts)
    batches = iter(lambda: list(itertools.islice(remaining, BRANDS_A_TRANSACTION)), [])
    changes = side_by_side(partial(_some_apart, cause=cause, passing=passing), batches, AT_ONCE)
    found = list(itertools.chain.from_iterable(changes))
    if passing:
        raise passing[0]
    return found


def _some_apart(some: Sequence[Part], cause: Cause, passing: list[Exception]) -> list[Applied]:
    try:
        return _committed_changes(some, cause, settings().ingest_lock_timeout_ms)
    except (DBAPIError, *PASSING_FAULTS, ArithmeticError, ValueError):
        return [change for part in some for change in _one_by_itself(part, cause, passing)]


def _one_by_itself(part: Part, cause: Cause, passing: list[Exception]) -> list[Applied]:
    brief = settings().ingest_lock_timeout_ms if cause in BY_THE_CLOCK else None
    try:
        return _committed_changes([part], cause, brief)
    except (DBAPIError, *PASSING_FAULTS, ArithmeticError, ValueError) as error:
        if passes(error):
            log.warning("enforcement.postponed", brand_id=part[0], error=type(error).__name__)
            passing.append(error)
        else:
            log.exception("enforcement.failed", brand_id=part[0])
    return []


def _committed_changes(parts: Sequence[Part], cause: Cause, lock_timeout_ms: int | None = None) -> list[Applied]:
    brand_ids = [brand_id for brand_id, _ in parts]
    chosen = None if parts[0][1] is None else [campaign_id for _, some in parts for campaign_id in some or ()]
    changes = committed(partial(enforce, brand_ids=brand_ids, cause=cause, campaign_ids=chosen), lock_timeout_ms)
    announce(changes, cause)
    return changes


Item = TypeVar("Item")


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def announce(changes: Iterable[Applied], cause: Cause) -> None:
    """Logs committed toggles, and each budget that ran out, once however many campaigns it holds."""
    exhausted: dict[tuple[int, int | None, str], dict[str, int]] = {}
    tell = log.bind(cause=str(cause)).info
    for change in changes:
        paused = change.to_status == EffectiveStatus.INACTIVE
        if change.is_toggle:
            tell(
                "campaign.paused" if paused else "campaign.activated",
                brand_id=change.brand_id,
                campaign_id=change.campaign_id,
                holds=list(change.holds_after if paused else change.holds_before),
            )
        for hold, figures in change.details.get("budgets", {}).items():
            if hold in change.holds_after and hold not in change.holds_before:
                campaign_id = change.campaign_id if hold.startswith(Scope.CAMPAIGN) else None
                exhausted[change.brand_id, campaign_id, str(hold)] = figures
    for (brand_id, campaign_id, hold), figures in exhausted.items():
        log.info("budget.exhausted", brand_id=brand_id, campaign_id=campaign_id, hold=hold, **figures)


def toggled(changes: Iterable[Applied]) -> int:
    """How many of the changes are toggles."""
    return sum(change.is_toggle for change in changes)


@dramatiq.actor(broker=broker, queue_name="enforcement")
def evaluate_budgets(brand_ids: list[int]) -> None:
    """Enforces the brands: after an edit made elsewhere, or as one part of a large job."""
    enforce_brands(brand_ids, Cause.EDIT)
