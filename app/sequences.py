"""Joins the runs of sequence numbers that arrived from sources of spend, and logs the gaps between them."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from db.engine import committed, snapshot
from db.repository.ledger import sequences
from db.repository.ledger.sequences import MAX_RUNS, DroppedGaps, Source
from runtime.settings import settings

log = structlog.get_logger()

SOURCES_A_PAGE: Final = 1_000
"""Sources that one statement reads, at most."""

MAX_GAPS_LOGGED: Final = 100
"""Gaps that one run logs with a line each, at most; of further gaps it logs only how many there are."""

MANY_SOURCES: Final = 10_000
"""Number of sources above which a warning is logged: a producer probably sends a new source with every event."""


def grace() -> timedelta:
    """How long a number may be missing before it counts as a gap; messages may arrive out of order."""
    return timedelta(seconds=settings().sequence_gap_seconds)


def join_runs() -> None:
    """Joins each source's adjacent runs of numbers, so that one run stands for each stretch without a gap.

    Drops the gaps with the lowest numbers of a source that has more than MAX_RUNS runs, and logs it. May run
    concurrently.
    """
    after: Source | None = None
    while True:
        with snapshot() as connection:
            page = sequences.scattered_after(connection, after, SOURCES_A_PAGE)
        for source in page:
            _join_runs_of(source)
        if len(page) < SOURCES_A_PAGE:
            return
        after = page[-1]


def _join_runs_of(source: Source) -> None:
    number: int | None = 0
    while number is not None:
        number = committed(partial(_join_page, source=source, after=number))
    while (forgotten := committed(partial(_drop_oldest_gaps, source=source))) is not None:
        log.warning(
            "sequence.forgotten",
            brand_id=source.brand_id,
            source=source.name,
            up_to=forgotten.last,
            missing=forgotten.missing,
        )


def _join_page(connection: Connection, source: Source, after: int) -> int | None:
    return sequences.join_page(connection, source, after) if sequences.may_join(connection) else None


def _drop_oldest_gaps(connection: Connection, source: Source) -> DroppedGaps | None:
    """Drops the gaps with the lowest numbers of a source with more than MAX_RUNS runs; returns them as one.

    None if the source has no more runs, or another job joins runs now. Numbers with so many gaps are probably not
    consecutive at all.
    """
    if not sequences.may_join(connection) or not sequences.has_too_many(connection, source):
        return None
    return sequences.drop_lowest_gaps(connection, source, MAX_RUNS // 2)


def log_gaps(at: datetime) -> None:
    """Logs each gap once, when it is older than `grace()`; after MAX_GAPS_LOGGED in a run, only the number of others.

    Warns if there are more than MANY_SOURCES sources. Does nothing while another job joins runs.
    """
    committed(partial(_log_gaps, at=at))


def _log_gaps(connection: Connection, at: datetime) -> None:
    # Logged before the commit: after a crash between the two a gap is logged again rather than never.
    if not sequences.may_join(connection):
        return
    due, further = sequences.gaps_to_log(connection, grace(), at, MAX_GAPS_LOGGED)
    for gap in due:
        log.warning(
            "sequence.gap",
            brand_id=gap.brand_id,
            source=gap.source,
            first=gap.first,
            last=gap.last,
            missing=gap.missing,
        )
    if further:
        log.warning("sequence.more_gaps", gaps=further)
    known = sequences.sources(connection)
    if known > MANY_SOURCES:
        log.warning("sequence.many_sources", sources=known)


def forget_gaps(source: Source) -> DroppedGaps | None:
    """Drops all gaps of a source, after a person has inspected them; returns them as one, None if it has no gap.

    The missing numbers then count as arrived.
    """

    def forget(connection: Connection) -> DroppedGaps | None:
        sequences.wait_to_join(connection)
        return sequences.drop_lowest_gaps(connection, source, keep=1)

    pages: list[DroppedGaps] = []
    while (page := committed(forget)) is not None:
        pages.append(page)
    missing = sum(page.missing for page in pages)
    return DroppedGaps(*source, pages[-1].last, missing) if missing else None
