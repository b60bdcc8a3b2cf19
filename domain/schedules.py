"""Ad schedules: the weekly dayparts in which a campaign may serve, in the brand's local time.

An hour that a clock change repeats is open twice; an hour that it skips is never open. A schedule without dayparts is
always open.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from domain.errors import InvalidValue
from domain.periods import next_transition

MINUTES_PER_DAY: Final = 1440
MINUTES_PER_WEEK: Final = 7 * MINUTES_PER_DAY
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ALWAYS: Final = "always"


@dataclass(frozen=True, slots=True, order=True)
class Daypart:
    """An open part of one weekday (1 = Monday to 7), in minutes after midnight; `ends_minute` is excluded, up to 1440.

    Raises InvalidValue for a weekday or minutes out of range.
    """

    weekday: int
    starts_minute: int
    ends_minute: int

    def __post_init__(self) -> None:
        if not 1 <= self.weekday <= 7:
            raise InvalidValue("weekday", f"{self.weekday} is not between 1 (Monday) and 7 (Sunday)")
        if not 0 <= self.starts_minute < self.ends_minute <= MINUTES_PER_DAY:
            raise InvalidValue(
                "daypart",
                f"must end after it starts, in minutes from 0 to 1440: {self.starts_minute} to {self.ends_minute}",
            )


Schedule = tuple[Daypart, ...]


def normalised(dayparts: Iterable[Daypart]) -> Schedule:
    """Sorts dayparts and merges those that overlap or adjoin within a day; the open minutes stay the same."""
    merged: list[Daypart] = []
    for part in sorted(dayparts):
        last = merged[-1] if merged else None
        if last and last.weekday == part.weekday and part.starts_minute <= last.ends_minute:
            ends = max(last.ends_minute, part.ends_minute)
            merged[-1] = Daypart(last.weekday, last.starts_minute, ends)
        else:
            merged.append(part)
    return tuple(merged)


def dayparts_from(weekday: int, starts_minute: int, ends_minute: int) -> Schedule:
    """One daypart on `weekday`, in minutes after midnight, or two if it goes over midnight.

    An end at or before the start is on the next day: Monday 22:00 to 06:00 becomes Monday 22:00 to 24:00 and Tuesday
    00:00 to 06:00.
    """
    if starts_minute < ends_minute:
        return (Daypart(weekday, starts_minute, ends_minute),)
    first = Daypart(weekday, starts_minute, MINUTES_PER_DAY)
    return (first, Daypart(weekday % 7 + 1, 0, ends_minute)) if ends_minute else (first,)


def copy_weekday(schedule: Iterable[Daypart], weekday: int, onto: Iterable[int]) -> Schedule:
    """The schedule with the dayparts of `weekday` copied to the days `onto`, replacing theirs.

    Raises InvalidValue if no dayparts would be left, because such a schedule is always open.
    """
    targets = set(onto) - {weekday}
    kept = [part for part in schedule if part.weekday not in targets]
    model = [part for part in kept if part.weekday == weekday]
    if not kept and targets:
        raise InvalidValue("schedule", "nothing would be open; pause the campaign to close it altogether")
    return normalised(kept + [Daypart(day, part.starts_minute, part.ends_minute) for day in targets for part in model])


def is_open(schedule: Schedule, at: datetime, zone: ZoneInfo) -> bool:
    """Whether the schedule is open at the instant `at`; one without dayparts always is."""
    return not schedule or _is_open_at_minute(_edges(schedule), _minute_of_week(at.astimezone(zone)))


def next_edge(schedule: Schedule, at: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant (UTC) after `at` at which the schedule opens or closes; None for one that is always open.

    Searches from one change of the zone's UTC offset to the next, since local time runs evenly in between.
    """
    edges = _edges(schedule)
    if len(edges) < 2:
        return None
    at = at.astimezone(UTC)
    open_now = _is_open_at_minute(edges, _minute_of_week(at.astimezone(zone)))
    while True:
        edge = at + _until_next_edge(edges, at.astimezone(zone))
        transition = next_transition(at, zone)
        at = edge if transition is None else min(edge, transition)
        if _is_open_at_minute(edges, _minute_of_week(at.astimezone(zone))) != open_now:
            return at


def open_stretches(
    schedule: Schedule, starts_at: datetime, ends_at: datetime, zone: ZoneInfo
) -> list[tuple[datetime, datetime]]:
    """The times from `starts_at` to `ends_at` in which the schedule is open: (start, end) in UTC, ends excluded."""
    stretches = []
    at, end = starts_at.astimezone(UTC), ends_at.astimezone(UTC)
    open_now = is_open(schedule, at, zone)
    while at < end:
        edge = next_edge(schedule, at, zone)
        until = end if edge is None else min(edge, end)
        if open_now:
            stretches.append((at, until))
        at, open_now = until, not open_now
    return stretches


@lru_cache(maxsize=16384)
def _edges(schedule: Schedule) -> tuple[int, ...]:
    """The minutes of the week at which the schedule opens and closes, in turn, beginning with an opening.

    If it is open across the end of the week, the last closing edge is in the next week, at over MINUTES_PER_WEEK.
    """
    flips: set[int] = set()
    for part in normalised(schedule):
        midnight = (part.weekday - 1) * MINUTES_PER_DAY
        flips ^= {midnight + part.starts_minute}
        flips ^= {(midnight + part.ends_minute) % MINUTES_PER_WEEK}
    edges = sorted(flips)
    if edges and not _covers(schedule, edges[0]):
        edges = [*edges[1:], edges[0] + MINUTES_PER_WEEK]
    return tuple(edges)


def _covers(schedule: Schedule, minute: int) -> bool:
    days, minute_of_day = divmod(minute, MINUTES_PER_DAY)
    return any(p.weekday == days + 1 and p.starts_minute <= minute_of_day < p.ends_minute for p in schedule)


def _is_open_at_minute(edges: tuple[int, ...], minute: int) -> bool:
    if not edges:
        return True
    if minute < edges[0]:
        minute += MINUTES_PER_WEEK
    return bisect_right(edges, minute) % 2 == 1


def _until_next_edge(edges: tuple[int, ...], wall: datetime) -> timedelta:
    minute = _minute_of_week(wall)
    into_minute = timedelta(seconds=wall.second, microseconds=wall.microsecond)
    ahead = min((edge - minute - 1) % MINUTES_PER_WEEK + 1 for edge in edges)
    return timedelta(minutes=ahead) - into_minute


def _minute_of_week(wall: datetime) -> int:
    return wall.weekday() * MINUTES_PER_DAY + wall.hour * 60 + wall.minute


_PART = re.compile(r"(?P<first>[A-Za-z]+)(?:-(?P<last>[A-Za-z]+))?\s+(?P<starts>\d{1,2}:\d{2})-(?P<ends>\d{1,2}:\d{2})")


def parse_schedule(text: str) -> Schedule:
    """Reads a schedule such as `Mon-Fri 09:00-17:30, Sat 22:00-06:00, daily 12:00-13:00`.

    An empty text or `always` gives the schedule without dayparts. Raises InvalidValue, which quotes the invalid part.
    """
    if text.strip().lower() == ALWAYS:
        return ()
    dayparts: list[Daypart] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        fields = _PART.fullmatch(part)
        if not fields:
            raise InvalidValue("schedule", f"cannot read {part!r}; write it like Mon-Fri 09:00-17:30")
        starts, ends = _minute(fields["starts"]), _minute(fields["ends"])
        if starts in {ends, MINUTES_PER_DAY}:
            raise InvalidValue("schedule", f"{part!r} is empty or starts at 24:00; a whole day is 00:00-24:00")
        for day in _weekdays(fields["first"], fields["last"]):
            dayparts += dayparts_from(day, starts, ends)
    return normalised(dayparts)


def _weekdays(first: str, last: str | None) -> Sequence[int]:
    if first.lower() in {"daily", "everyday"} and last is None:
        return range(1, 8)
    start, end = weekday(first), weekday(last or first)
    return [(start - 1 + step) % 7 + 1 for step in range((end - start) % 7 + 1)]


def weekday(word: str) -> int:
    """The weekday's number by at least three of its first letters: 1 for `Mon` or `Monday`.

    Raises InvalidValue for another word.
    """
    for number, name in enumerate(WEEKDAYS, start=1):
        if len(word) >= 3 and name.lower().startswith(word.lower()):
            return number
    raise InvalidValue("schedule", f"{word!r} is not a day of the week")


def _minute(text: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    if minute > 59 or hour * 60 + minute > MINUTES_PER_DAY:
        raise InvalidValue("schedule", f"{text!r} is not a time between 00:00 and 24:00")
    return hour * 60 + minute


def format_schedule(schedule: Schedule) -> str:
    """The schedule as text that `parse_schedule` reads: `Mon 09:00-17:30, …`, or `always` without dayparts."""
    return (
        ", ".join(
            f"{WEEKDAYS[part.weekday - 1][:3]} {_clock(part.starts_minute)}-{_clock(part.ends_minute)}"
            for part in schedule
        )
        or ALWAYS
    )


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
