"""Compares counters with the ledger's sums, and corrects them.

The refresh job raises counters that are too low before it opens any campaign, because they would open exhausted
campaigns. It only logs a counter that is too high: that one keeps campaigns closed at worst, and may show that rows of
the ledger were lost. `spendgate repair` lowers such a counter when a person runs it.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from itertools import filterfalse
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.proof.verification import differences, kept_since, wrong_campaign_days
from db.engine import committed, snapshot
from db.failures import is_timeout, is_transient
from db.repository.enforcement import headroom, targets
from db.repository.enforcement.facts import lock_brands
from db.repository.proof import corrections, recount
from db.repository.proof.corrections import Correction
from db.repository.proof.recount import Recounted
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.holds import of_budgets
from domain.periods import LIFETIME, ONE_DAY
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

COMPARED: Final = "counters_compared"
A_DAY: Final = timedelta(days=1)
SECONDS_A_RUN: Final = 10.0
"""Seconds after which one run starts no further comparison; the next run continues with the remaining brands."""

SWEEP: Final = "sweep"
"""The author of the corrections that the refresh job makes."""


class WrongCounters(NamedTuple):
    """Counters that differ from the ledger: those that were corrected, and those that were left unchanged."""

    corrected: list[Recounted]
    left: list[Recounted]


def raise_before_opening(opening: Mapping[int, date]) -> set[int]:
    """Raises counters that are too low, of brands whose campaigns are about to open.

    `opening`: by brand id, the first day whose spend decides. Returns the brands whose counters could not be compared,
    because they are locked, too large or have faulty data; the caller must not open their campaigns now.
    """
    return {brand_id for brand_id, first in opening.items() if _raise_low(brand_id, _day_before(first)) is None}


def without_openings(brand_ids: Iterable[int], at: datetime) -> list[tuple[int, int]]:
    """The campaigns of these brands that differ from the rules, without those on which a budget's hold would be lifted.

    As (brand id, campaign id), sorted by brand: these may be enforced although the counters could not be compared.
    """
    with snapshot() as connection:
        return [
            (brand_id, one.standing.campaign_id)
            for brand_id in sorted(brand_ids)
            for one in differences(connection, at, brand_id)
            if of_budgets(one.standing.row.holds) <= of_budgets(one.decision.holds)
        ]


def _day_before(first_day: date) -> date | None:
    """The day before a window; None for a lifetime, whose window begins with the first date there is."""
    return None if first_day == LIFETIME.first_day else first_day - ONE_DAY


def compare_due_brands(at: datetime) -> set[int]:
    """Compares the counters of the brands that are due with the ledger, and raises counters that are too low.

    Each brand has its second of the day, and is due in the first run after it. Starts no comparison after
    SECONDS_A_RUN; the next run does the rest. Warns of a brand that could not be compared. Returns the brands of which
    a counter was raised, for enforcement.
    """
    with snapshot() as connection:
        since = max(watermarks.reached_by(connection, COMPARED, at) or at - A_DAY, at - A_DAY)
        due = targets.to_compare(connection, since, at)
    deadline = time.monotonic() + SECONDS_A_RUN
    raised, reached = set[int](), since
    for brand_id, came_at in due:
        if time.monotonic() > deadline:
            break
        counters = _raise_low(brand_id)
        if counters is None:
            log.warning("counter.overdue", brand_id=brand_id)
        raised |= {brand_id} if counters else set()
        reached = came_at
    else:
        reached = at
    committed(lambda connection: watermarks.raise_to(connection, COMPARED, reached, at))
    return raised


def _raise_low(brand_id: int, after: date | None = None) -> list[Recounted] | None:
    """Raises the brand's counters that are too low, of days after `after` (None: all days); logs all wrong counters.

    Returns the raised counters; None if the brand is locked, its comparison timed out, or a fault of its data stops the
    comparison. Raises transient errors other than timeouts, which concern all brands.
    """
    try:
        counters = _compared(brand_id, after)
    except Exception as error:
        if isinstance(error, (DBAPIError, psycopg.Error)) and is_timeout(error):
            log.info("counter.not_compared", brand_id=brand_id, error=type(error).__name__)
        elif is_transient(error):
            raise
        else:
            log.exception("counter.comparison_failed", brand_id=brand_id)
        return None
    _log_wrong(brand_id, counters)
    return counters.corrected


def _compared(brand_id: int, after: date | None) -> WrongCounters:
    """Raises the brand's counters that are too low, of days after `after` (None: all); returns all wrong counters.

    Compares month by month if one statement cannot read all days before it times out.
    """
    with snapshot() as connection:
        days = [day for day in (kept_since(connection), after) if day is not None]
        is_right = not recount.has_mismatched_brand_days(connection, brand_id)
    floor = max(days, default=None)
    try:
        keys = _wrong_days(brand_id, floor, None)
    except (DBAPIError, psycopg.Error) as error:
        months = _months(brand_id, floor) if is_timeout(error) else []
        if not months:
            raise
        keys = [key for part in months for key in _wrong_days(brand_id, *part)]
    if is_right and not keys:
        return WrongCounters([], [])
    return committed(partial(_recount_up, brand_id=brand_id, keys=keys), settings().ingest_lock_timeout_ms)


def _months(brand_id: int, after: date | None) -> list[tuple[date | None, date | None]]:
    """The days after `after` (None: all days) in parts, each after a day and up to a day, that begin with a month.

    Empty if the brand has counters of one month at most.
    """
    with snapshot() as connection:
        ends = [month - ONE_DAY for month in recount.months_counted(connection, brand_id, after)[1:]]
    return list(zip([after, *ends], [*ends, None], strict=True)) if ends else []


def _wrong_days(brand_id: int, after: date | None, up_to: date | None) -> list[tuple[int, date]]:
    """The (campaign id, day) pairs of the brand whose counters are wrong, after `after` and up to `up_to`."""
    with snapshot() as connection:
        return [(row.campaign_id, row.day) for row in wrong_campaign_days(connection, after, None, brand_id, up_to)]


def _recount_up(connection: Connection, brand_id: int, keys: Sequence[tuple[int, date]]) -> WrongCounters:
    zones = readable_zones([recount.zone_of(connection, brand_id) or ""])
    if not zones:
        return WrongCounters([], [])
    (zone,) = zones.values()
    counters = recount_days(connection, brand_id, zone, keys, only_up=True)
    if counters.corrected:
        lock_brands(connection, [brand_id])
        headroom.forget(connection, [brand_id])
        corrections.add(connection, corrections_of(brand_id, counters.corrected), SWEEP, clock.now())
    return counters


def recount_days(
    connection: Connection, brand_id: int, zone: ZoneInfo, keys: Sequence[tuple[int, date]], *, only_up: bool = False
) -> WrongCounters:
    """Sets the counters of (campaign id, day) pairs to the ledger's sums, and brand days to their campaigns' sums.

    Returns the counters that were wrong: those corrected, and those left unchanged. `only_up`: leaves counters that are
    too high unchanged. Locks the counters in the order in which ingest locks them, so the caller may lock the brand
    afterwards but not before.
    """

    def is_corrected(one: Recounted) -> bool:
        return not only_up or one.counter_micros < one.right_micros

    of_campaigns = recount.campaign_days(connection, brand_id, zone, keys)
    recount.set_campaign_days(connection, brand_id, list(filter(is_corrected, of_campaigns)))
    of_brand = _without_excess(recount.brand_days(connection, brand_id), filterfalse(is_corrected, of_campaigns))
    recount.set_brand_days(connection, brand_id, list(filter(is_corrected, of_brand)))
    wrong = [*of_campaigns, *of_brand]
    return WrongCounters(list(filter(is_corrected, wrong)), [one for one in wrong if not is_corrected(one)])


def _without_excess(of_brand: Sequence[Recounted], left: Iterable[Recounted]) -> list[Recounted]:
    """The wrong counters of the brand's days, with the excess of campaigns' counters that were left too high removed.

    `of_brand`: brand days compared with the sum of their campaigns' counters. `left`: campaign days left too high.
    """
    excess: Counter[date] = Counter()
    for one in left:
        excess[one.day] += one.counter_micros - one.right_micros
    adjusted = [one._replace(right_micros=one.right_micros - excess[one.day]) for one in of_brand]
    return [one for one in adjusted if one.counter_micros != one.right_micros]


def corrections_of(brand_id: int, counters: Sequence[Recounted]) -> list[Correction]:
    """The rows to store about corrected counters: the old and the new micros of each counter."""
    return [
        Correction(
            brand_id,
            "brand_day" if one.campaign_id is None else "campaign_day",
            {"campaign_id": one.campaign_id, "day": one.day.isoformat()},
            {"spent_micros": one.counter_micros},
            {"spent_micros": one.right_micros},
        )
        for one in counters
    ]


def _log_wrong(brand_id: int, counters: WrongCounters) -> None:
    for one in (*counters.corrected, *counters.left):
        log.error(
            "counter.wrong",
            brand_id=brand_id,
            campaign_id=one.campaign_id,
            day=one.day.isoformat(),
            counter_micros=one.counter_micros,
            right_micros=one.right_micros,
            corrected=one in counters.corrected,
        )
