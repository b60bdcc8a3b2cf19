"""The ledger's partitions, one per UTC month: creates the missing ones, drops old ones, and remembers the floor."""

import math
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, text

from db.engine import StaleRead
from db.repository.shared import watermarks
from domain.periods import Period, window_of

# Creates the partition of one month. Returns false if it existed, null if it was dropped earlier: it stays dropped.
ENSURE_MONTH = text("SELECT ensure_ledger_month(:month)")

# The months that have a partition, oldest first.
MONTHS = text("""
    SELECT to_date(right(child.relname, 7), 'YYYY_MM') AS month
    FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'spend_events'::regclass
    ORDER BY month
""")

# Drops the months that end by a day and returns them, oldest first. A role that does not own the tables can only drop
# months older than the retention setting that the last `spendgate migrate` stored.
DROP_MONTHS = text("SELECT drop_ledger_months(:earliest)")

# DROP waits for every reader of the ledger, and counting waits for DROP. On a timeout the job retries tomorrow.
WAIT_BRIEFLY = text("SET LOCAL lock_timeout = '500ms'")

log = structlog.get_logger()

FLOOR = "ledger_floor"
"""The watermark of dropped months. The ledger rejects events before it: it could not recognise duplicates there."""

MONTHS_A_TRANSACTION: Final = 12
"""Partitions created per transaction, so that no transaction creates hundreds of tables."""

FLOOR_CACHE_SECONDS: Final = 60

_known: set[date] = set()
_floors: dict[str, tuple[float, datetime | None]] = {}


def month_of(at: datetime) -> date:
    """The first day of the UTC month of `at`."""
    return at.astimezone(UTC).date().replace(day=1)


def ensure_months(connection: Connection, months: Iterable[date]) -> None:
    """Creates the missing partitions of `months` (first days, UTC). Months seen before by this process cost no query.

    Raises StaleRead if a month was dropped; the next attempt rejects its events by `stored_floor`. Raises StaleRead too
    if more than MONTHS_A_TRANSACTION are missing, so that `committed` first creates them in transactions of their own.
    """
    missing = sorted(set(months) - _known)
    if len(missing) > MONTHS_A_TRANSACTION:
        _known.update(_existing(connection))
        missing = sorted(set(missing) - _known)
    if len(missing) > MONTHS_A_TRANSACTION:
        starts = range(0, len(missing), MONTHS_A_TRANSACTION)
        steps = [partial(_create, months=missing[start : start + MONTHS_A_TRANSACTION]) for start in starts]
        raise StaleRead("many months are missing", first=steps)
    _create(connection, missing)


def _create(connection: Connection, months: Iterable[date]) -> None:
    for month in months:
        is_created = connection.scalar(ENSURE_MONTH, {"month": month})
        if is_created is None:
            clear_ledger_cache()
            raise StaleRead(f"{month:%Y-%m} was dropped from the ledger")
        if not is_created:
            _known.add(month)


def clear_ledger_cache() -> None:
    """Clears this process's caches of months and floor, after partitions were dropped."""
    _known.clear()
    _floors.clear()


def stored_floor(connection: Connection) -> datetime | None:
    """The first instant that the ledger accepts; None if no month was ever dropped.

    Cached for FLOOR_CACHE_SECONDS. If a month is dropped meanwhile, `ensure_months` or the write fails and clears it.
    """
    read_at, known = _floors.get(FLOOR, (-math.inf, None))
    if time.monotonic() - read_at > FLOOR_CACHE_SECONDS:
        known = watermarks.reached(connection, FLOOR)
        _floors[FLOOR] = time.monotonic(), known
    return known


def _existing(connection: Connection) -> list[date]:
    """The months that have a partition, oldest first."""
    return list(connection.scalars(MONTHS))


def floor(at: datetime, retention_months: int) -> datetime:
    """The first instant of a ledger that, at `at`, keeps the current month and `retention_months` before it."""
    place = month_of(at).year * 12 + month_of(at).month - 1 - retention_months
    return datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC)


def drop_months_before(connection: Connection, earliest: datetime) -> list[date]:
    """Drops the partitions of all months before `earliest`, and returns the first days of the dropped months.

    Raises the floor to `earliest`, or to the first older month that it could not drop. Counters keep their figures. A
    role that does not own the tables can only drop months older than the retention stored in the database; months it
    cannot drop are logged. Raises OperationalError after waiting 500 ms for a lock.
    """
    connection.execute(WAIT_BRIEFLY)
    dropped = list(connection.scalars(DROP_MONTHS, {"earliest": earliest.date()}))
    clear_ledger_cache()
    kept = [month for month in _existing(connection) if month < earliest.date()]
    if kept:
        log.warning("ledger.kept", months=[month.isoformat() for month in kept])
    if dropped or not kept:
        watermarks.raise_to(connection, FLOOR, min([earliest, *(_begins(month) for month in kept)]))
    return dropped


def _begins(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def next_month(month: date) -> date:
    """The first day of the following month."""
    end = window_of(Period.MONTHLY, month).end_day
    assert end is not None  # noqa: S101 - a month ends
    return end
