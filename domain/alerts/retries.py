"""When an alert that could not be sent to its channel is sent again."""

from datetime import datetime, timedelta
from typing import Final

DELAYS: Final = (
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    *(timedelta(hours=1),) * 3,
    *(timedelta(hours=4),) * 5,
)
"""The delay after each failed attempt, almost 24 hours in all. The attempt after the last delay is the last one."""


def next_try(attempts: int, at: datetime) -> datetime | None:
    """When to try again after `attempts` failed ones (1 or more), the last at `at`; None after the last attempt."""
    return at + DELAYS[attempts - 1] if attempts <= len(DELAYS) else None
