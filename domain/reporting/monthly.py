"""Computes the figures of a monthly report: seconds served and held, and the spend of each budget window.

A report covers one month in the brand's time zone, up to its end or, in the running month, up to the report's instant.
Seconds are elapsed time, so a day on which clocks change by an hour has 82,800 or 90,000. Times are summed in
microseconds; each sum is rounded once, to the nearest second.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.budgets import Scope, is_exhausted
from domain.errors import InvalidValue
from domain.holds import BUDGET_HOLDS, in_order
from domain.periods import FIRST_DAY, FIRST_INSTANT, ONE_DAY, Period, Window, day_starts_at, local_day, windows_between
from domain.reporting.history import Stretch, stretches

INSTANT: Final = timedelta(microseconds=1)
"""The smallest difference between two instants: one microsecond."""

ONE_SECOND: Final = timedelta(seconds=1)
HALF_A_SECOND: Final = ONE_SECOND / 2

_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}")

HOLDS_OF_BUDGETS: Final = frozenset(BUDGET_HOLDS.values())


class Span(NamedTuple):
    """Time from `starts_at` up to, excluding, `ends_at`."""

    starts_at: datetime
    ends_at: datetime


class LimitChange(NamedTuple):
    """A row of a budget's history: the limit in micros from `changed_at` on; None: the budget was removed then.

    Rows compare by `id`, so that the largest is the newest.
    """

    id: int
    changed_at: datetime
    limit_micros: int | None


class Limit(NamedTuple):
    """A limit in micros, and when it was set."""

    limit_micros: int
    set_at: datetime


class ServingTimes(NamedTuple):
    """Seconds that a campaign, or several, served and was held.

    `held_seconds` is by hold; a second with two holds counts for both. `held_by_budgets_seconds` counts seconds with
    budget holds only.
    """

    served_seconds: int
    held_by_budgets_seconds: int
    held_seconds: Mapping[str, int]

    @property
    def in_budget_permille(self) -> int | None:
        """The time served, in permille of the time served or held by budgets only, rounded down; None if that is 0."""
        could_serve = self.served_seconds + self.held_by_budgets_seconds
        return self.served_seconds * 1000 // could_serve if could_serve else None


class SpentBefore(NamedTuple):
    """Micros spent before the day `MonthFacts.days_from`: since the month's year began, and since the first spend."""

    year_micros: int = 0
    lifetime_micros: int = 0


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """The stored facts that a report is computed from. A campaign id of None stands for the brand.

    `span`: the time that the report covers. `names`: names of campaigns by id. `days`: micros by day from `days_from`
    (at the latest the Monday of the month's first week) to the month's end. `carried`: spend before `days_from`.
    `limits`: the history of each budget, by campaign id and period. `holds`: by campaign, (changed_at, holds) pairs in
    id order: all since `days_from`, the last one before and, for yearly and lifetime budgets, earlier ones that began
    or ended a hold of such a budget.
    """

    zone: ZoneInfo
    month: Window
    span: Span
    days_from: date
    names: Mapping[int, str]
    days: Mapping[int | None, Mapping[date, int]]
    carried: Mapping[int | None, SpentBefore]
    limits: Mapping[tuple[int | None, Period], Sequence[LimitChange]]
    holds: Mapping[int, Sequence[tuple[datetime, tuple[str, ...]]]]

    @property
    def end_day(self) -> date:
        assert self.month.end_day is not None  # noqa: S101 - a month ends
        return self.month.end_day

    def spent_by_day(self, campaign_id: int | None) -> dict[date, int]:
        """Micros by day, for the days of the month that have a counter. `campaign_id` None: the brand's spend."""
        return {day: micros for day, micros in self.days.get(campaign_id, {}).items() if day in self.month}

    def spent_in(self, campaign_id: int | None, window: Window) -> int:
        """Micros spent in the window, at most until the month ends. `campaign_id` None: the brand's spend."""
        days = self.days.get(campaign_id, {})
        counted = sum(micros for day, micros in days.items() if day in window)
        if window.first_day >= self.days_from:
            return counted
        carried = self.carried.get(campaign_id, SpentBefore())
        return counted + (carried.lifetime_micros if window.end_day is None else carried.year_micros)


@dataclass(frozen=True, slots=True)
class LimitWindow:
    """One window of one budget. Its limit is the one in force at its end, or at the report's end while it runs.

    `campaign_id` None: a budget of the brand itself. `complete`: the window has ended. `exhausted`: the spans in which
    the budget's hold was in force; for a brand's budget, on any campaign.
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
        """Spend in permille of the limit, rounded down; None for a limit of 0."""
        return self.spent_micros * 1000 // self.limit_micros if self.limit_micros else None


def month_named(text: str) -> date:
    """The first day of the month in `text`, such as 2026-10. Raises InvalidValue for any other form."""
    try:
        return date.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else "")
    except ValueError:
        raise InvalidValue("month", f"{text!r} is not a month such as 2026-10") from None


def seconds_of(span: Span) -> int:
    """The span's length to the nearest second."""
    return _seconds(span.ends_at - span.starts_at)


def _seconds(length: timedelta) -> int:
    return (length + HALF_A_SECOND) // ONE_SECOND


def times_of(parts: Iterable[Stretch]) -> ServingTimes:
    """Sums the seconds served and held over stretches, of one campaign or several. Each sum is rounded once."""
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
    held_seconds = {hold: _seconds(held[hold]) for hold in in_order(held)}
    return ServingTimes(_seconds(served), _seconds(by_budgets), held_seconds)


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """The union of the spans: sorted, without overlaps, adjoining spans joined."""
    union: list[Span] = []
    for span in sorted(spans):
        if union and span.starts_at <= union[-1].ends_at:
            union[-1] = Span(union[-1].starts_at, max(union[-1].ends_at, span.ends_at))
        else:
            union.append(span)
    return union


def spans_with(hold: str, parts: Iterable[Stretch]) -> list[Span]:
    """The spans in which any of the stretches has the hold, in order, merged."""
    return merge_spans(Span(part.starts_at, part.ends_at) for part in parts if hold in part.holds)


def limit_before(history: Iterable[LimitChange], instant: datetime) -> Limit | None:
    """The limit in force just before the instant; None if there was no budget then."""
    last = max((change for change in history if change.changed_at < instant), default=None)
    return None if last is None or last.limit_micros is None else Limit(last.limit_micros, last.changed_at)


def instants_of(window: Window, zone: ZoneInfo, ends_at: datetime) -> Span:
    """The window as UTC instants, cut off at `ends_at`. A lifetime window begins at FIRST_INSTANT."""
    starts_at = FIRST_INSTANT if window.first_day < FIRST_DAY else day_starts_at(window.first_day, zone)
    return Span(starts_at, ends_at if window.end_day is None else min(ends_at, day_starts_at(window.end_day, zone)))


def exhausted_in(span: Span, held: Iterable[Span], *, starts_exhausted: bool, ends_exhausted: bool) -> list[Span]:
    """The spans within the window `span` in which its own budget's hold was in force because of that window.

    `held`: all spans with the hold, also outside the window. The hold of the previous window stays until the next run
    of a scheduled job lifts it, which an outage can delay. Such a carried-over hold counts only if the new window was
    exhausted from its start (`starts_exhausted`: a limit of 0), or was exhausted at its end (`ends_exhausted`) and the
    hold was never lifted in between.
    """
    spans = []
    for part in held:
        clipped = Span(max(part.starts_at, span.starts_at), min(part.ends_at, span.ends_at))
        is_carried_over = part.starts_at < span.starts_at
        belongs = starts_exhausted or (ends_exhausted and part.ends_at >= span.ends_at)
        if clipped.starts_at < clipped.ends_at and (belongs or not is_carried_over):
            spans.append(clipped)
    return spans


def limit_windows(facts: MonthFacts, campaign_ids: Iterable[int]) -> Iterator[LimitWindow]:
    """Yields the budget windows that contain a day of the month, up to the report's end: the brand's come first.

    Leaves out windows without a limit at their end or, while they run, at the report's end.
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
    """When daily budgets ran out: for each campaign (None: the brand), the first local time HH:MM by ISO day."""
    days: dict[int | None, dict[str, str]] = {}
    for entry in entries:
        if entry.period is Period.DAILY and entry.exhausted:
            ran_out = f"{entry.exhausted[0].starts_at.astimezone(zone):%H:%M}"
            days.setdefault(entry.campaign_id, {})[entry.window.first_day.isoformat()] = ran_out
    return days


def differences(now: Mapping[str, int], then: Mapping[str, int]) -> dict[str, int]:
    """`now` minus `then` by key, a missing key counting as 0; keys without a difference are left out."""
    changes = {key: now.get(key, 0) - then.get(key, 0) for key in sorted({*now, *then})}
    return {key: change for key, change in changes.items() if change}
