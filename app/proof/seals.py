"""Seals rows of histories with hashes, so that `verify` finds rows that were altered or deleted afterwards."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from db.engine import committed, snapshot
from db.repository.proof import seals
from db.repository.proof.seals import HISTORIES, History
from runtime import clock

log = structlog.get_logger()

WRITERS_SECONDS: Final = 10.0
"""Seconds that a run waits, at most, for transactions that are writing to a history; the next run seals their rows."""

POLL_SECONDS: Final = 0.1
SLICES_A_RUN: Final = 50
"""Slices of each history that one run seals, ten million rows at most; the next runs seal the rest."""


def seal() -> int:
    """Seals new rows of each history, at most SLICES_A_RUN slices (ranges of ids); returns the number of rows.

    Waits up to WRITERS_SECONDS for transactions that write to a history, since they may commit lower ids, and skips the
    history if one is still running then. The ledger is never sealed.
    """
    sealed = {history.table: sum(_seal_slices(history)) for history in HISTORIES}
    rows = sum(sealed.values())
    if rows:
        log.info("history.sealed", rows=rows, histories=sorted(table for table, some in sealed.items() if some))
    return rows


def _seal_slices(history: History) -> Iterator[int]:
    up_to_id = _final_id(history)
    if up_to_id is not None:
        for _ in range(SLICES_A_RUN):
            count, is_done = committed(partial(_seal_slice, history=history, up_to_id=up_to_id))
            yield count
            if is_done:
                return


def _seal_slice(connection: Connection, history: History, up_to_id: int) -> tuple[int, bool]:
    at = clock.now()
    seals.take_turn(connection, at)
    count = seals.seal_slice(connection, history, up_to_id, at)
    return count, seals.sealed_to(connection, history) >= up_to_id


def _final_id(history: History) -> int | None:
    """Waits for transactions that write to the history; returns the last id up to which no row can be added any more.

    None if there is no new row, or such a transaction has not ended after WRITERS_SECONDS.
    """
    with snapshot() as connection:
        last_id, sealed_to = seals.last_id(connection, history), seals.sealed_to(connection, history)
    if last_id is None or last_id <= sealed_to:
        return None
    deadline = time.monotonic() + WRITERS_SECONDS
    # One that runs now may be prepared when it has stopped running, so those are looked for afterwards.
    for writers in (seals.writers, seals.prepared_writers):
        if remaining := _remaining(partial(writers, history=history), deadline):
            log.info("history.not_sealed", history=history.table, writers=len(remaining))
            return None
    return last_id


def _remaining(writers: Callable[[Connection], frozenset[str]], deadline: float) -> frozenset[str]:
    """Waits until the present writers have ended, or until `deadline` (monotonic); returns those that have not."""
    with snapshot() as connection:
        remaining = writers(connection)
    while remaining and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        with snapshot() as connection:
            remaining &= writers(connection)
    return remaining
