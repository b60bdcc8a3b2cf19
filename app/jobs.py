"""Periodic jobs. Each finds its due work in rows and watermarks, so it may run late, twice or concurrently."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from app import passes, sequences
from app.alerts import prune
from app.batches import in_batches
from app.enforcement import enforce_brands, enforce_campaigns
from app.proof import recounts
from db.engine import committed, snapshot, transaction
from db.failures import is_timeout
from db.repository.access import access
from db.repository.delivery import suspects
from db.repository.enforcement import headroom, search, targets
from db.repository.enforcement import passes as pass_rows
from db.repository.imports import pruning
from db.repository.ledger import ledger
from db.repository.notices import deliveries, endpoint_edits, notices
from db.repository.platforms import confirmations
from db.repository.proof import retention
from db.repository.reading import hours
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.causes import Cause
from domain.periods import ONE_DAY, Period, day_starts_at, local_day, window_of
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

DUE_A_PAGE: Final = 20_000
"""Due campaigns read by one statement."""

MONTHS_AHEAD: Final = 3
"""Partitions of months that the ledger has after the current month."""

DAYS_AHEAD: Final = 10
"""Partitions of days that the ledger has after the current day, if it is partitioned by days."""

SUSPECTS_KEPT: Final = timedelta(days=7)
"""Age at which rows about suspect messages are deleted."""

NOTICES_KEPT: Final = timedelta(days=90)
"""Age at which notices are deleted."""

DELIVERIES_KEPT: Final = timedelta(days=30)
"""Age at which settled deliveries of webhooks and their attempts are deleted."""

RESETS: Final = {Period.DAILY: ("day.reset", Cause.DAILY_RESET), Period.MONTHLY: ("month.reset", Cause.MONTHLY_RESET)}


@contextmanager
def stop_on_timeout() -> Iterator[None]:
    """Ends the block early, and logs it, if its rows stay locked or a statement times out: the next run retries."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if not is_timeout(error):
            raise
        log.info("job.held_up", error=type(error).__name__)


def enforce_due(due_by: datetime) -> int:
    """Enforces each campaign whose `next_change_at` is at or before `due_by`, once; returns how many it toggled.

    `due_by` only selects campaigns; each is decided at the clock's time after its brand was locked.
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
    """Enforces the brands whose local day or month (`period`) began since the last reset; returns their ids.

    Also enforces brands with a campaign that was never enforced. `everything`: all brands. No counter is set to zero:
    the new day has no spend yet. The watermark moves after enforcement, so a run that crashes is repeated.
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

    Clears wrong stored headrooms and holds; joins sequence numbers and logs their gaps; enforces brands whose
    campaigns differ from the rules; continues all passes; compares counters with the ledger, of the brands that are due
    today and of those that enforcement would open. An error in one of these parts, such as a brand's lock timeout, is
    raised after all of them.
    """
    changed = set[int]()

    def enforce_compared() -> int:
        return enforce_brands(recounts.compare_due_brands(at), Cause.REFRESH)

    repaired, failed = _each(partial(_repair, at, changed), passes.continue_all_passes)
    log.info("spend.refreshed", brands_out_of_step=len(changed), toggles=repaired)
    compared, also_failed = _each(enforce_compared)
    for error in (*failed, *also_failed):
        raise error
    return repaired + compared


def _each(*parts: Callable[[], int]) -> tuple[int, list[Exception]]:
    """Runs each part although others fail; returns the sum of their results, and the errors."""
    total, errors = 0, list[Exception]()
    for part in parts:
        try:
            total += part()
        except Exception as error:  # noqa: BLE001 - raised by the caller after the other parts
            errors.append(error)
    return total, errors


def _repair(at: datetime, changed: set[int]) -> int:
    """Clears wrong stored facts, and enforces brands whose campaigns differ from the rules; returns the toggles.

    Adds the brands with a campaign whose holds changed to `changed`.
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
    toggles, failed = _each(
        partial(enforce_brands, out_of_step - not_compared, Cause.REFRESH, changed),
        partial(enforce_campaigns, not_opened, Cause.REFRESH, changed),
    )
    for error in failed:
        raise error
    return toggles


def roll_up(at: datetime) -> None:
    """Adds spend received since the last run to `brand_hours`, by the local hour in which it occurred."""
    with snapshot() as connection:
        zones = targets.zones_in_use(connection)
    recounted = committed(lambda connection: hours.roll_up(connection, zones, at))
    log.info("hours.rolled_up", days_recounted=recounted)


def maintain(at: datetime) -> None:
    """Deletes expired rows, creates coming partitions of the ledger, drops those past retention.

    Expired are sessions, suspects, notices, deliveries, alerts, rejected inputs and audit entries past their retention,
    and days of imports that no undo can need any more.

    Partitions are dropped only if SPENDGATE_LEDGER_RETENTION_MONTHS or SPENDGATE_LEDGER_RETENTION_DAYS is set; a locked
    ledger is logged, for the next run.
    Partitions come first, and a step that fails or times out stops no other step. Raises the first error at the end.
    """
    steps = (
        partial(_ensure_coming, at),
        partial(_drop_partitions, at),
        partial(_forget_access, at),
        partial(_forget_notices, at),
        partial(prune.forget_old, at),
        _forget_histories,
        _forget_before_floor,
    )
    _, failed = _each(*(partial(_held_up, step) for step in steps))
    for error in failed:
        raise error


def _held_up(step: Callable[[], object]) -> int:
    """Runs a step of maintenance; a timeout is logged, and the next night continues it. Returns 0."""
    with stop_on_timeout():
        step()
    return 0


def _ensure_coming(at: datetime) -> None:
    """Creates the partitions of this month and MONTHS_AHEAD more, or of this day and DAYS_AHEAD more."""
    with snapshot() as connection:
        is_by_days = ledger.is_by_days(connection)
    today = ledger.day_of(at)
    if is_by_days:
        coming = [today + number * ONE_DAY for number in range(DAYS_AHEAD + 1)]
    else:
        coming = [today]
        for _ in range(MONTHS_AHEAD):
            coming.append(ledger.next_month(coming[-1]))
    committed(lambda connection: ledger.ensure_partitions(connection, coming))


def _drop_partitions(at: datetime) -> None:
    earliest = ledger.retention_floor(at, settings().ledger_retention_months, settings().ledger_retention_days)
    if earliest is None:
        return
    try:
        dropped = committed(lambda connection: ledger.drop_partitions_before(connection, earliest))
    except (OperationalError, psycopg.OperationalError):
        log.warning("ledger.busy", earliest=earliest.isoformat())
    else:
        log.info("ledger.maintained", dropped=[day.isoformat() for day in dropped])


def _forget_access(at: datetime) -> None:
    committed(lambda connection: access.forget_expired(connection, at))
    committed(lambda connection: suspects.forget(connection, at - SUSPECTS_KEPT))


def _forget_before_floor() -> None:
    """Deletes confirmations whose spend the ledger has dropped, and days of imports that no undo can need any more."""
    with snapshot() as connection:
        stored = ledger.stored_floor(connection)
    if stored is not None:
        in_batches(partial(confirmations.forget, floor=stored))
    _prune_imports(stored)


def _forget_histories() -> None:
    """Deletes rejected inputs and audit entries past their retention, one transaction a batch."""
    for history in retention.FORGETTABLE:
        rows = in_batches(partial(retention.forget, history=history))
        if rows:
            log.info("history.forgotten", history=history, rows=rows)


def _forget_notices(at: datetime) -> None:
    """Deletes old notices and deliveries of webhooks, and secrets whose time to sign has ended."""
    in_batches(partial(deliveries.prune, before=at - DELIVERIES_KEPT))
    in_batches(partial(notices.forget, before=at - NOTICES_KEPT))
    committed(lambda connection: endpoint_edits.forget_old_secrets(connection, at))


def _prune_imports(stored: datetime | None) -> None:
    """Deletes the days of imports that no undo can need any more, one transaction a batch.

    `stored`: the moment before which the ledger has dropped its events; None: it has them all.
    """
    with snapshot() as connection:
        brand_ids = pruning.brands(connection)
    # A brand's day may begin before the day in UTC.
    floor = None if stored is None else stored.date() - ONE_DAY
    pruned = sum(in_batches(partial(pruning.prune, brand_id=brand_id, floor=floor)) for brand_id in brand_ids)
    if pruned:
        log.info("imports.pruned", days=pruned)
