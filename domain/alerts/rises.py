"""Decides whether inputs are rejected much more often than in the hours before."""

from collections.abc import Sequence
from typing import Final

MIN_REJECTED: Final = 10
"""Rejected inputs in an hour below which there is no alert."""

TIMES_MORE: Final = 3
"""Factor: a rise exceeds the busiest earlier hour times this."""


def is_rise(this_hour: int, earlier_hours: Sequence[int]) -> bool:
    """Whether `this_hour`, the inputs rejected in the last 60 minutes, is a rise over the counts of earlier hours."""
    return this_hour >= MIN_REJECTED and this_hour > TIMES_MORE * max(earlier_hours, default=0)
