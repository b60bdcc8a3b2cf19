"""Compares reported totals with the ledger: the sum of the events made from each total, and its last event."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from db.repository.imports.days import sources
from db.repository.ledger.totals import difference_id
from db.repository.shared.arrays import text_array_of
from db.repository.shared.zones import readable_zones
from domain.periods import ONE_DAY, day_starts_at

PAGE: Final = 5_000
MAX_UNSURE: Final = 10_000
"""The most candidates checked of sources that may not report totals."""

STREAMED: Final = {"stream_results": True, "yield_per": 1_000}
_LAST_MOMENT: Final = timedelta(microseconds=1)

# Candidates: reported totals that differ from the sum of the events that may have been made from them. Such events have
# ids of UUID version 5, but senders may use that version too. Sorts first the sources that report totals, and days
# with an event in their last microsecond, where figures for a past day are booked.
MISMATCHED_TOTALS = text("""
    WITH local AS (
        SELECT brand_id, campaign_id, source, amount_micros, occurred_at AT TIME ZONE time_zone AS wall
        FROM spend_events JOIN brands ON brands.id = brand_id
        WHERE source <> '' AND get_byte(uuid_send(event_id), 6) >> 4 = 5
            AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
    ), booked AS (
        SELECT brand_id, campaign_id, source, wall::date AS day, sum(amount_micros) AS booked_micros,
            bool_or(wall::time >= '23:59:59.999999') AS has_edge
        FROM local GROUP BY 1, 2, 3, 4
    ), compared AS (
        SELECT brand_id, campaign_id, source, day, sum(booked_micros) AS booked_micros,
            max(total_micros) AS total_micros, bool_or(has_edge) AS has_edge
        FROM (
            SELECT brand_id, campaign_id, source, day, booked_micros, NULL::bigint AS total_micros, has_edge
            FROM booked
            UNION ALL
            SELECT brand_id, campaign_id, source, day, NULL, total_micros, NULL FROM reported_totals
            WHERE CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id
        ) AS both_figures
        GROUP BY brand_id, campaign_id, source, day
    )
    SELECT brand_id, campaign_id, source, day, total_micros, time_zone,
        has_edge IS NOT FALSE OR source = ANY(CAST(:sources AS text[])) AS is_reporting
    FROM compared JOIN brands ON brands.id = brand_id
    WHERE COALESCE(booked_micros, 0) <> COALESCE(total_micros, 0)
        AND (CAST(:floor AS date) IS NULL OR day > :floor)
    ORDER BY is_reporting DESC, brand_id, campaign_id, source, day
""")

# The events of one source for one campaign between two instants.
EVENTS = text("""
    SELECT event_id::text, occurred_at, amount_micros, received_at FROM spend_events
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id AND source = :source
        AND occurred_at >= :starts_at AND occurred_at < :ends_at
    ORDER BY received_at
""")

# Totals whose days the ledger still has, each with the events at the moment of its last figure: one row for each such
# event, one without an event where there is none. One join of both tables, so that its cost grows with their rows.
LAST_FIGURES = text("""
    WITH known AS (
        SELECT brand_id, campaign_id, source, day, total_micros, previous_micros, as_of, LEAST(
            GREATEST(as_of, day::timestamp AT TIME ZONE time_zone),
            (day + 1)::timestamp AT TIME ZONE time_zone - interval '1 microsecond'
        ) AS occurred_at
        FROM reported_totals JOIN brands ON brands.id = brand_id
        WHERE (CAST(:floor AS date) IS NULL OR day > :floor)
            AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
    )
    SELECT brand_id, campaign_id, source, day, total_micros, previous_micros, as_of, event_id::text AS event_id,
        amount_micros
    FROM known LEFT JOIN spend_events USING (brand_id, campaign_id, source, occurred_at)
    ORDER BY campaign_id, day, source
""")

# The amounts of the given events that exist.
AMOUNTS = text("""
    SELECT event_id::text AS event_id, amount_micros
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:event_ids AS uuid[])) AS wanted(brand_id, event_id)
    JOIN spend_events USING (brand_id, event_id)
""")

TotalKey = tuple[int, int, str, date]
"""(brand id, campaign id, source, day)."""


class Booked(NamedTuple):
    """A reported total as the ledger has it: the sum of its events, and the `as_of` of the event received last.

    If that event was moved to the start or end of its day, `as_of` is the time of its receipt. None: there is no event.
    """

    micros: int
    as_of: datetime | None


def mismatched_totals(
    connection: Connection, floor: date | None, brand_id: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yields totals for days after `floor` that differ from the sum of their events in the ledger, with both figures.

    `floor` None: for all days. `brand_id` None: of all brands. `total_micros` is None if there are events but no total.
    Leaves out brands with an unknown time zone. Ends after MAX_UNSURE candidates of sources that may not report totals
    at all, which come last.
    """
    parameters = {"floor": floor, "brand_id": brand_id, "sources": text_array_of(sources(connection))}
    rows = connection.execute(MISMATCHED_TOTALS, parameters, execution_options=STREAMED)
    unsure = 0
    for row in rows:
        unsure += not row.is_reporting
        if unsure > MAX_UNSURE:
            return
        zone = readable_zone(row.time_zone)
        if zone is None:
            continue
        key = (row.brand_id, row.campaign_id, row.source, row.day)
        booked = booked_of(connection, key, zone)
        if booked.micros != (row.total_micros or 0):
            yield {
                "brand_id": row.brand_id,
                "campaign_id": row.campaign_id,
                "source": row.source,
                "day": row.day,
                "total_micros": row.total_micros,
                "ledger_micros": booked.micros,
            }


@cache
def readable_zone(name: str) -> ZoneInfo | None:
    """The time zone of this name; None if it does not exist."""
    return readable_zones([name]).get(name)


def booked_of(connection: Connection, key: TotalKey, zone: ZoneInfo) -> Booked:
    """The sum of the events made from one total, by the ledger.

    An event belongs to the total if its id is made from the total's key and the event's `occurred_at`. An event at the
    first or last instant of the day may have been moved there from another moment, so any id of UUID version 5 counts.
    """
    brand_id, campaign_id, source, day = key
    starts_at, ends_at = day_starts_at(day, zone), day_starts_at(day + ONE_DAY, zone)
    parameters = {
        "brand_id": brand_id,
        "campaign_id": campaign_id,
        "source": source,
        "starts_at": starts_at,
        "ends_at": ends_at,
    }
    micros, as_of = 0, None
    for event_id, occurred_at, amount_micros, received_at in connection.execute(EVENTS, parameters):
        is_of_then = event_id == difference_id(source, campaign_id, day, occurred_at.astimezone(UTC))
        is_at_edge = event_id[14] == "5" and occurred_at in {starts_at, ends_at - _LAST_MOMENT}
        if is_of_then or is_at_edge:
            micros += amount_micros
            as_of = occurred_at if is_of_then else received_at
    return Booked(micros, as_of)


def mismatched_last_differences(
    connection: Connection, floor: date | None, brand_id: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yields totals for days after `floor` whose last change differs from the amount of the event made from it.

    Each has both in micros; `ledger_micros` is 0 if the ledger lacks the event. `floor` None: for all days. `brand_id`
    None: of all brands.
    """
    parameters = {"floor": floor, "brand_id": brand_id}
    rows = connection.execute(LAST_FIGURES, parameters, execution_options=STREAMED)
    for doubtful in _batches(_without_their_event(rows)):
        # Postgres's time zone rules may differ from zoneinfo's, so these are looked up by the id of their event.
        for row, amount in zip(doubtful, last_amounts(connection, doubtful), strict=True):
            if row.total_micros - row.previous_micros != amount:
                yield {
                    "brand_id": row.brand_id,
                    "campaign_id": row.campaign_id,
                    "source": row.source,
                    "day": row.day,
                    "as_of": row.as_of,
                    "last_change_micros": row.total_micros - row.previous_micros,
                    "ledger_micros": amount,
                }


def _without_their_event(rows: Iterable[Any]) -> Iterator[Any]:
    """Yields each total of LAST_FIGURES whose last change differs from the amount of the event with its id.

    Without such an event the amount is 0, so that a total that did not change is left out.
    """
    for _, of_one in groupby(rows, itemgetter(1, 3, 2)):
        found = list(of_one)
        total = found[0]
        change = total.total_micros - total.previous_micros
        own_id = difference_id(total.source, total.campaign_id, total.day, total.as_of.astimezone(UTC))
        amount = next((row.amount_micros for row in found if row.event_id == own_id), 0)
        if amount != change:
            yield total


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, PAGE)):
        yield batch


def last_amounts(connection: Connection, totals: Sequence[Any]) -> list[int]:
    """For each total, in the given order, the micros of the event made from its last figure; 0 if there is none."""
    ids = [difference_id(row.source, row.campaign_id, row.day, row.as_of.astimezone(UTC)) for row in totals]
    parameters = {"brand_ids": [row.brand_id for row in totals], "event_ids": ids}
    amounts = {row.event_id: row.amount_micros for row in connection.execute(AMOUNTS, parameters)}
    return [amounts.get(event_id, 0) for event_id in ids]
