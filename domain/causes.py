"""The causes of enforcement runs, stored with each status change and each hold change."""

from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    """The trigger of an enforcement run."""

    SPEND = "spend"
    REPORTED_TOTAL = "reported_total"
    EDIT = "edit"
    SCHEDULE = "schedule"
    DAILY_RESET = "daily_reset"
    MONTHLY_RESET = "monthly_reset"
    REFRESH = "refresh"
    CHECK = "check"
    REPAIR = "repair"
    PLATFORM = "platform"


PERIODIC: Final = frozenset({Cause.SCHEDULE, Cause.DAILY_RESET, Cause.MONTHLY_RESET, Cause.REFRESH})
"""Causes of scheduled enforcement, which waits briefly for a locked brand and then skips it until its next run."""
