"""Pacing: projects the spend of a window at its end from its spend so far.

The projection is a straight line from 0 at the window's start through the spend now, cut off at the first limit it
reaches. For an exhausted limit it is the spend so far; else there is none while no campaign of the budget serves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from domain.budgets import BudgetSpend, is_exhausted, left_micros
from domain.periods import windows_between

_MICROSECOND: Final = timedelta(microseconds=1)
MIN_SHARE_DIVISOR: Final = 24
"""No projection before 1/24 of the window (an hour of a day) has passed: earlier spend predicts too little."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of a window at an instant. Amounts are micros. `limit_micros` None: no limit.

    `even_micros`: the spend by now if the limit were spread evenly; None without a limit. `projected_micros`: the spend
    at the window's end, at most what this and all other limits allow; for an exhausted limit, the spend by now; None
    too early in the window. `runs_out_at`: when spend reaches the limit at this pace; None too early in the window, or
    if spend does not reach it before the window's end, has reached it already, or another limit stops spend first.
    `is_stopped`: no campaign of the budget serves; `projected_micros` and `runs_out_at` are None then.
    """

    spent_micros: int
    limit_micros: int | None
    even_micros: int | None
    projected_micros: int | None
    runs_out_at: datetime | None
    is_stopped: bool = False

    @property
    def used_percent(self) -> int | None:
        """Spend in whole percent of the limit, rounded down; None without a limit, or for a limit of 0."""
        return self.spent_micros * 100 // self.limit_micros if self.limit_micros else None

    @property
    def is_exhausted(self) -> bool:
        return self.limit_micros is not None and is_exhausted(self.spent_micros, self.limit_micros)


def most_to_spend(limits: Iterable[BudgetSpend], today: date, end_day: date | None) -> int | None:
    """The most micros that the limits together allow from now until `end_day` begins; None for no limits.

    Each limit allows the rest of its current window, plus the whole limit for every later window that begins before
    `end_day`; the smallest of these sums counts. `end_day` None: only the current windows count.
    """
    return min((_left_of(spend, today, end_day) for spend in limits), default=None)


def _left_of(spend: BudgetSpend, today: date, end_day: date | None) -> int:
    left = left_micros(spend.spent_on(today), spend.budget.limit_micros)
    later = 0 if end_day is None else len(windows_between(spend.budget.period, today, end_day)) - 1
    return left + later * spend.budget.limit_micros


def pace(
    spent_micros: int,
    limit_micros: int | None,
    starts_at: datetime,
    ends_at: datetime,
    at: datetime,
    *,
    most_micros: int | None = None,
    serves: bool = True,
) -> Pace:
    """The pace at the instant `at` of a window from `starts_at` to `ends_at`. `limit_micros` None: no limit.

    `most_micros`: the most that other limits still allow until the window ends, None if there are none. `serves`:
    whether any campaign of the budget serves now.
    """
    whole = (ends_at - starts_at) // _MICROSECOND
    passed = min(max((at - starts_at) // _MICROSECOND, 0), whole)
    even = None if limit_micros is None else limit_micros * passed // whole
    if limit_micros is not None and is_exhausted(spent_micros, limit_micros):
        return Pace(spent_micros, limit_micros, even, spent_micros, None)
    if not serves:
        return Pace(spent_micros, limit_micros, even, None, None, is_stopped=True)
    if passed * MIN_SHARE_DIVISOR < whole:
        return Pace(spent_micros, limit_micros, even, None, None)
    heading_for = spent_micros * whole // passed
    others_stop_at = heading_for if most_micros is None else spent_micros + most_micros
    if limit_micros is None or min(heading_for, others_stop_at) < limit_micros:
        return Pace(spent_micros, limit_micros, even, min(heading_for, others_stop_at), None)
    left = -(-(limit_micros - spent_micros) * passed // spent_micros)
    runs_out_at = at + left * _MICROSECOND
    return Pace(spent_micros, limit_micros, even, limit_micros, runs_out_at if runs_out_at < ends_at else None)
