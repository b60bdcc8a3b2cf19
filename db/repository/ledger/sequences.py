"""Stores runs of sequence numbers that arrived, and finds the gaps between them, which may be events lost upstream.

A run is a range of consecutive numbers of one source, first to last.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared import locks, watermarks
from db.repository.shared.locks import Lock
from domain.inputs.sequences import Run

ALL_BRANDS: Final = 0
"""The brand id of senders that may send for all brands: programs on the queue, API keys without a brand."""

RUNS_A_PAGE: Final = 100_000
"""The most runs that one statement merges."""

MAX_RUNS: Final = 10_000
"""The most runs kept per source, so that a source with random numbers cannot fill the table."""

LOGGED: Final = "sequence_gaps"
"""The name of the watermark up to which gaps were logged; gaps that were due before it are not logged again."""

# Adds runs without reading existing ones, so that two workers never wait for each other.
APPEND = text("""
    INSERT INTO sequence_runs (sender_brand_id, source, first, last, received_at)
    SELECT :brand_id, sent.*, :at
    FROM unnest(CAST(:sources AS text[]), CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[])) AS sent
""")

# One page of the sources with more than one run, in order.
SCATTERED = text("""
    SELECT sender_brand_id, source FROM sequence_runs WHERE (sender_brand_id, source) > (:after_brand_id, :after_source)
    GROUP BY sender_brand_id, source HAVING count(*) > 1 ORDER BY sender_brand_id, source LIMIT :limit
""")

# Merges adjoining runs among one page of a source's runs: extends the first run of each gapless stretch and deletes the
# others. A stretch begins where all runs before it end more than one number below. Returns how many runs it read and
# where the last stretch begins.
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

# Merges the lowest runs of a source, with the gaps between them, so that :keep runs are left. Returns the last number
# of the merged run and how many numbers were missing in it.
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

# The gaps of sources, whether adjoining runs are merged or not. A gap begins when the runs on both its sides have
# arrived. The window functions aggregate each side from its outer end, so that the cost stays linear.
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

# Each source with its first and last number, and how many numbers between are absent, and absent since before :until.
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
    """A source, identified by its sender and name: sources of the same name from different senders are distinct.

    `brand_id`: the only brand of the sender's API key; ALL_BRANDS for senders of all brands.
    """

    brand_id: int
    name: str


class Gap(NamedTuple):
    """Numbers `first` to `last` of a source that did not arrive although numbers on both sides did, since `since`."""

    brand_id: int
    source: str
    first: int
    last: int
    since: datetime

    @property
    def missing(self) -> int:
        """The number of missing sequence numbers."""
        return self.last - self.first + 1


class Numbering(NamedTuple):
    """The sequence numbers of one source, from the first to the last that arrived.

    `arrived`: how many of them arrived, with the numbers of dropped gaps. `missing`: how many are absent since the
    moment that the caller of `numberings` gave, or longer.
    """

    brand_id: int
    source: str
    first: int
    last: int
    arrived: int
    missing: int


class DroppedGaps(NamedTuple):
    """Gaps of a source up to the number `last`, no longer stored because the source has too many runs.

    `missing`: how many sequence numbers the gaps had in all.
    """

    brand_id: int
    source: str
    last: int
    missing: int


def append(connection: Connection, runs: Sequence[Run], at: datetime, only_brand_id: int | None) -> None:
    """Stores runs that arrived at `at`. `only_brand_id`: the only brand of the sender's API key; None: all brands."""
    if runs:
        brand_id = ALL_BRANDS if only_brand_id is None else only_brand_id
        sources, firsts, lasts = (list(column) for column in zip(*runs, strict=True))
        parameters = {"brand_id": brand_id, "sources": sources, "firsts": firsts, "lasts": lasts, "at": at}
        connection.execute(APPEND, parameters)


def may_join(connection: Connection) -> bool:
    """Takes the lock for merging runs until the transaction ends; returns False if another transaction holds it."""
    return locks.take_if_free(connection, Lock.SEQUENCE_RUNS)


def wait_to_join(connection: Connection) -> None:
    """Waits for the lock for merging runs, and holds it until the transaction ends."""
    locks.take(connection, Lock.SEQUENCE_RUNS)


def scattered_after(connection: Connection, after: Source | None, limit: int) -> list[Source]:
    """One page of the sources with more than one run, in order.

    `after` is the last one of the previous page; None for the first page.
    """
    brand_id, name = (ALL_BRANDS - 1, "") if after is None else after
    parameters = {"after_brand_id": brand_id, "after_source": name, "limit": limit}
    return [Source(*row) for row in connection.execute(SCATTERED, parameters)]


def join_page(connection: Connection, source: Source, after: int) -> int | None:
    """Merges adjoining runs among RUNS_A_PAGE runs from the number `after` on.

    Returns the number to continue from, None if no runs are left.
    """
    parameters = {**_key(source), "after": after, "limit": RUNS_A_PAGE}
    runs, last_stretch = connection.execute(JOIN, parameters).one()
    return int(last_stretch) if runs == RUNS_A_PAGE else None


def drop_lowest_gaps(connection: Connection, source: Source, keep: int) -> DroppedGaps | None:
    """Merges the source's lowest runs until `keep` are left. Numbers in the gaps between them count as arrived.

    Returns the dropped gaps, None if the source has no more than `keep` runs. Merges at most RUNS_A_PAGE runs per
    call; call it until it returns None.
    """
    parameters = {**_key(source), "keep": keep, "limit": RUNS_A_PAGE}
    row = connection.execute(FORGET_LOWEST, parameters).first()
    return None if row is None else DroppedGaps(*source, row[0], int(row[1]))


def has_too_many(connection: Connection, source: Source) -> bool:
    """Whether the source has more than MAX_RUNS runs."""
    runs: int = connection.scalars(COUNT, {**_key(source), "limit": MAX_RUNS + 1}).one()
    return runs > MAX_RUNS


def sources(connection: Connection) -> int:
    """The number of sources that send sequence numbers."""
    count: int = connection.scalars(COUNT_SOURCES).one()
    return count


def gaps(
    connection: Connection,
    until: datetime,
    *,
    source: str | None = None,
    brand_id: int | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> Iterator[Gap]:
    """The gaps that began after `since` (None: ever) and at the latest at `until`, by sender, source and number.

    `source`: only gaps of sources of this name; None: of any source. `brand_id`: only gaps of senders limited to this
    brand (ALL_BRANDS: of unlimited senders); None: of any sender. `limit`: at most so many; None: all.
    """
    parameters = {"source": source, "brand_id": brand_id, "since": since, "until": until, "limit": limit}
    return (Gap(*row) for row in connection.execute(GAPS, parameters))


def numberings(
    connection: Connection, until: datetime, source: str | None = None, brand_id: int | None = None
) -> list[Numbering]:
    """The numbering of each source that sends sequence numbers.

    Numbers absent since `until` or longer count as missing. `source`: only sources of this name; None: all. `brand_id`:
    only sources of senders limited to this brand (ALL_BRANDS: of unlimited senders); None: all.
    """
    rows = connection.execute(NUMBERINGS, {"source": source, "brand_id": brand_id, "until": until})
    return [
        Numbering(sender, name, first, last, last - first + 1 - int(absent), int(missing))
        for sender, name, first, last, absent, missing in rows
    ]


def gaps_to_log(connection: Connection, grace: timedelta, at: datetime, limit: int) -> tuple[list[Gap], int]:
    """Moves the watermark of logged gaps to `at`; returns gaps that became older than `grace` since it moved last.

    Returns up to `limit` gaps, and the number of further ones, which later calls do not return either.
    """
    reached = watermarks.reached_by(connection, LOGGED, at)
    due = gaps(connection, at - grace, since=reached and reached - grace)
    first = list(islice(due, limit))
    watermarks.raise_to(connection, LOGGED, at)
    return first, sum(1 for _ in due)


def _key(source: Source) -> dict[str, int | str]:
    return {"brand_id": source.brand_id, "source": source.name}
