"""What a brand's month held: time served and held, and what each limit's windows came to.

A report covers a month of the brand's calendar, up to its end or, while it runs, up to the instant of the report.
Seconds are real ones, so a day of a clock change has 82,800 or 90,000. They are summed to the microsecond, and each sum
is rounded to the nearest second, once.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.budgets import Scope, is_exhausted
from domain.errors import InvalidValue
from domain.history import Stretch, stretches
from domain.holds import BUDGET_HOLDS, in_order
from domain.periods import FIRST_DAY, FIRST_INSTANT, ONE_DAY, Period, Window, day_starts_at, local_day, windows_between

INSTANT: Final = timedelta(microseconds=1)
"""The smallest step between two instants."""

ONE_SECOND: Final = timedelta(seconds=1)
HALF_A_SECOND: Final = ONE_SECOND / 2

_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}")

HOLDS_OF_BUDGETS: Final = frozenset(BUDGET_HOLDS.values())


class Span(NamedTuple):
    """Time from one instant up to another, which is excluded."""

    starts_at: datetime
    ends_at: datetime


class LimitChange(NamedTuple):
    """From `changed_at` on the limit is this one; None: the budget was removed. `id` gives the order."""

    id: int
    changed_at: datetime
    limit_micros: int | None


class Limit(NamedTuple):
    """A limit and since when it is set."""

    limit_micros: int
    set_at: datetime


class Times(NamedTuple):
    """Seconds by what held. A second with two holds counts for each of them, and as served where there is none.

    `held_by_budgets_seconds` are those in which budgets alone held: nothing else kept the campaign from serving.
    """

    served_seconds: int
    held_by_budgets_seconds: int
    held_seconds: Mapping[str, int]

    @property
    def in_budget_permille(self) -> int | None:
        """Of the time in which budgets alone decided, the part served, rounded down; None where there was none."""
        could_serve = self.served_seconds + self.held_by_budgets_seconds
        return self.served_seconds * 1000 // could_serve if could_serve else None


class Carried(NamedTuple):
    """Micros spent before the first day that is given day by day: since the year began, and ever."""

    year_micros: int = 0
    lifetime_micros: int = 0


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """What a report is made from. A campaign id of None stands for the brand.

    `days` hold micros by day from `days_from` (no later than the Monday of the month's first week) to the month's end;
    `carried` what was spent before. `holds` reach back as far, in order, and as
    far as any longer window's own holds.
    """

    zone: ZoneInfo
    month: Window
    span: Span
    days_from: date
    names: Mapping[int, str]
    days: Mapping[int | None, Mapping[date, int]]
    carried: Mapping[int | None, Carried]
    limits: Mapping[tuple[int | None, Period], Sequence[LimitChange]]
    holds: Mapping[int, Sequence[tuple[datetime, tuple[str, ...]]]]

    @property
    def end_day(self) -> date:
        assert self.month.end_day is not None  # noqa: S101 - a month ends
        return self.month.end_day

    def spent_by_day(self, campaign_id: int | None) -> dict[date, int]:
        """Micros by day of the month."""
        return {day: micros for day, micros in self.days.get(campaign_id, {}).items() if day in self.month}

    def spent_in(self, campaign_id: int | None, window: Window) -> int:
        """Micros spent in the window, up to the month's end where it goes on."""
        days = self.days.get(campaign_id, {})
        counted = sum(micros for day, micros in days.items() if day in window)
        if window.first_day >= self.days_from:
            return counted
        carried = self.carried.get(campaign_id, Carried())
        return counted + (carried.lifetime_micros if window.end_day is None else carried.year_micros)


@dataclass(frozen=True, slots=True)
class LimitWindow:
    """One window of one budget, with the limit in force at its end (or at the report's, where it goes on).

    `exhausted` are the spans in which the budget's hold was on, for a brand's budget on any campaign.
    """

    campaign_id: int | None
    period: Period
    window: Window
    span: Span
    complete: bool
    limit_micros: int
    spent_micros: int
    history: tuple[LimitChange, ...]
    exhausted: tuple[Span, ...]

    @property
    def overspend_micros(self) -> int:
        return max(0, self.spent_micros - self.limit_micros)

    @property
    def used_permille(self) -> int | None:
        """Spent of the limit, rounded down; None for a limit of 0."""
        return self.spent_micros * 1000 // self.limit_micros if self.limit_micros else None


def month_named(text: str) -> date:
    """The first day of a month written as 2026-10. Raises InvalidValue for anything else."""
    try:
        return date.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else "")
    except ValueError:
        raise InvalidValue("month", f"{text!r} is not a month such as 2026-10") from None


def seconds_of(span: Span) -> int:
    """The span's length to the nearest second."""
    return _seconds(span.ends_at - span.starts_at)


def _seconds(length: timedelta) -> int:
    return (length + HALF_A_SECOND) // ONE_SECOND


def times_of(parts: Iterable[Stretch]) -> Times:
    """Seconds by what held, of one campaign's stretches or of several campaigns'. Each sum is rounded once."""
    served = by_budgets = timedelta()
    held: dict[str, timedelta] = {}
    for part in parts:
        length = part.ends_at - part.starts_at
        if not part.holds:
            served += length
        elif HOLDS_OF_BUDGETS.issuperset(part.holds):
            by_budgets += length
        for hold in part.holds:
            held[hold] = held.get(hold, timedelta()) + length
    return Times(_seconds(served), _seconds(by_budgets), {hold: _seconds(held[hold]) for hold in in_order(held)})


def merged(spans: Iterable[Span]) -> list[Span]:
    """The time covered by any of the spans, in order, in as few spans as can be."""
    union: list[Span] = []
    for span in sorted(spans):
        if union and span.starts_at <= union[-1].ends_at:
            union[-1] = Span(union[-1].starts_at, max(union[-1].ends_at, span.ends_at))
        else:
            union.append(span)
    return union


def spans_with(hold: str, parts: Iterable[Stretch]) -> list[Span]:
    """When the hold was on, on any of the campaigns whose stretches these are."""
    return merged(Span(part.starts_at, part.ends_at) for part in parts if hold in part.holds)


def limit_before(history: Iterable[LimitChange], instant: datetime) -> Limit | None:
    """The last value set before the instant; None where there was no budget by then."""
    last = max((change for change in history if change.changed_at < instant), default=None)
    return None if last is None or last.limit_micros is None else Limit(last.limit_micros, last.changed_at)


def instants_of(window: Window, zone: ZoneInfo, ends_at: datetime) -> Span:
    """The window in instants, up to `ends_at` where it goes on; a lifetime begins with the calendar."""
    starts_at = FIRST_INSTANT if window.first_day < FIRST_DAY else day_starts_at(window.first_day, zone)
    return Span(starts_at, ends_at if window.end_day is None else min(ends_at, day_starts_at(window.end_day, zone)))


def exhausted_in(span: Span, held: Iterable[Span], *, starts_exhausted: bool, ends_exhausted: bool) -> list[Span]:
    """The spans of a window in which its budget's hold was on.

    The hold of the window before stays on until the next tick lifts it, moments or an outage later: what is carried
    over counts only where the new window was exhausted from its start (a limit of 0), or was at its end and the hold
    was not lifted meanwhile.
    """
    found = []
    for part in held:
        clipped = Span(max(part.starts_at, span.starts_at), min(part.ends_at, span.ends_at))
        is_carried_over = part.starts_at < span.starts_at
        belongs = starts_exhausted or (ends_exhausted and part.ends_at >= span.ends_at)
        if clipped.starts_at < clipped.ends_at and (belongs or not is_carried_over):
            found.append(clipped)
    return found


def limit_windows(facts: MonthFacts, campaign_ids: Iterable[int]) -> Iterator[LimitWindow]:
    """Every window with a limit that holds a day of the month up to the report: the brand's, then the campaigns'.

    Those that ended within the month are complete; the last of each budget may go on.
    """
    parts = {
        campaign_id: list(stretches(changes, FIRST_INSTANT, facts.span.ends_at))
        for campaign_id, changes in facts.holds.items()
    }
    parts_of_brand = [part for some in parts.values() for part in some]
    for campaign_id in (None, *sorted(campaign_ids)):
        for period in Period:
            history = tuple(facts.limits.get((campaign_id, period), ()))
            if history:
                hold = BUDGET_HOLDS[Scope.BRAND if campaign_id is None else Scope.CAMPAIGN, period]
                own = parts_of_brand if campaign_id is None else parts.get(campaign_id, [])
                yield from _windows_of_budget(facts, campaign_id, period, history, spans_with(hold, own))


def _windows_of_budget(
    facts: MonthFacts,
    campaign_id: int | None,
    period: Period,
    history: tuple[LimitChange, ...],
    held: Sequence[Span],
) -> Iterator[LimitWindow]:
    end_day = min(facts.end_day, local_day(facts.span.ends_at, facts.zone) + ONE_DAY)
    for window in windows_between(period, facts.month.first_day, end_day):
        span = instants_of(window, facts.zone, facts.span.ends_at)
        limit = limit_before(history, span.ends_at)
        if limit is None:
            continue
        spent = facts.spent_in(campaign_id, window)
        first = limit_before(history, span.starts_at + INSTANT)
        exhausted = exhausted_in(
            span,
            held,
            starts_exhausted=first is not None and first.limit_micros == 0,
            ends_exhausted=is_exhausted(spent, limit.limit_micros),
        )
        yield LimitWindow(
            campaign_id=campaign_id,
            period=period,
            window=window,
            span=span,
            complete=window.end_day is not None and day_starts_at(window.end_day, facts.zone) <= facts.span.ends_at,
            limit_micros=limit.limit_micros,
            spent_micros=spent,
            history=history,
            exhausted=tuple(exhausted),
        )


def days_exhausted(entries: Iterable[LimitWindow], zone: ZoneInfo) -> dict[int | None, dict[str, str]]:
    """By campaign (None: the brand): the days (ISO) on which its daily budget ran out, and when first: HH:MM there."""
    found: dict[int | None, dict[str, str]] = {}
    for entry in entries:
        if entry.period is Period.DAILY and entry.exhausted:
            ran_out = f"{entry.exhausted[0].starts_at.astimezone(zone):%H:%M}"
            found.setdefault(entry.campaign_id, {})[entry.window.first_day.isoformat()] = ran_out
    return found


def differences(now: Mapping[str, int], then: Mapping[str, int]) -> dict[str, int]:
    """Now minus then, by key, where that is not 0."""
    changes = {key: now.get(key, 0) - then.get(key, 0) for key in sorted({*now, *then})}
    return {key: change for key, change in changes.items() if change}
