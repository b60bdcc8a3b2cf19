"""Counters compared with the ledger, and made anew from it.

The sweep raises a counter that is too low at once, before it opens anything: too low a counter opens campaigns that are
exhausted. One that is too high only keeps campaigns closed; it may also mean that rows of the ledger are gone, and a
counter must not follow them. The sweep says so in the log, and `spendgate repair` lowers it when a person asks for it.
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

from app.proof.verification import counters_unlike, kept_since
from db.engine import committed, is_held_up, snapshot
from db.repository.enforcement import headroom, search
from db.repository.enforcement.enforcement import lock_brands
from db.repository.proof import corrections, recount
from db.repository.proof.corrections import Correction
from db.repository.proof.recount import Recounted
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.periods import ONE_DAY
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

COMPARED: Final = "counters_compared"
A_DAY: Final = timedelta(days=1)
SECONDS_A_RUN: Final = 10.0
"""For how long one sweep compares counters; the brands that are left are compared by the next ones."""

SWEEP: Final = "sweep"


class Counters(NamedTuple):
    """Counters that were wrong: those that were corrected, and those that were left as they are."""

    corrected: list[Recounted]
    left: list[Recounted]


def before_opening(opening: Mapping[int, date]) -> set[int]:
    """Raises the counters that would open campaigns though the ledger says more was spent.

    `opening`: the first day that matters, by brand. Returns the brands that could not be compared, because they are
    locked or too large: they stay closed for now.
    """
    return {brand_id for brand_id, first_day in opening.items() if _compared(brand_id, first_day - ONE_DAY) is None}


def compare_some(at: datetime) -> set[int]:
    """Compares each brand's counters once a day: those of the brands whose second of the day came since the last run.

    Returns the brands of which a counter was raised, for enforcement.
    """
    with snapshot() as connection:
        since = max(watermarks.reached_by(connection, COMPARED, at) or at - A_DAY, at - A_DAY)
        due = search.to_compare(connection, since, at)
    deadline = time.monotonic() + SECONDS_A_RUN
    raised, reached = set[int](), since
    for brand_id, came_at in due:
        if time.monotonic() > deadline:
            break
        raised |= {brand_id} if _compared(brand_id) else set()
        reached = came_at
    else:
        reached = at
    committed(lambda connection: watermarks.raise_to(connection, COMPARED, reached))
    return raised


def _compared(brand_id: int, after: date | None = None) -> list[Recounted] | None:
    """Compares the brand's counters of the days after `after`, and raises those that are too low; which.

    None: the brand is locked, or too large to be compared in time.
    """
    try:
        with snapshot() as connection:
            days = [day for day in (kept_since(connection), after) if day is not None]
            unlike = list(counters_unlike(connection, max(days, default=None), None, brand_id))
            is_right = not unlike and not recount.has_brand_days_unlike(connection, brand_id)
        if is_right:
            return []
        keys = [(row.campaign_id, row.day) for row in unlike]
        counters = committed(partial(_raised, brand_id=brand_id, keys=keys), settings().ingest_lock_timeout_ms)
    except (DBAPIError, psycopg.Error) as error:
        if not is_held_up(error):
            raise
        log.info("counter.not_compared", brand_id=brand_id, error=type(error).__name__)
        return None
    _tell(brand_id, counters)
    return counters.corrected


def _raised(connection: Connection, brand_id: int, keys: Sequence[tuple[int, date]]) -> Counters:
    zones = readable_zones([recount.zone_of(connection, brand_id) or ""])
    if not zones:
        return Counters([], [])
    (zone,) = zones.values()
    counters = recounted(connection, brand_id, zone, keys, only_up=True)
    if counters.corrected:
        lock_brands(connection, [brand_id])
        headroom.forget(connection, [brand_id])
        corrections.add(connection, corrections_of(brand_id, counters.corrected), SWEEP, clock.now())
    return counters


def recounted(
    connection: Connection, brand_id: int, zone: ZoneInfo, keys: Sequence[tuple[int, date]], *, only_up: bool = False
) -> Counters:
    """Sets the counters of (campaign, day) pairs to the ledger's sums, and the brand's days to their campaigns' sums.

    Takes the locks of counting, in its order: the caller may lock the brand afterwards, not before. `only_up`: leaves
    counters that are higher than they should be.
    """

    def is_corrected(one: Recounted) -> bool:
        return not only_up or one.counter_micros < one.right_micros

    of_campaigns = recount.campaign_days(connection, brand_id, zone, keys)
    recount.set_campaign_days(connection, brand_id, list(filter(is_corrected, of_campaigns)))
    of_brand = _without_excess(recount.brand_days(connection, brand_id), filterfalse(is_corrected, of_campaigns))
    recount.set_brand_days(connection, brand_id, list(filter(is_corrected, of_brand)))
    found = [*of_campaigns, *of_brand]
    return Counters(list(filter(is_corrected, found)), [one for one in found if not is_corrected(one)])


def _without_excess(of_brand: Sequence[Recounted], left: Iterable[Recounted]) -> list[Recounted]:
    """The brand's counters beside what its campaigns' should add up to: some of those were left too high."""
    excess: Counter[date] = Counter()
    for one in left:
        excess[one.day] += one.counter_micros - one.right_micros
    found = [one._replace(right_micros=one.right_micros - excess[one.day]) for one in of_brand]
    return [one for one in found if one.counter_micros != one.right_micros]


def corrections_of(brand_id: int, counters: Sequence[Recounted]) -> list[Correction]:
    """What was corrected of counters, to be kept."""
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


def _tell(brand_id: int, counters: Counters) -> None:
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
