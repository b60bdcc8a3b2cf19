"""Sequence numbers of sources: runs that arrived become one, and what is missing between them is told."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from db.engine import committed, snapshot
from db.repository.ledger import sequences
from db.repository.ledger.sequences import MAX_RUNS, Forgotten, Source
from runtime.settings import settings

log = structlog.get_logger()

SOURCES_A_PAGE: Final = 1_000
GAPS_TOLD: Final = 100
MANY_SOURCES: Final = 10_000
"""More than that are no sources, but something that changes with every event."""


def grace() -> timedelta:
    """How long numbers may be missing before it is a gap: messages overtake each other."""
    return timedelta(seconds=settings().sequence_gap_seconds)


def join_runs() -> None:
    """Joins the runs of every source, so that there is one for each stretch without a gap. Two at once are harmless."""
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
    while (forgotten := committed(partial(_bounded, source=source))) is not None:
        log.warning(
            "sequence.forgotten",
            brand_id=source.brand_id,
            source=source.name,
            up_to=forgotten.last,
            missing=forgotten.missing,
        )


def _join_page(connection: Connection, source: Source, after: int) -> int | None:
    return sequences.join_page(connection, source, after) if sequences.may_join(connection) else None


def _bounded(connection: Connection, source: Source) -> Forgotten | None:
    """Gives up the oldest gaps of a source that has too many to be looked at: its numbers may be no sequence at all."""
    if not sequences.may_join(connection) or not sequences.has_too_many(connection, source):
        return None
    return sequences.forget_lowest(connection, source, MAX_RUNS // 2)


def tell_gaps(at: datetime) -> None:
    """Logs each gap that has outlived the grace, once; of very many at once the first GAPS_TOLD."""
    committed(partial(_tell_gaps, at=at))


def _tell_gaps(connection: Connection, at: datetime) -> None:
    """The log comes before the commit: a run that dies between them tells again, and none is passed over."""
    if not sequences.may_join(connection):
        return
    for gap in sequences.untold(connection, grace(), at, GAPS_TOLD):
        log.warning(
            "sequence.gap",
            brand_id=gap.brand_id,
            source=gap.source,
            first=gap.first,
            last=gap.last,
            missing=gap.missing,
        )
    known = sequences.sources(connection)
    if known > MANY_SOURCES:
        log.warning("sequence.many_sources", sources=known)


def forget_gaps(source: Source) -> Forgotten | None:
    """Gives up all gaps of a source, once a person knows of them; None where there is none."""

    def forget(connection: Connection) -> Forgotten | None:
        sequences.wait_to_join(connection)
        return sequences.forget_lowest(connection, source, keep=1)

    pages: list[Forgotten] = []
    while (page := committed(forget)) is not None:
        pages.append(page)
    missing = sum(page.missing for page in pages)
    return Forgotten(*source, pages[-1].last, missing) if missing else None
