"""The ledger's partitions: one a UTC month."""

from collections.abc import Iterable
from datetime import UTC, date, datetime

import structlog
from sqlalchemy import Connection, text

from db.repository import watermarks
from domain.periods import Period, window_of

# Makes the partition of one month; false where it stood already.
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
"""The watermark of what was dropped: the ledger holds nothing before it, so no counter can be checked there."""

_known: set[date] = set()


def month_of(at: datetime) -> date:
    """The first day of the UTC month of `at`."""
    return at.astimezone(UTC).date().replace(day=1)


def ensure_months(connection: Connection, months: Iterable[date]) -> None:
    """Makes the partitions that are missing. What this process has seen once it does not ask again."""
    for month in sorted(set(months) - _known):
        if not connection.scalar(ENSURE_MONTH, {"month": month}):
            _known.add(month)


def forget_months() -> None:
    """Lets `ensure_months` ask anew, after partitions were dropped."""
    _known.clear()


def months(connection: Connection) -> list[date]:
    """The months that the ledger holds, oldest first."""
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
    left = [month for month in months(connection) if month < earliest.date()]
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
