"""Measures how far an account's spend may exceed a limit."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from db.engine import committed, snapshot
from db.repository.platforms import bounds as rows
from db.repository.platforms.connections import StoredConnection
from domain.periods import local_day
from domain.reporting.bounds import Bound, measured
from domain.zones import time_zone

MEASURED_FOR: Final = timedelta(days=90)
"""Time before now in which pauses and days are measured."""


def measure(stored: StoredConnection, at: datetime) -> Bound:
    """Measures how far the account's spend may exceed a limit, stores this bound and returns it."""
    today = local_day(at, time_zone(stored.time_zone or "UTC"))
    with snapshot() as connection:
        pauses = rows.pauses_seen(connection, stored.id, stored.platform, at - MEASURED_FOR)
        days = rows.days_seen(connection, stored.id, stored.platform, at - MEASURED_FOR, at)
    bound = measured(pauses, days, today)
    committed(partial(rows.keep, account=stored.id, bound=bound, at=at))
    return bound
