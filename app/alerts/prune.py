"""Deletes old alerts, attempts and mutes."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from app.batches import in_batches
from db.repository.alerts import alerts, channels, mutes

ALERTS_KEPT: Final = timedelta(days=90)
"""Age after their end at which alerts are deleted, with their messages."""

ATTEMPTS_KEPT: Final = timedelta(days=30)


def forget_old(at: datetime) -> None:
    """Deletes alerts that ended ALERTS_KEPT before `at`, and attempts and mutes that ended ATTEMPTS_KEPT before it."""
    in_batches(partial(alerts.forget, before=at - ALERTS_KEPT))
    in_batches(partial(channels.forget_attempts, before=at - ATTEMPTS_KEPT))
    in_batches(partial(mutes.forget, before=at - ATTEMPTS_KEPT))
