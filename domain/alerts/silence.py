"""Decides whether a campaign or a source has been silent for longer than its own history makes likely.

The history is a set of whole hours in which spend came. The rule compares the present silence with all silences of the
last two weeks, in hours in which the campaign could serve. If silences are exchangeable, a new one is the longest of
n + 1 with probability 1 / (n + 1), whatever their distribution (order statistics; S. S. Wilks, «Determination of sample
sizes for setting tolerance limits», Annals of Mathematical Statistics 12, 1941). So with MIN_SILENCES past silences, a
longer one comes by chance in at most one of 25 silences; LONGER_BY makes it rarer. Such a silence is called odd. A
campaign that spends every hour has silences of 0 hours, so that a new one is odd after MIN_SILENT_HOURS.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

HISTORY: Final = timedelta(days=14)
"""Length of the history with which a silence is compared; it has every weekday twice."""

HOUR: Final = timedelta(hours=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

MIN_SILENCES: Final = 24
"""Least number of past silences with which the present one is compared; with fewer there is no alert."""

MIN_SILENT_HOURS: Final = 3
"""The shortest silence that can be an alert, in whole hours, however short the past ones were."""

LONGER_BY: Final = 1.5
"""Factor: an alert needs a silence of more than this times the longest past one."""


def hour_of(at: datetime) -> int:
    """The number of the hour that contains `at`: whole hours since 1970 began in UTC."""
    return (at - EPOCH) // HOUR


def hour_starts_at(hour: int) -> datetime:
    """The first instant (UTC) of the hour with this number: whole hours since 1970 began in UTC."""
    return EPOCH + hour * HOUR


def silent_hours(hours: Sequence[int], until: int, serves: Callable[[int], bool] = lambda _hour: True) -> list[int]:
    """For each hour with spend, how many hours without spend follow it before the next one, or before `until`.

    Only hours in which the campaign could serve are counted. `hours`: the numbers of the hours with spend, ascending,
    at least one. `until`: the number of the present hour, which is not over and not counted. `serves`: whether the
    campaign could serve in the hour of this number. The last length is that of the present silence.
    """
    ends = (*hours[1:], until)
    return [sum(map(serves, range(hour + 1, end))) for hour, end in zip(hours, ends, strict=True)]


def is_odd(lengths: Sequence[int]) -> bool:
    """Whether the last of the lengths, in hours, is a longer silence than the earlier ones make likely.

    There must be at least MIN_SILENCES earlier ones. The last must be at least MIN_SILENT_HOURS long, and over
    LONGER_BY times the longest earlier one.
    """
    if len(lengths) <= MIN_SILENCES:
        return False
    *past, present = lengths
    return present >= MIN_SILENT_HOURS and present > LONGER_BY * max(past)


Spans = Iterable[tuple[datetime, datetime | None]]
"""Spans of time, each with its start and its end, None if it goes on."""


def full_hours(spans: Spans, until: datetime) -> set[int]:
    """The numbers (`hour_of`) of the hours that lie completely within one of the spans and are over at `until`."""
    found: set[int] = set()
    for starts_at, ends_at in spans:
        first = hour_of(starts_at - timedelta(microseconds=1)) + 1
        found.update(range(first, hour_of(min(ends_at or until, until))))
    return found
