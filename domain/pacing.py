"""Pacing: where the spend of a window is heading, if it goes on as it did since the window began.

Source of the rule: the straight line through nothing at the window's start and what is spent now, up to where the
first limit stops it. What does not serve spends nothing, so it is heading nowhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from domain.budgets import BudgetSpend, is_exhausted, left_micros
from domain.periods import windows_between

_MICROSECOND: Final = timedelta(microseconds=1)
TELLING_SHARE: Final = 24
"""Before a twenty-fourth of a window has passed (an hour of a day), its spend tells nothing of its end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A window at an instant. Amounts in micros; None where there is no limit, or it is too early to tell.

    `even_micros` is what the limit spread evenly over the window would have spent by now. `projected_micros` is the
    spend at the window's end: no more than this and all other limits allow, because enforcement stops there.
    `runs_out_at` is when the limit is reached at this pace; None where it holds out, is reached already, or another
    one stops the spend before. What is stopped has neither.
    """

    spent_micros: int
    limit_micros: int | None
    even_micros: int | None
    projected_micros: int | None
    runs_out_at: datetime | None
    is_stopped: bool = False

    @property
    def used_percent(self) -> int | None:
        """Whole percent of the limit, rounded down; None without a limit, or with one of nothing."""
        return self.spent_micros * 100 // self.limit_micros if self.limit_micros else None

    @property
    def is_exhausted(self) -> bool:
        return self.limit_micros is not None and is_exhausted(self.spent_micros, self.limit_micros)


def most_to_spend(limits: Iterable[BudgetSpend], today: date, end_day: date | None) -> int | None:
    """The most micros that all the limits let be spent from now until `end_day` begins; None where there is no limit.

    Each allows what is left of its current window, and its whole limit again in every window that begins before then.
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
    """The pace at `at` of a window that lasts from `starts_at` to `ends_at`.

    `most_micros` is what other limits let be spent until it ends, `serves` whether anything that spends serves now.
    """
    whole = (ends_at - starts_at) // _MICROSECOND
    passed = min(max((at - starts_at) // _MICROSECOND, 0), whole)
    even = None if limit_micros is None else limit_micros * passed // whole
    if limit_micros is not None and is_exhausted(spent_micros, limit_micros):
        return Pace(spent_micros, limit_micros, even, spent_micros, None)
    if not serves:
        return Pace(spent_micros, limit_micros, even, None, None, is_stopped=True)
    if passed * TELLING_SHARE < whole:
        return Pace(spent_micros, limit_micros, even, None, None)
    heading_for = spent_micros * whole // passed
    others_stop_at = heading_for if most_micros is None else spent_micros + most_micros
    if limit_micros is None or min(heading_for, others_stop_at) < limit_micros:
        return Pace(spent_micros, limit_micros, even, min(heading_for, others_stop_at), None)
    left = -(-(limit_micros - spent_micros) * passed // spent_micros)
    runs_out_at = at + left * _MICROSECOND
    return Pace(spent_micros, limit_micros, even, limit_micros, runs_out_at if runs_out_at < ends_at else None)
