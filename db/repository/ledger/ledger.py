"""The ledger's partitions: one a UTC month."""

import math
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, text

from db.engine import Stale
from db.repository.shared import watermarks
from domain.periods import Period, window_of

# Makes the partition of one month; false where it stood already, null where it was dropped: then it stays so.
ENSURE_MONTH = text("SELECT ensure_ledger_month(:month)")

# The months that have a partition, oldest first.
MONTHS = text("""
    SELECT to_date(right(child.relname, 7), 'YYYY_MM') AS month
    FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'spend_events'::regclass
    ORDER BY month
""")

# Drops whole months that end by a day and returns them, oldest first; of a role that owns nothing, only what the
# retention that the last `spendgate migrate` read lets go.
DROP_MONTHS = text("SELECT drop_ledger_months(:earliest)")

# Dropping waits behind every reader of the ledger, and whoever counts would wait behind that: better tomorrow.
WAIT_BRIEFLY = text("SET LOCAL lock_timeout = '500ms'")

log = structlog.get_logger()

FLOOR = "ledger_floor"
"""The watermark of what was dropped: the ledger holds nothing before it and takes nothing, or it would count twice."""

MONTHS_A_TRANSACTION: Final = 12
"""More partitions than that are made in transactions of their own, so that none makes hundreds of tables."""

FLOOR_REMEMBERED_SECONDS: Final = 60

_known: set[date] = set()
_floors: dict[str, tuple[float, datetime | None]] = {}


def month_of(at: datetime) -> date:
    """The first day of the UTC month of `at`."""
    return at.astimezone(UTC).date().replace(day=1)


def ensure_months(connection: Connection, months: Iterable[date]) -> None:
    """Makes the partitions that are missing. What this process has seen once it does not ask again.

    Raises Stale where one was dropped, which `stored_floor` then says, and where so many are missing that they are made
    first.
    """
    missing = sorted(set(months) - _known)
    if len(missing) > MONTHS_A_TRANSACTION:
        _known.update(_existing(connection))
        missing = sorted(set(missing) - _known)
    if len(missing) > MONTHS_A_TRANSACTION:
        parts = range(0, len(missing), MONTHS_A_TRANSACTION)
        some = [partial(_make, months=missing[first : first + MONTHS_A_TRANSACTION]) for first in parts]
        raise Stale("many months are missing", first=some)
    _make(connection, missing)


def _make(connection: Connection, months: Iterable[date]) -> None:
    for month in months:
        is_made = connection.scalar(ENSURE_MONTH, {"month": month})
        if is_made is None:
            forget_months()
            raise Stale(f"{month:%Y-%m} was dropped from the ledger")
        if not is_made:
            _known.add(month)


def forget_months() -> None:
    """Lets `ensure_months` and `stored_floor` ask anew, after partitions were dropped."""
    _known.clear()
    _floors.clear()


def stored_floor(connection: Connection) -> datetime | None:
    """The first instant that the ledger still takes, after months were dropped; None before any was.

    Remembered for a while: a month dropped since then makes `ensure_months`, or the write, fail and ask anew.
    """
    read_at, known = _floors.get(FLOOR, (-math.inf, None))
    if time.monotonic() - read_at > FLOOR_REMEMBERED_SECONDS:
        known = watermarks.reached(connection, FLOOR)
        _floors[FLOOR] = time.monotonic(), known
    return known


def _existing(connection: Connection) -> list[date]:
    """The months that the ledger has, oldest first."""
    return list(connection.scalars(MONTHS))


def floor(at: datetime, retention_months: int) -> datetime:
    """The first instant that a ledger of so many whole months, and the current one, still holds at `at`."""
    place = month_of(at).year * 12 + month_of(at).month - 1 - retention_months
    return datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC)


def drop_months_before(connection: Connection, earliest: datetime) -> list[date]:
    """Drops every whole month before `earliest` and returns them: what the counters hold of them stays.

    A role that owns nothing drops what the database's own retention lets go, and the rest stays too.
    """
    connection.execute(WAIT_BRIEFLY)
    dropped = list(connection.scalars(DROP_MONTHS, {"earliest": earliest.date()}))
    forget_months()
    left = [month for month in _existing(connection) if month < earliest.date()]
    if left:
        log.warning("ledger.kept", months=[month.isoformat() for month in left])
    if dropped or not left:
        watermarks.raise_to(connection, FLOOR, min([earliest, *(_begins(month) for month in left)]))
    return dropped


def _begins(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def next_month(month: date) -> date:
    """The first day of the month after."""
    end = window_of(Period.MONTHLY, month).end_day
    assert end is not None  # noqa: S101 - a month ends
    return end
