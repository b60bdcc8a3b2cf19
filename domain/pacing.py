"""Pacing: where the spend of a window is heading, if it goes on as it did since the window began.

Source of the rule: the straight line through nothing at the window's start and what is spent now.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_MICROSECOND: Final = timedelta(microseconds=1)
TELLING_SHARE: Final = 24
"""Before a twenty-fourth of a window has passed (an hour of a day), its spend tells nothing of its end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A window at an instant. Amounts in micros; None where there is no limit, or it is too early to tell.

    `even_micros` is what the limit spread evenly over the window would have spent by now. `projected_micros` is the
    spend at the window's end: no more than the limit, because enforcement stops there. `runs_out_at` is when the
    limit is reached at this pace; None where it holds out, or is reached already.
    """

    spent_micros: int
    limit_micros: int | None
    even_micros: int | None
    projected_micros: int | None
    runs_out_at: datetime | None

    @property
    def used_percent(self) -> int | None:
        """Whole percent of the limit, rounded down; None without a limit, or with one of nothing."""
        return self.spent_micros * 100 // self.limit_micros if self.limit_micros else None

    @property
    def is_exhausted(self) -> bool:
        return self.limit_micros is not None and self.spent_micros >= self.limit_micros


def pace(spent_micros: int, limit_micros: int | None, starts_at: datetime, ends_at: datetime, at: datetime) -> Pace:
    """The pace at `at` of a window that lasts from `starts_at` to `ends_at`."""
    whole = (ends_at - starts_at) // _MICROSECOND
    passed = min(max((at - starts_at) // _MICROSECOND, 0), whole)
    even = None if limit_micros is None else limit_micros * passed // whole
    if limit_micros is not None and spent_micros >= limit_micros:
        return Pace(spent_micros, limit_micros, even, spent_micros, None)
    if passed * TELLING_SHARE < whole:
        return Pace(spent_micros, limit_micros, even, None, None)
    heading_for = spent_micros * whole // passed
    if limit_micros is None or heading_for < limit_micros:
        return Pace(spent_micros, limit_micros, even, heading_for, None)
    left = -(-(limit_micros - spent_micros) * passed // spent_micros)
    runs_out_at = at + left * _MICROSECOND
    return Pace(spent_micros, limit_micros, even, limit_micros, runs_out_at if runs_out_at < ends_at else None)
