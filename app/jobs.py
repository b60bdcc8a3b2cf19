"""Periodic jobs. Each finds its due work from rows and watermarks: late, doubled and concurrent runs are harmless."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from app import passes, sequences
from app.enforcement import enforce_brands, enforce_campaigns
from app.proof import recounts
from db.engine import committed, is_held_up, snapshot, transaction
from db.repository.access import access
from db.repository.delivery import suspects
from db.repository.enforcement import headroom, search
from db.repository.enforcement import passes as pass_rows
from db.repository.ledger import ledger
from db.repository.reading import hours
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.causes import Cause
from domain.periods import Period, day_starts_at, local_day, window_of
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

DUE_A_PAGE: Final = 20_000
MONTHS_AHEAD: Final = 3
SUSPECTS_KEPT: Final = timedelta(days=7)
RESETS: Final = {Period.DAILY: ("day.reset", Cause.DAILY_RESET), Period.MONTHLY: ("month.reset", Cause.MONTHLY_RESET)}


@contextmanager
def unless_held_up() -> Iterator[None]:
    """Ends a job early, with a log line, where its rows stay locked by another program: the next run retries."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if not is_held_up(error):
            raise
        log.info("job.held_up", error=type(error).__name__)


def enforce_due(at: datetime) -> int:
    """Enforces every campaign due at `at`, and returns how many it toggled: one that stays due is met once, not for
    ever."""
    return enforce_campaigns(_due(at), Cause.SCHEDULE)


def _due(at: datetime) -> Iterator[tuple[int, int]]:
    after = (0, 0)
    while True:
        with transaction() as connection:
            page = search.due(connection, at, after, DUE_A_PAGE)
        yield from page
        if len(page) < DUE_A_PAGE:
            return
        after = page[-1]


def reset(period: Period, *, everything: bool = False) -> list[int]:
    """Re-evaluates the brands whose local day or month began since the watermark; returns them.

    Nothing is zeroed: a new day has no spend yet. The watermark rises last, so a run that dies is run again.
    """
    event, cause = RESETS[period]
    at = clock.now()
    name = f"{period}_reset"
    with snapshot() as connection:
        since = None if everything else watermarks.reached_by(connection, name, at)
        begun = _begun_zones(search.zones_in_use(connection), period, since, at)
        brand_ids = search.brands_of_zones(connection, begun) if begun else []
        brand_ids = sorted({*brand_ids, *search.brands_unseen(connection)})
    toggles = enforce_brands(brand_ids, cause)
    if brand_ids:
        committed(lambda connection: watermarks.raise_to(connection, name, at))
        log.info(event, brands=len(brand_ids), zones=begun, toggles=toggles)
    return brand_ids


def _begun_zones(names: Sequence[str], period: Period, since: datetime | None, at: datetime) -> list[str]:
    return [
        name
        for name, zone in readable_zones(names).items()
        if since is None or day_starts_at(window_of(period, local_day(at, zone)).first_day, zone) > since
    ]


def refresh(at: datetime) -> int:
    """Enforces the brands that a set-based search finds out of step, goes on with passes, looks for gaps in the numbers
    of sources, and compares counters with the ledger: some brands', and those it would open.

    Returns how many campaigns it toggled.
    """
    with snapshot() as connection:
        zones = search.zones_in_use(connection)
        crossed = search.crossed(connection, zones, at)
        opening = search.opening(connection, zones, at) if crossed else {}
        found = {*crossed, *search.drifted(connection, zones, at)}
        misled = [row["brand_id"] for row in headroom.too_much(connection, zones, at)]
        misremembered = search.misremembered(connection, zones, at)
    if misled:
        committed(lambda connection: headroom.forget(connection, misled))
    if misremembered:
        committed(lambda connection: pass_rows.forget(connection, misremembered))
    sequences.join_runs()
    sequences.tell_gaps(at)
    moved = set[int]()
    toggles = enforce_brands(found - recounts.before_opening(opening), Cause.REFRESH, moved) + passes.go_on_with_all()
    log.info("spend.refreshed", brands_out_of_step=len(moved), toggles=toggles)
    return toggles + enforce_brands(recounts.compare_some(at), Cause.REFRESH)


def roll_up(at: datetime) -> None:
    """Adds what came since the last run to the hours in which it was spent."""
    with snapshot() as connection:
        zones = search.zones_in_use(connection)
    recounted = committed(lambda connection: hours.roll_up(connection, zones, at))
    log.info("hours.rolled_up", days_recounted=recounted)


def maintain(at: datetime) -> None:
    """Forgets what has expired; then keeps MONTHS_AHEAD partitions ready and drops months past
    SPENDGATE_LEDGER_RETENTION_MONTHS, where that is set."""
    committed(lambda connection: access.forget_expired(connection, at))
    committed(lambda connection: suspects.forget(connection, at - SUSPECTS_KEPT))
    months = [ledger.month_of(at)]
    for _ in range(MONTHS_AHEAD):
        months.append(ledger.next_month(months[-1]))
    committed(lambda connection: ledger.ensure_months(connection, months))
    retention = settings().ledger_retention_months
    if retention is not None:
        earliest = ledger.floor(at, retention)
        try:
            dropped = committed(lambda connection: ledger.drop_months_before(connection, earliest))
        except (OperationalError, psycopg.OperationalError):
            log.warning("ledger.busy", earliest=earliest.isoformat())
            return
        log.info("ledger.maintained", dropped=[month.isoformat() for month in dropped])
