"""Operations on platforms within their daily quotas: a ledger of 24 sliding hours, with a part kept for pauses."""

from datetime import timedelta
from typing import Final

from db.engine import committed
from db.repository.platforms import operations
from runtime import clock
from runtime.settings import settings

KEPT_FOR_PAUSES: Final = 10
"""Percent of a quota that only pauses may use."""

KEPT_FOR_CHANGES: Final = 20
"""Percent of the rest that is left to changes when reads are spread over the day."""

READS_A_ROUND: Final = 2
"""Operations with which one account is read once: spend and statuses."""

DAY: Final = timedelta(days=1)


def daily_limit(platform: str) -> int | None:
    """The operations in 24 sliding hours that all accounts on the platform share; None: no such quota."""
    return settings().google_ads_operations_a_day if platform == "google_ads" else None


def reserve(platform: str, count: int, *, for_pauses: bool = False) -> bool:
    """Books operations before they are sent; returns whether the quota allows them."""
    limit = daily_limit(platform)
    if limit is None:
        return True
    allowed = limit if for_pauses else limit * (100 - KEPT_FOR_PAUSES) // 100
    at = clock.now()
    return committed(lambda connection: operations.reserve(connection, platform, count, allowed, at))


def read_interval(accounts: int, limit: int | None) -> timedelta:
    """The time between two reads of one account, so that the reads of all accounts fit into the quota.

    At least that of the setting.
    """
    least = timedelta(seconds=settings().platform_read_seconds)
    if limit is None:
        return least
    for_reads = limit * (100 - KEPT_FOR_PAUSES) * (100 - KEPT_FOR_CHANGES) // 10_000
    return max(least, DAY * accounts * READS_A_ROUND / max(for_reads, 1))
