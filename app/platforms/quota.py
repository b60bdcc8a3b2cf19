"""Counts operations on platforms, to stay within their quotas of 24 sliding hours; keeps a part for pauses."""

from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from app.platforms.registry import ADAPTERS
from db.engine import committed, transaction
from db.repository.platforms import connections, operations
from db.repository.platforms.connections import StoredConnection
from domain.platform_reads import PERCENT_FOR_PAUSES, READ_SPANS, operations_for_reads
from runtime import clock


def daily_limit(platform: str) -> int | None:
    """The operations in 24 sliding hours that all accounts on the platform share; None: no such quota."""
    adapter = ADAPTERS.get(platform)
    return adapter.operations_a_day if adapter else None


def reserve(platform: str, count: int) -> bool:
    """Books reads before they are sent; returns False, and books nothing, if only the part kept for pauses is left."""
    return _reserve(platform, count, reads=count, for_pauses=False)


def reserve_of_pauses(platform: str) -> bool:
    """Books a read that shows whether a pause was carried out, if the quota allows it; returns whether it did.

    The read may use the part of the quota that is kept for pauses.
    """
    return _reserve(platform, 1, reads=1, for_pauses=True)


def reserve_changes(platform: str, count: int, *, for_pauses: bool) -> bool:
    """Books changes of campaigns before they are sent, if the quota allows them; returns whether it did.

    `for_pauses`: they are pauses, which may use the part of the quota that is kept for pauses.
    """
    return _reserve(platform, count, reads=0, for_pauses=for_pauses)


def give_back(platform: str, count: int) -> None:
    """Subtracts booked changes that never reached the platform from the present minute, if it has that many booked."""
    if daily_limit(platform) is not None:
        committed(partial(operations.give_back, pool=platform, operations=count, at=clock.now()))


def _reserve(platform: str, count: int, *, reads: int, for_pauses: bool) -> bool:
    limit = daily_limit(platform)
    if limit is None:
        return True
    allowed, at = _allowed(limit, for_pauses=for_pauses), clock.now()
    return committed(partial(operations.reserve, pool=platform, operations=count, reads=reads, limit=allowed, at=at))


def changes_left(platform: str, most: int, *, for_pauses: bool) -> int:
    """How many changes the quota allows now, at most `most`.

    `for_pauses`: counts the part of the quota that is kept for pauses too.
    """
    limit = daily_limit(platform)
    if limit is None:
        return most
    with transaction() as connection:
        used = operations.used(connection, platform, clock.now())
    return max(min(_allowed(limit, for_pauses=for_pauses) - used, most), 0)


def _allowed(limit: int, *, for_pauses: bool) -> int:
    return limit if for_pauses else limit * (100 - PERCENT_FOR_PAUSES) // 100


def reads_left(connection: Connection, platform: str, at: datetime) -> int | None:
    """How many reads the platform's quota allows at `at`; None: any number."""
    limit = daily_limit(platform)
    if limit is None:
        return None
    reads_in = {span: operations.reads_in(connection, platform, at, span) for span in READ_SPANS}
    return operations_for_reads(limit, operations.used(connection, platform, at), reads_in)


def note_usage(stored: StoredConnection) -> None:
    """Stores the used percentage of the account's quota, if the platform has just reported it.

    The interval between reads depends on it.
    """
    adapter = ADAPTERS.get(stored.platform)
    percent = adapter.take_usage(stored.account_id or "") if adapter else None
    if percent is not None:
        committed(partial(connections.note_usage, account=stored.id, percent=percent, at=clock.now()))
