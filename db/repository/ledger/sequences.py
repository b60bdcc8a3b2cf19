"""The runs of sequence numbers that arrived, and the gaps between them: what a source sent and we never saw."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared import locks, watermarks
from db.repository.shared.locks import Lock
from domain.sequences import Run

ALL_BRANDS: Final = 0
"""Stands for the brand of senders who know all brands: programs on the queue, and keys of no single brand."""

RUNS_A_PAGE: Final = 100_000
MAX_RUNS: Final = 10_000
"""What is kept of one source: behind so many gaps nobody looks, and random numbers would fill the table."""

LOGGED: Final = "sequence_gaps"
"""The watermark of gaps that were told: those that were there before it."""

# Adds runs, without a look at what is there: two workers never wait for each other.
APPEND = text("""
    INSERT INTO sequence_runs (sender_brand_id, source, first, last, received_at)
    SELECT :brand_id, sent.*, :at
    FROM unnest(CAST(:sources AS text[]), CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[])) AS sent
""")

# The sources with more than one run, in order, one page.
SCATTERED = text("""
    SELECT sender_brand_id, source FROM sequence_runs WHERE (sender_brand_id, source) > (:after_brand_id, :after_source)
    GROUP BY sender_brand_id, source HAVING count(*) > 1 ORDER BY sender_brand_id, source LIMIT :limit
""")

# Joins neighbours among a page of a source's runs: the first run of a stretch grows over the others, which go. A
# stretch opens where all numbers before it end more than one below. Says how many runs it read and where the last
# stretch begins.
JOIN = text("""
    WITH page AS (
        SELECT id, first, last, received_at FROM sequence_runs
        WHERE sender_brand_id = :brand_id AND source = :source AND first >= :after ORDER BY first, id LIMIT :limit
    ),
    marked AS (
        SELECT id, first, last, received_at, COALESCE(first - 1 > max(last) OVER (
            ORDER BY first, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), true) AS opens
        FROM page
    ),
    runs AS MATERIALIZED (
        SELECT id, first, last, received_at, count(*) FILTER (WHERE opens) OVER (ORDER BY first, id) AS stretch
        FROM marked
    ),
    stretches AS MATERIALIZED (
        SELECT stretch, (array_agg(id ORDER BY first, id))[1] AS kept, min(first) AS first, max(last) AS last,
            min(received_at) AS received_at, count(*) AS runs
        FROM runs GROUP BY stretch
    ),
    gone AS (
        DELETE FROM sequence_runs USING runs JOIN stretches USING (stretch)
        WHERE sequence_runs.id = runs.id AND runs.id <> kept
    ),
    grown AS (
        UPDATE sequence_runs
        SET last = stretches.last, received_at = stretches.received_at
        FROM stretches WHERE sequence_runs.id = kept AND runs > 1
    )
    SELECT COALESCE(sum(runs), 0)::bigint AS runs, COALESCE(max(first), 0) AS last_stretch FROM stretches
""")

COUNT = text("""
    SELECT count(*) FROM (
        SELECT FROM sequence_runs WHERE sender_brand_id = :brand_id AND source = :source LIMIT :limit
    ) AS known
""")
COUNT_SOURCES = text("SELECT count(*) FROM (SELECT DISTINCT sender_brand_id, source FROM sequence_runs) AS known")

# Joins the lowest runs of a source, gaps and all, so that so many are left; the last number, and how many were missing.
FORGET_LOWEST = text("""
    WITH own AS MATERIALIZED (
        SELECT id, first, last, received_at FROM sequence_runs WHERE sender_brand_id = :brand_id AND source = :source
    ),
    lowest AS (
        SELECT * FROM own ORDER BY first, id
        LIMIT least(greatest((SELECT count(*) FROM own) - :keep + 1, 0), :limit)
    ),
    gone AS (DELETE FROM sequence_runs USING lowest WHERE sequence_runs.id = lowest.id),
    kept AS (
        INSERT INTO sequence_runs (sender_brand_id, source, first, last, received_at)
        SELECT :brand_id, :source, min(first), max(last), min(received_at) FROM lowest HAVING count(*) > 0
    )
    SELECT max(last), max(last)::numeric - min(first) + 1 - sum(last::numeric - first + 1)
    FROM lowest HAVING count(*) > 1
""")

# The gaps of sources, whether their runs are joined or not. A gap is there since both its sides have arrived; the
# sides are aggregated from their outer ends on, so that the cost does not grow with their square.
_WITH_GAPS = """
    WITH run AS (
        SELECT sender_brand_id, source, max(last) OVER from_below AS last, lead(first) OVER from_below AS next_first,
            min(received_at) OVER from_below AS below,
            min(received_at) OVER (
                PARTITION BY sender_brand_id, source ORDER BY first DESC, id DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS above
        FROM sequence_runs
        WHERE (CAST(:source AS text) IS NULL OR source = :source)
            AND (CAST(:brand_id AS bigint) IS NULL OR sender_brand_id = :brand_id)
        WINDOW from_below AS (PARTITION BY sender_brand_id, source ORDER BY first, id ROWS UNBOUNDED PRECEDING)
    ),
    gap AS (
        SELECT sender_brand_id, source, last + 1 AS first, next_first - 1 AS last, greatest(below, above) AS since
        FROM run WHERE next_first - 1 > last
    )
"""

GAPS = text(f"""{_WITH_GAPS}
    SELECT sender_brand_id, source, first, last, since FROM gap
    WHERE since <= :until AND (CAST(:since AS timestamptz) IS NULL OR since > :since)
    ORDER BY sender_brand_id, source, first LIMIT :limit
""")  # noqa: S608 - a constant, put together once

# Each source with its ends, and how many numbers between them did not arrive: all, and those missing since long.
NUMBERINGS = text(f"""{_WITH_GAPS},
    gaps AS (
        SELECT sender_brand_id, source, sum(last::numeric - first + 1) AS absent,
            sum(last::numeric - first + 1) FILTER (WHERE since <= :until) AS missing
        FROM gap GROUP BY sender_brand_id, source
    )
    SELECT sender_brand_id, source, min(first), max(last), COALESCE(min(absent), 0), COALESCE(min(missing), 0)
    FROM sequence_runs LEFT JOIN gaps USING (sender_brand_id, source)
    WHERE (CAST(:source AS text) IS NULL OR source = :source)
        AND (CAST(:brand_id AS bigint) IS NULL OR sender_brand_id = :brand_id)
    GROUP BY sender_brand_id, source ORDER BY sender_brand_id, source
""")  # noqa: S608 - a constant, put together once


class Source(NamedTuple):
    """A source by whoever sends for it: another sender's source of that name is another one.

    `brand_id`: the only brand that the sender's key knows; ALL_BRANDS for senders who know all.
    """

    brand_id: int
    name: str


class Gap(NamedTuple):
    """Numbers of a source, `first` to `last`, that did not arrive though others on both sides did, `since` when."""

    brand_id: int
    source: str
    first: int
    last: int
    since: datetime

    @property
    def missing(self) -> int:
        """How many numbers it spans."""
        return self.last - self.first + 1


class Numbering(NamedTuple):
    """One source's numbers: from which to which, how many arrived, how many are missing for longer than the grace."""

    brand_id: int
    source: str
    first: int
    last: int
    arrived: int
    missing: int


class Forgotten(NamedTuple):
    """Gaps given up because their source has too many: those up to `last`, in all so many numbers."""

    brand_id: int
    source: str
    last: int
    missing: int


def append(connection: Connection, runs: Sequence[Run], at: datetime, only_brand_id: int | None) -> None:
    """Notes runs that arrived at `at` from a sender who knows the one brand; None knows all."""
    if runs:
        brand_id = ALL_BRANDS if only_brand_id is None else only_brand_id
        sources, firsts, lasts = (list(column) for column in zip(*runs, strict=True))
        parameters = {"brand_id": brand_id, "sources": sources, "firsts": firsts, "lasts": lasts, "at": at}
        connection.execute(APPEND, parameters)


def may_join(connection: Connection) -> bool:
    """Whether nobody else joins runs; nobody else does until this transaction ends."""
    return locks.take_if_free(connection, Lock.SEQUENCE_RUNS)


def wait_to_join(connection: Connection) -> None:
    """Waits until nobody else joins runs; nobody else does until this transaction ends."""
    locks.take(connection, Lock.SEQUENCE_RUNS)


def scattered_after(connection: Connection, after: Source | None, limit: int) -> list[Source]:
    """The sources with more than one run in order, one page; `after` is the last of the page before."""
    brand_id, name = (ALL_BRANDS - 1, "") if after is None else after
    parameters = {"after_brand_id": brand_id, "after_source": name, "limit": limit}
    return [Source(*row) for row in connection.execute(SCATTERED, parameters)]


def join_page(connection: Connection, source: Source, after: int) -> int | None:
    """Joins the neighbours among RUNS_A_PAGE runs from number `after` on; where to go on, None at the end."""
    parameters = {**_key(source), "after": after, "limit": RUNS_A_PAGE}
    runs, last_stretch = connection.execute(JOIN, parameters).one()
    return int(last_stretch) if runs == RUNS_A_PAGE else None


def forget_lowest(connection: Connection, source: Source, keep: int) -> Forgotten | None:
    """Gives up the gaps below the source's highest `keep` runs: their numbers count as arrived. None: there are none.

    Takes RUNS_A_PAGE at a time: what it returns may not have been all.
    """
    parameters = {**_key(source), "keep": keep, "limit": RUNS_A_PAGE}
    row = connection.execute(FORGET_LOWEST, parameters).first()
    return None if row is None else Forgotten(*source, row[0], int(row[1]))


def has_too_many(connection: Connection, source: Source) -> bool:
    """Whether the source has more than MAX_RUNS runs."""
    runs: int = connection.scalars(COUNT, {**_key(source), "limit": MAX_RUNS + 1}).one()
    return runs > MAX_RUNS


def sources(connection: Connection) -> int:
    """How many sources number their events."""
    found: int = connection.scalars(COUNT_SOURCES).one()
    return found


def gaps(
    connection: Connection,
    until: datetime,
    *,
    source: str | None = None,
    brand_id: int | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> Iterator[Gap]:
    """The gaps that are there since a moment in (`since`, `until`], by sender, source and number.

    `brand_id`: only those of its senders, or of ALL_BRANDS; None: everybody's.
    """
    parameters = {"source": source, "brand_id": brand_id, "since": since, "until": until, "limit": limit}
    return (Gap(*row) for row in connection.execute(GAPS, parameters))


def numberings(
    connection: Connection, until: datetime, source: str | None = None, brand_id: int | None = None
) -> list[Numbering]:
    """Every source that numbers its events, or the one. A gap counts as missing where it is there since `until`."""
    rows = connection.execute(NUMBERINGS, {"source": source, "brand_id": brand_id, "until": until})
    return [
        Numbering(sender, name, first, last, last - first + 1 - int(absent), int(missing))
        for sender, name, first, last, absent, missing in rows
    ]


def untold(connection: Connection, grace: timedelta, at: datetime, limit: int) -> list[Gap]:
    """The gaps that outlived the grace since the last call that was committed, at most so many."""
    reached = watermarks.reached_by(connection, LOGGED, at)
    found = list(gaps(connection, at - grace, since=reached and reached - grace, limit=limit))
    watermarks.raise_to(connection, LOGGED, at)
    return found


def _key(source: Source) -> dict[str, int | str]:
    return {"brand_id": source.brand_id, "source": source.name}
