"""When an account on a platform is read: the nearer a limit is, the sooner; all reads within a quota of operations."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

SHORTEST: Final = timedelta(minutes=1)
"""Shortest interval between two reads of spend. Platforms add up spend no faster than this."""

READS_AHEAD: Final = 5
"""The interval is this part of the time left until a limit, so that some reads fall into that time."""

HELD_STATUSES: Final = timedelta(minutes=5)
"""Interval between reads of statuses while Spendgate keeps a campaign paused, which somebody may enable there."""

OTHER_STATUSES: Final = timedelta(minutes=15)
"""Interval between reads of statuses in other accounts. They are also read before each change."""

FIRST_RETRY: Final = timedelta(seconds=30)
"""Time until a request is tried again after its first failure."""

KEPT_FOR_PAUSES: Final = 10
"""Percent of a quota that only pauses may use."""

KEPT_FOR_CHANGES: Final = 20
"""Percent of the rest that reads of every hour leave to changes."""

SPARING_PERCENT: Final = 50
STOPPING_PERCENT: Final = 100 - KEPT_FOR_PAUSES
"""Percent of a quota, as the platform reports its use, from which on reads are spaced out, and not made at all."""

STATUSES_PATIENCE: Final = 12
"""Where operations are short, reads of statuses count as overdue by a 12th of reads of spend, which decide more."""

_MICROSECOND: Final = timedelta(microseconds=1)


class LimitPace(NamedTuple):
    """A limit and the spend in its current window, in micros.

    `added_micros`: spent since the last read. `window_passed`: the time since the window began; None: unknown.
    """

    limit_micros: int
    spent_micros: int
    added_micros: int
    window_passed: timedelta | None


def time_left(limits: Iterable[LimitPace], since_read: timedelta | None) -> timedelta | None:
    """The time until spend reaches the nearest limit that is not reached yet; None if it nears none.

    `since_read`: since the last read; None: there was none. A limit's rate is the higher of those since then and since
    its window began: reports come late and in steps, so that the first alone would be zero in between.
    """
    left = (_time_left(limit, since_read) for limit in limits if limit.spent_micros < limit.limit_micros)
    return min((one for one in left if one is not None), default=None)


def _time_left(limit: LimitPace, since_read: timedelta | None) -> timedelta | None:
    left_micros = limit.limit_micros - limit.spent_micros
    known = [passed for passed in (since_read, limit.window_passed) if passed is not None]
    paces = [(limit.spent_micros, limit.window_passed)]
    if since_read is not None:
        paces.append((limit.added_micros, min(known)))
    times = [
        min(left_micros * (passed // _MICROSECOND) // micros, timedelta.max // _MICROSECOND)
        for micros, passed in paces
        if micros > 0 and passed is not None and passed > timedelta(0)
    ]
    return min(times) * _MICROSECOND if times else None


def spend_interval(left: timedelta | None, longest: timedelta) -> timedelta:
    """The time between two reads of spend, `left` before a limit; None: no limit is near. At most `longest`."""
    if left is None:
        return longest
    return min(max(left / READS_AHEAD, SHORTEST), longest)


def statuses_interval(longest: timedelta, *, holds_some: bool) -> timedelta:
    """The time between two reads of statuses. `holds_some`: Spendgate keeps a campaign paused there."""
    return min(HELD_STATUSES if holds_some else OTHER_STATUSES, longest)


def retry_interval(failures: int, longest: timedelta) -> timedelta:
    """The time until a request is tried again after this many failures in a row: it doubles, up to `longest`."""
    return min(FIRST_RETRY * (1 << min(max(failures - 1, 0), 16)), longest)


def operations_for_reads(limit: int, used_in_a_day: int, reads_in_an_hour: int) -> int:
    """The operations that reads may use now, of a quota of `limit` operations in 24 sliding hours.

    An hour's share of what pauses and other changes leave. So reads never use up in a few hours what must last a day.
    """
    without_pauses = limit * (100 - KEPT_FOR_PAUSES) // 100
    share = -(-without_pauses * (100 - KEPT_FOR_CHANGES) // (100 * 24))
    return max(min(share - reads_in_an_hour, without_pauses - used_in_a_day), 0)


class Wait(NamedTuple):
    """An account that waits for a read. `waited`: since the last one, None if never; `is_of_spend`, else of statuses.

    `interval`: the wanted time between two reads. `used_percent`: of its quota, as the platform reports it.
    """

    account: int
    is_of_spend: bool
    waited: timedelta | None
    interval: timedelta
    used_percent: int = 0

    @property
    def overdue(self) -> float:
        """The time waited as a multiple of the interval, which grows with the reported use of the quota."""
        if self.waited is None:
            return float("inf")
        left = min((STOPPING_PERCENT - self.used_percent) / (STOPPING_PERCENT - SPARING_PERCENT), 1)
        return self.waited / self.interval * left

    @property
    def urgency(self) -> float:
        """The order among due reads, the highest first."""
        return self.overdue if self.is_of_spend else self.overdue / STATUSES_PATIENCE


def due_reads(waits: Iterable[Wait], operations: int | None) -> list[Wait]:
    """The reads to do now: the most urgent first, as many as the operations allow; None: any number.

    With too few operations all intervals stretch by about one factor. An account near a limit has a short interval,
    which it exceeds soonest, so that it is read first and most often.
    """
    due = [wait for wait in waits if wait.used_percent < STOPPING_PERCENT and wait.overdue >= 1]
    due.sort(key=lambda wait: (-wait.urgency, wait.interval, wait.account))
    return due if operations is None else due[:operations]
