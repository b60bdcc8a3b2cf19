"""Measures how far an account's spend may exceed a limit, and says it in words."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from db.engine import committed, snapshot
from db.repository.platforms import bounds as rows
from db.repository.platforms.connections import StoredConnection
from domain.periods import local_day, time_zone
from domain.reporting.bounds import Bound, in_words, measured
from runtime.formats import rounded_money

MEASURED: Final = timedelta(days=90)
"""Time before now whose pauses and days are measured."""


def measure(stored: StoredConnection, at: datetime) -> Bound:
    """Measures the account's bound and stores it."""
    today = local_day(at, time_zone(stored.time_zone or "UTC"))
    with snapshot() as connection:
        pauses = rows.pauses_seen(connection, stored.id, stored.platform, at - MEASURED)
        days = rows.days_seen(connection, stored.id, stored.platform, at - MEASURED, at)
    bound = measured(pauses, days, today)
    committed(partial(rows.keep, account=stored.id, bound=bound, at=at))
    return bound


def words_of(bound: Bound | None, currency: str) -> str:
    """The bound as a sentence with money; says «not enough data yet» without one."""
    micros = None if bound is None else bound.bound_micros
    return in_words(bound, "" if micros is None else rounded_money(micros, currency))


def words_of_brand(connection: Connection, brand_id: int) -> dict[int, str]:
    """The sentence of each connected account of the brand, by account id."""
    return {one.account: words_of(one.bound, one.currency) for one in rows.bounds_of_brand(connection, brand_id)}
