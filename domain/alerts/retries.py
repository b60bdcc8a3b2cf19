"""When a message that could not be sent is tried again."""

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
"""The pause after each failed attempt: 24 hours in all."""


def next_try(attempts: int, at: datetime) -> datetime | None:
    """When to try again after that many failed attempts, the last at `at`; None: no more."""
    return at + DELAYS[attempts - 1] if attempts <= len(DELAYS) else None
