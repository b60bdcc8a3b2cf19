"""Campaign days in imports: their present totals, and the totals before and after each import, used to undo it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, TextClause, text

from db.local_settings import has_citus
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.rows import plain

# Every source that has reported totals; jumps through the primary key from one source to the next.
SOURCES = text("""
    /*citus SELECT DISTINCT source FROM reported_totals ORDER BY source */
    /*plain*/ WITH RECURSIVE found AS (
        SELECT min(source) AS source FROM reported_totals
        UNION ALL
        SELECT (SELECT min(source) FROM reported_totals WHERE source > found.source) FROM found
        WHERE found.source IS NOT NULL
    )
    SELECT source FROM found WHERE source IS NOT NULL /*end*/
""")

# The present total of each campaign day by the first of the sources that has one, its `as_of`, and the day's counter.
# If undoing an import restored the total, `true_as_of` is the `as_of` that the figure first had.
KNOWN = text("""
    /*citus WITH reported_totals AS MATERIALIZED (
        SELECT brand_id, campaign_id, day, source, total_micros, as_of FROM reported_totals
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND campaign_id = ANY(CAST(:campaign_ids AS bigint[]))
            AND day = ANY(CAST(:days AS date[])) AND source = ANY(CAST(:sources AS text[]))
    ), campaign_days AS MATERIALIZED (
        SELECT brand_id, campaign_id, day, spent_micros FROM campaign_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND campaign_id = ANY(CAST(:campaign_ids AS bigint[]))
            AND day = ANY(CAST(:days AS date[]))
    ), import_days AS MATERIALIZED (
        SELECT brand_id, campaign_id, day, source, undone_as_of, import_id, before_micros, before_as_of
        FROM import_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND campaign_id = ANY(CAST(:campaign_ids AS bigint[]))
            AND day = ANY(CAST(:days AS date[])) AND undone_as_of IS NOT NULL
    ) */
    SELECT sent.campaign_id, sent.day, own.source, own.total_micros, own.as_of,
        CASE WHEN undone.import_id IS NULL THEN own.as_of ELSE undone.before_as_of END AS true_as_of,
        undone.import_id IS NOT NULL AND undone.before_micros IS NULL AS is_forgotten,
        COALESCE(counter.spent_micros, 0) AS spent_micros
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]))
        AS sent(brand_id, campaign_id, day)
    LEFT JOIN LATERAL (
        SELECT source, total_micros, as_of FROM reported_totals AS total
        WHERE total.source = ANY(CAST(:sources AS text[]))
            AND total.brand_id = sent.brand_id AND total.campaign_id = sent.campaign_id AND total.day = sent.day
        ORDER BY array_position(CAST(:sources AS text[]), total.source) LIMIT 1
    ) AS own ON true
    LEFT JOIN campaign_days AS counter
        ON counter.brand_id = sent.brand_id AND counter.campaign_id = sent.campaign_id AND counter.day = sent.day
    LEFT JOIN LATERAL (
        SELECT import_id, before_micros, before_as_of FROM import_days
        WHERE brand_id = sent.brand_id AND campaign_id = sent.campaign_id AND day = sent.day
            AND source = own.source AND undone_as_of = own.as_of
        LIMIT 1
    ) AS undone ON true
""")

# Records the totals that this transaction changed, before and after: those whose row it wrote, since the age of a
# transaction id is 0 in the transaction itself, on each server. If undoing an import restored the figure before,
# its `as_of` is recorded as it first was. The subquery with a limit makes one look-up a total by the primary key: as a
# join it read all rows of a new brand for each total, until the table was analyzed.
_CHANGED: Final = """
    SELECT brand_id, campaign_id, day, CAST(:import_id AS bigint) AS import_id, source,
        CASE WHEN NOT is_first THEN previous_micros END AS before_micros, true_as_of AS before_as_of,
        total_micros AS after_micros, as_of
    FROM (
        SELECT total.*, undone.import_id IS NULL AND previous_as_of IS NULL
                OR undone.import_id IS NOT NULL AND undone.before_micros IS NULL AS is_first,
            CASE WHEN undone.import_id IS NULL THEN previous_as_of ELSE undone.before_as_of END AS true_as_of
        FROM reported_totals AS total
        LEFT JOIN LATERAL (
            SELECT import_id, before_micros, before_as_of FROM import_days
            WHERE brand_id = total.brand_id AND campaign_id = total.campaign_id AND day = total.day
                AND source = total.source AND undone_as_of = total.previous_as_of
            LIMIT 1
        ) AS undone ON true
        WHERE total.source = ANY(CAST(:sources AS text[])) AND total.brand_id = ANY(CAST(:brand_ids AS bigint[]))
            AND total.campaign_id = ANY(CAST(:campaign_ids AS bigint[]))
            AND total.day = ANY(CAST(:days AS date[])) AND age(total.xmin) = 0
    ) AS changed
    WHERE is_first OR total_micros <> previous_micros
"""

_KEEP: Final = """
    INSERT INTO import_days (brand_id, campaign_id, day, import_id, source, before_micros, before_as_of, after_micros,
        as_of)
"""

KEEP_CHANGED = text(f"{_KEEP} {_CHANGED} ON CONFLICT DO NOTHING")

# Citus writes no rows that it finds by the transaction that changed others: it reads them, and then writes each.
CHANGED = text(_CHANGED)

KEEP = text(f"""
    {_KEEP}
    VALUES (:brand_id, :campaign_id, :day, :import_id, :source, :before_micros, :before_as_of, :after_micros, :as_of)
    ON CONFLICT DO NOTHING
""")

# Campaign days within a range that earlier imports of an account set, and whose totals are not 0.
SET_EARLIER = text("""
    SELECT DISTINCT own.campaign_id, own.day, campaigns.external_id, own.total_micros, own.as_of, own.source
    FROM imports
    JOIN import_days ON import_id = imports.id AND undone_as_of IS NULL
    JOIN reported_totals AS own
        ON own.brand_id = import_days.brand_id AND own.source = import_days.source
        AND own.campaign_id = import_days.campaign_id AND own.day = import_days.day
    JOIN campaigns ON campaigns.brand_id = own.brand_id AND campaigns.id = own.campaign_id
    WHERE account = :account AND imports.source = ANY(CAST(:sources AS text[]))
        AND import_days.day BETWEEN :first_day AND :last_day AND own.total_micros <> 0 AND own.as_of < :as_of
    ORDER BY campaigns.external_id, own.day
""")

# The days of an import that still have its totals, or have them again after later imports were undone.
STILL_SET = text("""
    SELECT ours.brand_id, ours.campaign_id, ours.day, COALESCE(ours.before_micros, 0) AS before_micros, own.as_of,
        own.source
    FROM import_days AS ours
    JOIN reported_totals AS own
        ON own.brand_id = ours.brand_id AND own.source = ours.source AND own.campaign_id = ours.campaign_id
        AND own.day = ours.day
    LEFT JOIN import_days AS later
        ON later.brand_id = ours.brand_id AND later.campaign_id = ours.campaign_id AND later.day = ours.day
        AND later.source = ours.source AND later.undone_as_of = own.as_of
    WHERE ours.import_id = :import_id AND ours.undone_as_of IS NULL
        AND (own.as_of = ours.as_of OR later.before_as_of = ours.as_of)
    ORDER BY ours.campaign_id, ours.day
""")

COUNTS = text("""
    SELECT count(*) FILTER (WHERE undone_as_of IS NULL), count(undone_as_of) FROM import_days
    WHERE import_id = :import_id
""")

_RESTORED: Final = """
    WHERE import_days.import_id = :import_id AND import_days.undone_as_of IS NULL
        AND import_days.brand_id = ANY(CAST(:brand_ids AS bigint[]))
        AND import_days.campaign_id = ANY(CAST(:campaign_ids AS bigint[]))
        AND total.brand_id = import_days.brand_id AND total.source = import_days.source
        AND total.campaign_id = import_days.campaign_id
        AND total.day = import_days.day AND total.day = ANY(CAST(:days AS date[]))
        AND age(total.xmin) = 0
"""

# Marks the days of an import whose totals this transaction restored.
NOTE_UNDONE = text(f"UPDATE import_days SET undone_as_of = total.as_of FROM reported_totals AS total {_RESTORED}")  # noqa: S608 - a constant

RESTORED = text(f"""
    SELECT import_days.brand_id, import_days.campaign_id, import_days.day, import_days.import_id,
        total.as_of AS undone_as_of
    FROM import_days, reported_totals AS total {_RESTORED}
""")  # noqa: S608 - a constant, put together once

NOTE_UNDONE_DAY = text("""
    UPDATE import_days SET undone_as_of = :undone_as_of
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id AND day = :day AND import_id = :import_id
""")


class KnownDay(NamedTuple):
    """The present figures of a campaign day.

    `source`: the first of the asked sources that has a total; None if none has. `own_micros`: its total, None if there
    is none or if undoing an import took it back. `spent_micros`: the counter, with the spend of all sources. `as_of`: a
    new total must be newer than this. `true_as_of`: the `as_of` that the figure first had, before imports were undone.
    """

    source: str | None
    own_micros: int | None
    as_of: datetime | None
    true_as_of: datetime | None
    spent_micros: int


class SetDay(NamedTuple):
    """A campaign day with its present total, set by an earlier import."""

    campaign_id: int
    day: date
    external_id: str | None
    micros: int
    as_of: datetime
    source: str


class Restored(NamedTuple):
    """A campaign day of an import, and the total to restore (0 for none). `as_of`: of the present total."""

    brand_id: int
    campaign_id: int
    day: date
    before_micros: int
    as_of: datetime
    source: str


def sources(connection: Connection) -> list[str]:
    """Every source that has reported totals, in order."""
    return list(connection.scalars(SOURCES))


def known(
    connection: Connection, sources: Sequence[str], keys: Sequence[tuple[int, int, date]]
) -> dict[tuple[int, date], KnownDay]:
    """The present figures of campaign days, by (campaign id, day). `keys`: their (brand id, campaign id, day).

    The total of a day is the one reported by the first of `sources` that has reported any.
    """
    brand_ids, campaign_ids, days = zip(*keys, strict=True) if keys else ((), (), ())
    columns = {"brand_ids": array_of(brand_ids), "campaign_ids": array_of(campaign_ids), "days": array_of(days)}
    rows = connection.execute(KNOWN, columns | {"sources": text_array_of(sources)})
    return {
        (row.campaign_id, row.day): KnownDay(
            row.source, None if row.is_forgotten else row.total_micros, row.as_of, row.true_as_of, row.spent_micros
        )
        for row in rows
    }


def keep_changed(
    connection: Connection,
    import_id: int,
    sources: Sequence[str],
    of: tuple[Iterable[int], Iterable[int]],
    days: Iterable[date],
) -> None:
    """Records for an import the totals that this transaction changed, before and after.

    Only totals of one of `sources`, on one of `days`, of brands and campaigns in `of`: (brand ids, campaign ids).
    """
    found = _candidates(of, days) | {"import_id": import_id, "sources": text_array_of(sources)}
    _write(connection, found, KEEP_CHANGED, (CHANGED, KEEP))


def set_earlier(
    connection: Connection, account: str, sources: Sequence[str], range_of_days: tuple[date, date], as_of: datetime
) -> list[SetDay]:
    """The campaign days whose totals imports of the account set, and which were not undone.

    `sources`: the sources of these imports. `range_of_days`: first and last day, both included. Leaves out totals of 0
    and totals that are not older than `as_of`.
    """
    parameters = {
        "account": account,
        "sources": text_array_of(sources),
        "first_day": range_of_days[0],
        "last_day": range_of_days[1],
        "as_of": as_of,
    }
    return [SetDay(*row) for row in connection.execute(SET_EARLIER, parameters)]


def still_set(connection: Connection, import_id: int) -> list[Restored]:
    """The campaign days of an import that still have its totals and were not undone, sorted by campaign and day."""
    return [Restored(*row) for row in connection.execute(STILL_SET, {"import_id": import_id})]


def counts(connection: Connection, import_id: int) -> tuple[int, int]:
    """How many campaign days of an import were not undone, and how many were undone."""
    not_undone, undone = connection.execute(COUNTS, {"import_id": import_id}).one()
    return not_undone, undone


def note_undone(
    connection: Connection, import_id: int, of: tuple[Iterable[int], Iterable[int]], days: Iterable[date]
) -> None:
    """Marks the days of an import that this transaction restored, each with the `as_of` of its restored total.

    Looks at these days, and at the brands and campaigns in `of`: (brand ids, campaign ids).
    """
    _write(connection, _candidates(of, days) | {"import_id": import_id}, NOTE_UNDONE, (RESTORED, NOTE_UNDONE_DAY))


def _write(
    connection: Connection, found: Mapping[str, Any], at_once: TextClause, on_shards: tuple[TextClause, TextClause]
) -> None:
    if not has_citus(connection):
        connection.execute(at_once, found)
        return
    read, write = on_shards
    rows = plain(connection.execute(read, found))
    if rows:
        connection.execute(write, rows)


def _candidates(of: tuple[Iterable[int], Iterable[int]], days: Iterable[date]) -> dict[str, Any]:
    brand_ids, campaign_ids = map(array_of, of)
    return {"brand_ids": brand_ids, "campaign_ids": campaign_ids, "days": array_of(days)}
