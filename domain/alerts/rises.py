"""Whether inputs are rejected much more often than before."""

from collections.abc import Sequence
from typing import Final

MIN_REJECTED: Final = 10
"""Rejected inputs in an hour below which there is no alert."""

TIMES_MORE: Final = 3
"""How many times the busiest earlier hour a rise is."""


def is_rise(this_hour: int, earlier_hours: Sequence[int]) -> bool:
    """Whether the inputs rejected in the last 60 minutes are a rise over each earlier hour of the week."""
    return this_hour >= MIN_REJECTED and this_hour > TIMES_MORE * max(earlier_hours, default=0)
