"""Creates missing partitions of the ledger, drops old ones, and caches the floor, its first accepted instant.

A partition holds a UTC month or day. The database decides which days a partition holds; a process only caches its
answers.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Final, NamedTuple

import structlog
from more_itertools import chunked
from sqlalchemy import Connection, text

from db.failures import StaleRead
from db.local_settings import has_citus
from db.repository.shared import watermarks
from domain.periods import ONE_DAY, Period, window_of

# Creates the partition of a day if it is missing. The first and end day are null if it was dropped: it stays dropped.
ENSURE_PARTITION = text("SELECT is_created, first_day, end_day FROM ensure_ledger_partition(:day)")

# Creates the partition of a day's whole month, unless the month has one or a part of it was dropped.
MAKE_WHOLE_MONTH = text("SELECT make_whole_ledger_month(:month)")

# The partitions, oldest first.
PARTITIONS = text("SELECT first_day, end_day FROM ledger_partitions() ORDER BY first_day")

# Whether new partitions are of days; otherwise they are of months.
IS_BY_DAYS = text("SELECT ledger_partition_kind() = 'day'")

# Drops the partitions that end by a day and returns their first days, oldest first. A role that does not own the tables
# can only drop those older than the retention setting that the last `spendgate migrate` stored.
DROP_PARTITIONS = text("SELECT drop_ledger_months(:earliest)")

# DROP waits for every reader of the ledger, and counting waits for DROP. On a timeout the job retries tomorrow.
WAIT_BRIEFLY = text("SET LOCAL lock_timeout = '500ms'")

log = structlog.get_logger()

FLOOR = "ledger_floor"
"""The name of the watermark up to which partitions were dropped.

Earlier events are rejected, because the ledger could not show that they are duplicates.
"""

PARTITIONS_A_TRANSACTION: Final = 12
"""Partitions created per transaction, so that no transaction creates hundreds of tables."""

DAYS_A_MESSAGE: Final = 62
"""Most days of one message that get a new partition of the configured kind, of a day or a month.

If more of its days have no partition, the earlier ones share partitions of whole months, so that an import of years
does not create a table for each day.
"""

FLOOR_CACHE_SECONDS: Final = 60


class Partition(NamedTuple):
    """The UTC days that one partition holds, from `first_day` to the day before `end_day`."""

    first_day: date
    end_day: date

    @property
    def starts_at(self) -> datetime:
        """The first instant of the partition, in UTC."""
        return _begins(self.first_day)

    @property
    def ends_at(self) -> datetime:
        """The first instant after the partition, in UTC."""
        return _begins(self.end_day)

    def days(self) -> Iterator[date]:
        """Each UTC day that the partition holds, ascending."""
        return (self.first_day + number * ONE_DAY for number in range((self.end_day - self.first_day).days))


def by_day(partitions: Iterable[Partition]) -> dict[date, Partition]:
    """For each UTC day in one of the partitions, that partition."""
    return {day: one for one in partitions for day in one.days()}


_known: dict[date, Partition] = {}
_floors: dict[str, tuple[float, datetime | None]] = {}


def day_of(at: datetime) -> date:
    """The UTC day of `at`."""
    return at.astimezone(UTC).date()


def month_of(at: datetime) -> date:
    """The first day of the UTC month of `at`."""
    return day_of(at).replace(day=1)


def days_in_partitions(moments: Sequence[datetime]) -> set[date]:
    """All UTC days of the moments; one of these days if a single known partition holds all moments."""
    if not moments:
        return set()
    first, last = day_of(min(moments)), day_of(max(moments))
    known = _known.get(first)
    if first == last or (known is not None and last < known.end_day):
        return {first}
    return set(map(day_of, moments))


def ensure_partitions(connection: Connection, days: Iterable[date]) -> set[Partition]:
    """Creates the missing partitions of the UTC `days`; returns the partitions of all. Days seen before cost no query.

    Raises StaleRead if a day was dropped; the next attempt rejects its events by `stored_floor`. Raises StaleRead too
    if more than PARTITIONS_A_TRANSACTION days have no partition, so that `committed` first creates partitions in
    transactions of their own; missing days before the last DAYS_A_MESSAGE then share partitions of whole months. On
    Citus one missing day is enough, because a transaction cannot write to a partition that was created in it.
    """
    wanted = set(days)
    found = {day: known for day in wanted if (known := _known.get(day)) is not None}
    missing = sorted(wanted - found.keys())
    if not missing:
        return set(found.values())
    most = 0 if has_citus(connection) else PARTITIONS_A_TRANSACTION
    if len(missing) > most:
        _known.update(by_day(partitions(connection)))
        found |= {day: known for day in missing if (known := _known.get(day)) is not None}
        missing = sorted(wanted - found.keys())
    if len(missing) > most:
        months = sorted({day.replace(day=1) for day in missing[:-DAYS_A_MESSAGE]})
        steps = [partial(_prepare_months, months=some) for some in chunked(months, PARTITIONS_A_TRANSACTION)]
        steps += [partial(_prepare, days=some) for some in chunked(missing, PARTITIONS_A_TRANSACTION)]
        raise StaleRead("partitions are missing", first=steps)
    return {*found.values(), *_create(connection, missing)}


def _create(connection: Connection, days: Iterable[date]) -> set[Partition]:
    made: dict[date, Partition] = {}
    for day in days:
        if day in made:
            continue
        is_created, first_day, end_day = connection.execute(ENSURE_PARTITION, {"day": day}).one()
        if end_day is None:
            clear_ledger_cache()
            raise StaleRead(f"{day} was dropped from the ledger")
        days_of_it = by_day([Partition(first_day, end_day)])
        made |= days_of_it
        if not is_created:
            _known.update(days_of_it)
    return set(made.values())


def _prepare_months(connection: Connection, months: Iterable[date]) -> None:
    """Creates the partitions of whole months that have none, for the next try of a transaction."""
    for month in months:
        connection.execute(MAKE_WHOLE_MONTH, {"month": month})


def _prepare(connection: Connection, days: Iterable[date]) -> None:
    """Creates partitions for the next try of a transaction, which reads the floor again if one was dropped."""
    for day in days:
        if connection.execute(ENSURE_PARTITION, {"day": day}).one().end_day is None:
            clear_ledger_cache()


def clear_ledger_cache() -> None:
    """Clears this process's caches of partitions and floor, after partitions were dropped or replaced."""
    _known.clear()
    _floors.clear()


def stored_floor(connection: Connection) -> datetime | None:
    """The first instant that the ledger accepts; None if no partition was ever dropped.

    Cached for FLOOR_CACHE_SECONDS. If a partition is dropped meanwhile, `ensure_partitions` or the write of an event
    fails, and the cache is cleared.
    """
    read_at, known = _floors.get(FLOOR, (-math.inf, None))
    if time.monotonic() - read_at > FLOOR_CACHE_SECONDS:
        known = watermarks.reached(connection, FLOOR)
        _floors[FLOOR] = time.monotonic(), known
    return known


def partitions(connection: Connection) -> list[Partition]:
    """The partitions that exist, oldest first."""
    return [Partition(*row) for row in connection.execute(PARTITIONS)]


def is_by_days(connection: Connection) -> bool:
    """Whether new partitions are of days, as the last `spendgate migrate` stored it; otherwise they are of months."""
    return bool(connection.scalar(IS_BY_DAYS))


def floor(at: datetime, retention_months: int) -> datetime:
    """The first instant of a ledger that, at `at`, keeps the current UTC month and `retention_months` before it."""
    place = month_of(at).year * 12 + month_of(at).month - 1 - retention_months
    return datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC)


def retention_floor(at: datetime, months: int | None, days: int | None) -> datetime | None:
    """The first instant of a ledger that, at `at`, keeps the current UTC month and `months` before it.

    If `months` is None: of one that keeps the current UTC day and `days` before it. None if both are None: the ledger
    keeps everything.
    """
    if months is not None:
        return floor(at, months)
    return None if days is None else _begins(day_of(at)) - days * ONE_DAY


def drop_partitions_before(connection: Connection, earliest: datetime) -> list[date]:
    """Drops the partitions that end by `earliest`, a UTC midnight, and returns their first days.

    Raises the floor, before which events are rejected, to `earliest`, or to the start of the first partition that
    remains before it; leaves the floor if it could drop none. Counters keep their figures. A role that does not own the
    tables can only drop partitions older than the retention stored in the database; partitions that it cannot drop are
    logged. Raises OperationalError after waiting 500 ms for a lock.
    """
    connection.execute(WAIT_BRIEFLY)
    dropped = list(connection.scalars(DROP_PARTITIONS, {"earliest": earliest.date()}))
    clear_ledger_cache()
    older = [one for one in partitions(connection) if one.starts_at < earliest]
    kept = [one for one in older if one.ends_at <= earliest]
    if kept:
        log.warning("ledger.kept", partitions=[one.first_day.isoformat() for one in kept])
    if dropped or not kept:
        watermarks.raise_to(connection, FLOOR, min([earliest, *(one.starts_at for one in older)]))
    return dropped


def _begins(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def next_month(month: date) -> date:
    """The first day of the following month."""
    end = window_of(Period.MONTHLY, month).end_day
    assert end is not None  # noqa: S101 - a month ends
    return end
