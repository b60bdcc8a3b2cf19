"""Periodic jobs: enforce due campaigns and new days or months, repair errors, and sum spend up by hours.

The nightly job is `app.maintenance`. Each job finds its due work in rows and watermarks, so it may run late, twice or
concurrently.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from app import passes, sequences
from app.enforcement import enforce_brands, enforce_campaigns
from app.job_steps import run_each
from app.proof import recounts
from db.engine import committed, snapshot, transaction
from db.repository.enforcement import headroom, search, targets
from db.repository.enforcement import passes as pass_rows
from db.repository.reading import hours
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.causes import Cause
from domain.periods import Period, day_starts_at, local_day, window_of
from runtime import clock

log = structlog.get_logger()

DUE_A_PAGE: Final = 20_000
"""Due campaigns that one statement reads, at most."""

RESETS: Final = {Period.DAILY: ("day.reset", Cause.DAILY_RESET), Period.MONTHLY: ("month.reset", Cause.MONTHLY_RESET)}


def enforce_due(due_by: datetime) -> int:
    """Enforces each campaign whose `next_change_at` is at or before `due_by`, or that was never enforced, once.

    Returns how many campaigns it toggled. `due_by` only selects campaigns; each is decided at the clock's time after
    its brand was locked.
    """
    return enforce_campaigns(_due(due_by), Cause.SCHEDULE)


def _due(due_by: datetime) -> Iterator[tuple[int, int]]:
    after = (0, 0)
    while True:
        with transaction() as connection:
            page = targets.due(connection, due_by, after, DUE_A_PAGE)
        yield from page
        if len(page) < DUE_A_PAGE:
            return
        after = page[-1]


def reset(period: Period, *, everything: bool = False) -> list[int]:
    """Enforces the brands whose local day or month (`period`) began since the last reset.

    Also enforces brands with a campaign that was never enforced. Returns the ids of the enforced brands. `period`:
    DAILY or MONTHLY. `everything`: enforces all brands. No counter is set to zero: the new day has no spend yet. The
    watermark moves after enforcement, so a run that crashes is repeated.
    """
    event, cause = RESETS[period]
    at = clock.now()
    name = f"{period}_reset"
    with snapshot() as connection:
        since = None if everything else watermarks.reached_by(connection, name, at)
        zones = _zones_with_new_period(targets.zones_in_use(connection), period, since, at)
        brand_ids = targets.brands_of_zones(connection, zones) if zones else []
        brand_ids = sorted({*brand_ids, *targets.brands_never_enforced(connection)})
    toggles = enforce_brands(brand_ids, cause)
    if brand_ids:
        committed(lambda connection: watermarks.raise_to(connection, name, at))
        log.info(event, brands=len(brand_ids), zones=zones, toggles=toggles)
    return brand_ids


def _zones_with_new_period(names: Sequence[str], period: Period, since: datetime | None, at: datetime) -> list[str]:
    return [
        name
        for name, zone in readable_zones(names).items()
        if since is None or day_starts_at(window_of(period, local_day(at, zone)).first_day, zone) > since
    ]


def refresh(at: datetime) -> int:
    """Searches for errors and repairs them; returns how many campaigns it toggled.

    First clears stored headrooms that are too large and wrong stored budget holds of brands, joins sequence numbers
    and logs their gaps, and enforces brands whose campaigns differ from the rules; before it releases campaigns, it
    raises counters of their brands that are too low. Second, continues all passes (enforcements of large brands in
    parts). Third, compares the counters of the brands that are due with the ledger: each brand once a day. An error in
    one of these three parts, such as a lock timeout, is raised after all three.
    """
    changed = set[int]()

    def enforce_compared() -> int:
        return enforce_brands(recounts.compare_due_brands(at), Cause.REFRESH)

    repaired, failed = run_each(partial(_repair, at, changed), passes.continue_all_passes)
    log.info("spend.refreshed", brands_out_of_step=len(changed), toggles=repaired)
    compared, also_failed = run_each(enforce_compared)
    for error in (*failed, *also_failed):
        raise error
    return repaired + compared


def _repair(at: datetime, changed: set[int]) -> int:
    """Clears wrong stored headrooms and budget holds, then enforces brands whose campaigns differ from the rules.

    Returns the number of toggled campaigns, and adds the brands with a campaign whose holds changed to `changed`. In
    between, joins sequence numbers, logs their gaps, and raises counters that are too low before campaigns open.
    """
    with snapshot() as connection:
        zones = targets.zones_in_use(connection)
        crossed = search.crossed(connection, zones, at)
        opening = search.opening(connection, zones, at) if crossed else {}
        out_of_step = {*crossed, *search.drifted(connection, zones, at)}
        wrong_headrooms = [row["brand_id"] for row in headroom.overstated(connection, zones, at)]
        wrong_holds = search.brands_with_wrong_kept_holds(connection, zones, at)
    if wrong_headrooms:
        committed(lambda connection: headroom.forget(connection, wrong_headrooms))
    if wrong_holds:
        committed(lambda connection: pass_rows.forget(connection, wrong_holds))
    sequences.join_runs()
    sequences.log_gaps(at)
    not_compared = recounts.raise_before_opening(opening)
    not_opened = recounts.without_openings(out_of_step & not_compared, at)
    toggles, failed = run_each(
        partial(enforce_brands, out_of_step - not_compared, Cause.REFRESH, changed),
        partial(enforce_campaigns, not_opened, Cause.REFRESH, changed),
    )
    for error in failed:
        raise error
    return toggles


def roll_up(at: datetime) -> None:
    """Adds spend received since the last run to `brand_hours`, by local hour, and recounts days that may be wrong."""
    with snapshot() as connection:
        zones = targets.zones_in_use(connection)
    recounted = committed(lambda connection: hours.roll_up(connection, zones, at))
    log.info("hours.rolled_up", days_recounted=recounted)
