"""Decides whether inputs are rejected much more often than in the hours before."""

from collections.abc import Sequence
from typing import Final

MIN_REJECTED: Final = 10
"""Least number of rejected inputs in an hour that can be an alert."""

TIMES_MORE: Final = 3
"""Factor: an alert needs more rejected inputs in an hour than this times the number in the worst earlier hour."""


def is_rise(this_hour: int, earlier_hours: Sequence[int]) -> bool:
    """Whether `this_hour` is at least MIN_REJECTED and over TIMES_MORE times the highest of `earlier_hours`.

    Both count rejected inputs: `this_hour` those of the last 60 minutes, `earlier_hours` those of each hour before.
    """
    return this_hour >= MIN_REJECTED and this_hour > TIMES_MORE * max(earlier_hours, default=0)
