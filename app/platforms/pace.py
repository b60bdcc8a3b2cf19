"""The pace of an account: how long its spend needs to the nearest limit, and so when it is read next."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from db.repository.platforms import limits
from db.repository.platforms.limits import AccountLimit
from db.repository.platforms.spend import AccountCampaign
from db.repository.shared.zones import readable_zones
from domain.periods import day_starts_at
from domain.platform_reads import LimitPace, time_left
from runtime import clock
from runtime.settings import settings

DEADLINES_A_READ: Final = 12
"""Longest time of a read of spend, in deadlines of one request: a login, an answer's pages, and some to spare.

DEADLINES_OF_SPEND in `app/platforms/adapters/meta.py` must be less.
"""


def reading_time() -> timedelta:
    """The longest time, by Spendgate's clock, that one read of spend takes."""
    return clock.passed(DEADLINES_A_READ * settings().platform_deadline_seconds)


def longest_interval() -> timedelta:
    """The longest time between two reads of an account that answers."""
    return timedelta(seconds=settings().platform_read_seconds)


def limits_now(
    connection: Connection, account: int, owners: Iterable[AccountCampaign], at: datetime
) -> list[AccountLimit]:
    """The limits of the account's active campaigns and their brands at `at`, with the spend that is counted so far.

    `owners`: the account's campaigns; leaves out limits of brands in other time zones than theirs.
    """
    return limits.of_account(connection, account, {one.time_zone for one in owners}, at)


def limit_at(
    before: Sequence[AccountLimit], after: Sequence[AccountLimit], last_read_at: datetime | None, at: datetime
) -> datetime | None:
    """When spend reaches the nearest limit at the present rate; None: not within 366 days, or the rate is unknown.

    `before`, `after`: the limits before and after the spend that was read at `at` was counted. `last_read_at`: the read
    before that; None: there was none.
    """
    zones = readable_zones({limit.time_zone for limit in after})
    spent_before = {limit.budget_id: limit.spent_micros for limit in before}
    paces = [
        LimitPace(
            limit_micros=limit.limit_micros,
            spent_micros=limit.spent_micros,
            added_micros=limit.spent_micros - spent_before.get(limit.budget_id, limit.spent_micros),
            window_passed=None
            if limit.first_day == date.min
            else at - day_starts_at(limit.first_day, zones[limit.time_zone]),
            since_release=at - limit.released_at,
        )
        for limit in after
    ]
    left = time_left(paces, None if last_read_at is None else at - last_read_at)
    return None if left is None or left > timedelta(days=366) else at + left
