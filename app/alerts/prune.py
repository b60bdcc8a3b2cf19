"""Deletes old alerts, attempts and mutes."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from db.engine import committed
from db.repository.alerts import alerts, channels, mutes

ALERTS_KEPT: Final = timedelta(days=90)
"""Age after their end at which alerts are deleted, with their messages."""

ATTEMPTS_KEPT: Final = timedelta(days=30)


def forget_old(at: datetime) -> None:
    """Deletes alerts that ended ALERTS_KEPT ago, older attempts than ATTEMPTS_KEPT, and mutes that are over."""

    def work(connection: Connection) -> None:
        alerts.forget(connection, at - ALERTS_KEPT)
        channels.forget_attempts(connection, at - ATTEMPTS_KEPT)
        mutes.forget(connection, at - ATTEMPTS_KEPT)

    committed(work)
