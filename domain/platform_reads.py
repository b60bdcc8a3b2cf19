"""Decides when to read an account on an ad platform: the nearer a limit, the more often, within its quota."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from domain.periods import ONE_DAY

SHORTEST: Final = timedelta(minutes=1)
"""Shortest interval between two reads of spend. Platforms add up spend no faster than this."""

READS_AHEAD: Final = 5
"""Divisor of the time left until a limit, which gives the interval between reads: some reads fall into that time."""

HELD_STATUSES: Final = timedelta(minutes=5)
"""Interval between reads of an account's statuses while Spendgate keeps one of its campaigns paused on the platform.

Somebody may enable the campaign there.
"""

OTHER_STATUSES: Final = timedelta(minutes=15)
"""Interval between reads of an account's statuses while Spendgate keeps none of its campaigns paused there.

Statuses are also read before each change.
"""

FIRST_RETRY: Final = timedelta(seconds=30)
"""Time until a request is tried again after its first failure."""

PERCENT_FOR_PAUSES: Final = 10
"""Percent of a platform's quota of operations that only pauses may use.

For Meta's limits: PERCENT_WITHOUT_READS in `app/platforms/adapters/graph.py`.
"""

PERCENT_FOR_CHANGES: Final = 20
"""Percent of the rest of a quota, without PERCENT_FOR_PAUSES, that reads leave to other requests."""

READ_SPANS: Final = (timedelta(minutes=5), timedelta(hours=1))
"""Sliding spans of time. In each, reads may use the share of a day's operations for reads that it has of the day.

With a limit of the hour alone, a burst in its first minute would stop reads for the rest of the hour.
"""

SPARING_PERCENT: Final = 50
"""Used percent of an account's quota, as the platform reports it, from which reads become rarer."""

STOPPING_PERCENT: Final = 100 - PERCENT_FOR_PAUSES
"""Used percent of an account's quota, as the platform reports it, from which no reads are made."""

STATUSES_PATIENCE: Final = 12
"""Divisor of the urgency of reads of statuses: reads of spend come first, because they decide more."""

_MICROSECOND: Final = timedelta(microseconds=1)


class LimitPace(NamedTuple):
    """A limit and the spend in its current window, in micros.

    `added_micros`: spent since the last read. `window_passed`: the time since the window began; None: unknown.
    `since_release`: the time since a campaign of the budget was last released; None: unknown.
    """

    limit_micros: int
    spent_micros: int
    added_micros: int
    window_passed: timedelta | None
    since_release: timedelta | None = None


def time_left(limits: Iterable[LimitPace], since_read: timedelta | None) -> timedelta | None:
    """The shortest time until spend reaches a limit that is not reached yet; None if it is known for no such limit.

    `since_read`: the time since the last read; None: there was none. The rate is the higher of two, since the last read
    and since the window began: platforms report late and in steps, so the first alone can be zero between reports. If
    no spend was added since the last read, the time is at most `since_release`: unreported spend may use up the limit.
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
    if limit.since_release is not None and limit.added_micros <= 0:
        times.append(max(limit.since_release, timedelta(0)) // _MICROSECOND)
    return min(times) * _MICROSECOND if times else None


def spend_interval(left: timedelta | None, longest: timedelta) -> timedelta:
    """The interval between reads of spend: a fraction of `left`, from SHORTEST to `longest`.

    `left`: the time until spend reaches a limit; None: no limit is near, so that the interval is `longest`.
    """
    if left is None:
        return longest
    return min(max(left / READS_AHEAD, SHORTEST), longest)


def statuses_interval(longest: timedelta, *, holds_some: bool) -> timedelta:
    """The interval between reads of an account's statuses, at most `longest`.

    `holds_some`: Spendgate keeps a campaign of the account paused on the platform.
    """
    return min(HELD_STATUSES if holds_some else OTHER_STATUSES, longest)


def retry_interval(failures: int, longest: timedelta) -> timedelta:
    """The time until a request is tried again after `failures` in a row: it doubles from FIRST_RETRY to `longest`."""
    return min(FIRST_RETRY * (1 << min(max(failures - 1, 0), 16)), longest)


def operations_for_reads(limit: int, used_in_a_day: int, reads_in: Mapping[timedelta, int]) -> int:
    """The operations that reads may use now, of a quota of `limit` operations in 24 sliding hours.

    `used_in_a_day`: operations of any kind in the last 24 hours. `reads_in`: the number of reads in the last five
    minutes and in the last hour, by READ_SPANS. Reads of each span may use the span's share of the day's part for
    reads, so that an account near a limit seldom waits for longer than the shortest span.
    """
    without_pauses = limit * (100 - PERCENT_FOR_PAUSES) // 100
    for_reads = without_pauses * (100 - PERCENT_FOR_CHANGES)
    shares = (
        -(-for_reads * (span // SHORTEST) // (100 * (ONE_DAY // SHORTEST))) - reads_in[span] for span in READ_SPANS
    )
    return max(min(*shares, without_pauses - used_in_a_day), 0)


class Wait(NamedTuple):
    """A read that an account waits for: of spend if `is_of_spend`, else of statuses.

    `waited`: the time since the last such read; None: there was none. `interval`: the wanted time between two reads.
    `used_percent`: the used part of the account's quota, as the platform reports it.
    """

    account: int
    is_of_spend: bool
    waited: timedelta | None
    interval: timedelta
    used_percent: int = 0

    @property
    def overdue(self) -> float:
        """The time waited as a multiple of the interval; infinite before the first read. A read is due from 1 on.

        The interval grows with `used_percent` above SPARING_PERCENT.
        """
        if self.waited is None:
            return float("inf")
        left = min((STOPPING_PERCENT - self.used_percent) / (STOPPING_PERCENT - SPARING_PERCENT), 1)
        return self.waited / self.interval * left

    @property
    def urgency(self) -> float:
        """The number by which due reads are sorted, the highest first: `overdue`.

        For reads of statuses, `overdue` divided by STATUSES_PATIENCE.
        """
        return self.overdue if self.is_of_spend else self.overdue / STATUSES_PATIENCE


def due_reads(waits: Iterable[Wait], operations: int | None) -> list[Wait]:
    """The reads to do now, the most urgent first, at most `operations`; None: any number.

    Leaves out accounts that have used STOPPING_PERCENT of their quota. With too few operations all intervals stretch by
    about the same factor. An account near a limit has a short interval, so that it is read first and most often.
    """
    due = [wait for wait in waits if wait.used_percent < STOPPING_PERCENT and wait.overdue >= 1]
    due.sort(key=lambda wait: (-wait.urgency, wait.interval, wait.account))
    return due if operations is None else due[:operations]
