"""Finds the brands that another program keeps locked, by two checks of the rows that a transaction writes."""

import time
from collections.abc import Collection, Set
from typing import Final

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

from app.ingest.attempts import UNKNOWN_BRAND, Attempt
from app.ingest.lock_timeouts import CommitPace
from app.ingest.locked_brands import locked_brands
from db.engine import transaction
from db.repository.ledger.locked_rows import LockedRow, locked_brand_rows, locked_rows_of_brands

log = structlog.get_logger()

BETWEEN_CHECKS_SECONDS: Final = 0.2
"""Shortest time between two checks of locked rows, in seconds."""

LONGEST_BETWEEN_CHECKS_SECONDS: Final = 2.0
"""Longest time between two checks of locked rows, in seconds."""

BETWEEN_CHECKS_TRANSACTIONS: Final = 4
"""Time between two checks of locked rows, in mean durations of a transaction.

It is at least BETWEEN_CHECKS_SECONDS and at most LONGEST_BETWEEN_CHECKS_SECONDS.

A row that one transaction holds at both checks counts as locked, unless that transaction waits for a lock itself. A row
that passes between transactions does not.
"""

FEW_LOCKED: Final = 8
"""Number of locked brands up to which they are always left out of the repeated transaction."""

LOCKED_DIVISOR: Final = 4
"""Divisor: if more than 1/4 of the brands, and more than FEW_LOCKED, are locked, the whole transaction is repeated.

At the last try, and for inputs left out before, any number of locked brands is left out instead.
"""

MANY_ROWS: Final = 20_000
"""Rows of campaigns and counters that are checked, at most, at all tries but the last; each check costs a write."""

MOST_ROWS: Final = 500_000
"""Rows of campaigns and counters that are checked, at most, at the last try; each check costs a write."""


def find_locked_brands(attempt: Attempt, pace: CommitPace, *, is_last: bool) -> frozenset[int]:
    """Checks locked rows twice, with a pause; returns the brands of rows that one other transaction holds both times.

    Rows of a transaction that waits for a lock itself count as locked with `is_last` alone: no further try follows.
    """
    first = _find_locked_rows(attempt, is_last=is_last)
    if not first:
        return frozenset()
    pause = max(BETWEEN_CHECKS_SECONDS, BETWEEN_CHECKS_TRANSACTIONS * pace.mean_seconds)
    time.sleep(min(pause, LONGEST_BETWEEN_CHECKS_SECONDS))
    return frozenset(row.brand_id for row in first & _find_locked_rows(attempt, is_last=is_last))


def _find_locked_rows(attempt: Attempt, *, is_last: bool) -> set[LockedRow]:
    """The locked rows of the attempt's brands; if there are none, the locked rows of their counters and campaigns."""
    with transaction() as connection:
        rows = locked_brand_rows(connection, attempt.brand_ids, counts_waiting=is_last)
    if rows:
        return rows
    max_rows = MOST_ROWS if is_last else MANY_ROWS
    with transaction() as connection:
        return locked_rows_of_brands(connection, attempt.brand_ids, attempt.days, max_rows, counts_waiting=is_last)


def are_few(locked: Collection[int], attempt: Attempt) -> bool:
    """Whether few enough brands are locked to commit without them, instead of repeating the whole transaction."""
    return len(locked) <= max(len(attempt.brand_ids) // LOCKED_DIVISOR, FEW_LOCKED)


def mark_locked(
    brand_ids: Set[int], error: DBAPIError | psycopg.Error, tried_seconds: float = 0, *, is_away: bool = False
) -> None:
    """Adds the brands to `locked_brands` of this process, and logs them.

    Logs a line for each brand; with `is_away`, because their server does not answer, one line for all. `tried_seconds`:
    the duration of the transaction that failed, if it was slow.
    """
    locked_brands.add(brand_ids, tried_seconds)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if brand_ids == {UNKNOWN_BRAND}:
        log.info("spend.unknown_waits", error=type(cause).__name__)
        return
    if is_away:
        log.warning("server.away", brands=len(brand_ids), error=type(cause).__name__)
        return
    for brand_id in sorted(brand_ids):
        log.warning("brand.locked", brand_id=brand_id, error=type(cause).__name__)
