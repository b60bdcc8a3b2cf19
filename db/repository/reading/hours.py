"""Rolls spend of brands up from the ledger by local hour, in a job, and reads these hours, which only charts use."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, TextClause, text

from db.repository.ledger import ledger
from db.repository.shared import locks, watermarks
from db.repository.shared.amounts import bounded
from db.repository.shared.locks import Lock
from db.repository.shared.zones import readable_zones
from domain.periods import END_INSTANT, FIRST_INSTANT, ONE_DAY, local_day, next_transition

WATERMARK: Final = "brand_hours"
REACH: Final = timedelta(days=60)
"""The age up to which events are rolled up; charts show a shorter time."""

SETTLED: Final = timedelta(minutes=1)
"""Events received within this time before a run are left to the next run: their transactions may not have committed."""

# Sums events by brand and quarter of an hour (local hours begin at a quarter in every zone), then adds local times. The
# parameters give the UTC offset of each zone by stretch of time, so that days and hours match the counters. Sums before
# joining, because the planner underestimates the number of recent events and would join each one with all brands.
QUARTERS = """
    quarters AS MATERIALIZED (
        SELECT brand_id, date_bin('15 minutes', occurred_at, '2000-01-01Z') AS starts_at,
            sum(amount_micros) AS spent_micros
        FROM spend_events
        WHERE received_at >= :since AND received_at < :until AND occurred_at >= :earliest AND occurred_at < :latest
        GROUP BY 1, 2
    ), local AS (
        SELECT brand_id, spent_micros,
            (quarters.starts_at AT TIME ZONE 'UTC') + make_interval(secs => offset_seconds) AS wall
        FROM quarters JOIN brands ON brands.id = brand_id
        JOIN unnest(
            CAST(:zones AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]),
            CAST(:offsets AS integer[])
        ) AS stretch(time_zone, starts_at, ends_at, offset_seconds)
            ON stretch.time_zone = brands.time_zone
                AND quarters.starts_at >= stretch.starts_at AND quarters.starts_at < stretch.ends_at
    )
"""

SUM = bounded("sum(spent_micros)")

# Adds spend received since the last run to the hours in which it occurred.
ADD = text(f"""
    WITH {QUARTERS}
    INSERT INTO brand_hours AS known (brand_id, day, hour, spent_micros)
    SELECT brand_id, wall::date, extract(hour FROM wall), {SUM} FROM local GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (brand_id, day, hour) DO UPDATE
    SET spent_micros = {bounded("known.spent_micros::numeric + excluded.spent_micros")}
""")  # noqa: S608 - a constant, put together once

# The days whose hours, plus spend received too recently to be rolled up, do not add up to the day's counter.
ASTRAY = text(f"""
    WITH {QUARTERS}, rolled AS (
        SELECT brand_id, day, sum(spent_micros) AS spent_micros FROM brand_hours WHERE day >= :first_day GROUP BY 1, 2
    ), unsettled AS (
        SELECT brand_id, wall::date AS day, sum(spent_micros) AS spent_micros FROM local GROUP BY 1, 2
    )
    SELECT brand_id, day
    FROM brand_days JOIN brands ON brands.id = brand_id
    LEFT JOIN rolled USING (brand_id, day) LEFT JOIN unsettled USING (brand_id, day)
    WHERE day >= :first_day AND time_zone = ANY(CAST(:zones AS text[])) AND brand_days.spent_micros
        <> COALESCE(rolled.spent_micros, 0) + COALESCE(unsettled.spent_micros, 0)
    ORDER BY brand_id, day
""")  # noqa: S608 - a constant, put together once

# The days with spend received between two instants.
TOUCHED = text(f"""
    WITH {QUARTERS} SELECT DISTINCT brand_id, wall::date AS day FROM local WHERE wall::date >= :first_day ORDER BY 1, 2
""")  # noqa: S608 - a constant, put together once

CLEAR = text("""
    DELETE FROM brand_hours USING unnest(CAST(:brand_ids AS bigint[]), CAST(:days AS date[])) AS astray(brand_id, day)
    WHERE brand_hours.brand_id = astray.brand_id AND brand_hours.day = astray.day
""")

# Counts the hours of the chosen days from the ledger. Takes each day from `wall`: Citus fails to send the column of a
# function to servers.
RECOUNT = text(f"""
    WITH {QUARTERS}
    INSERT INTO brand_hours (brand_id, day, hour, spent_micros)
    SELECT brand_id, wall::date, extract(hour FROM wall), {SUM}
    FROM local JOIN unnest(CAST(:brand_ids AS bigint[]), CAST(:days AS date[])) AS astray(brand_id, day)
        USING (brand_id)
    WHERE wall::date = day
    GROUP BY 1, 2, 3
""")  # noqa: S608 - a constant, put together once

OVERLAP: Final = timedelta(minutes=2)
"""Events received up to this long before a run may be committed after it, since a statement may take a minute."""

# The first run reads the ledger of the last 60 days (REACH).
TAKE_TIME = text("SET LOCAL statement_timeout = '10min'")

START_ANEW = text("DELETE FROM brand_hours")

CLEAR_BRAND = text("DELETE FROM brand_hours WHERE brand_id = :brand_id")

FORGET = text("DELETE FROM brand_hours WHERE day < :first_day")

HOURS_OF_DAYS = text("""
    SELECT day, hour, spent_micros FROM brand_hours
    WHERE brand_id = :brand_id AND day = ANY(CAST(:days AS date[])) ORDER BY day, hour
""")


def roll_up(connection: Connection, zones: Iterable[str], at: datetime) -> int:
    """Rolls up spend received since the last run, recounts days that may be wrong, and returns how many it recounted.

    A day may be wrong if its hours do not add up to its counter, or if spend for it was received within OVERLAP before
    the last run, because its transaction may have committed after that run read the ledger.
    """
    locks.take(connection, Lock.BRAND_HOURS)  # two roll-ups at once would add the same events twice
    connection.execute(TAKE_TIME)
    since, until = watermarks.reached_by(connection, WATERMARK, at), at - SETTLED
    first_day = _first_day(connection, at)
    everything = {**_local_times(zones, at), "earliest": at - REACH, "latest": at + REACH, "first_day": first_day}
    if since is None:
        connection.execute(START_ANEW)
    connection.execute(ADD, {**everything, "since": since or FIRST_INSTANT, "until": until})
    connection.execute(FORGET, {"first_day": first_day})
    wrong = _days(connection, ASTRAY, {**everything, "since": until, "until": END_INSTANT})
    if since is not None:
        wrong |= _days(connection, TOUCHED, {**everything, "since": since - OVERLAP, "until": since})
    if wrong:
        _recount(connection, sorted(wrong), {**everything, "since": FIRST_INSTANT, "until": until})
    watermarks.raise_to(connection, WATERMARK, until, at)
    return len(wrong)


def lock(connection: Connection) -> None:
    """Takes the lock of roll-ups until the transaction ends; waits until it is free."""
    locks.take(connection, Lock.BRAND_HOURS)


def recount_brand(connection: Connection, brand_id: int, zone: ZoneInfo, at: datetime) -> None:
    """Counts the spend by hour of one brand again from the ledger, in `zone`, its new zone. The caller holds `lock`.

    Deletes all hours of the brand; then counts the hours within REACH, with the spend received until the last roll-up.
    The next roll-up adds later spend.
    """
    connection.execute(CLEAR_BRAND, {"brand_id": brand_id})
    until = watermarks.reached_by(connection, WATERMARK, at)
    if until is None:
        return
    first_day, last_day = _first_day(connection, at), local_day(at + ONE_DAY, zone)
    days = [(brand_id, first_day + number * ONE_DAY) for number in range((last_day - first_day).days + 1)]
    _recount(connection, days, {**_local_times([zone.key], at), "since": FIRST_INSTANT, "until": until})


def _days(connection: Connection, statement: TextClause, parameters: dict[str, Any]) -> set[tuple[int, date]]:
    return {(brand_id, day) for brand_id, day in connection.execute(statement, parameters)}


def _first_day(connection: Connection, at: datetime) -> date:
    """The first day that, in every zone, lies completely within REACH and within the ledger."""
    floor = watermarks.reached(connection, ledger.FLOOR)
    return max(at - REACH, floor or at - REACH).date() + 2 * ONE_DAY


def _recount(connection: Connection, wrong: Sequence[tuple[int, date]], everything: dict[str, Any]) -> None:
    brand_ids, days = [brand_id for brand_id, _ in wrong], [day for _, day in wrong]
    parameters = {
        **everything,
        "brand_ids": brand_ids,
        "days": days,
        "earliest": datetime.combine(min(days) - ONE_DAY, time.min, UTC),
        "latest": datetime.combine(max(days) + 2 * ONE_DAY, time.min, UTC),
    }
    connection.execute(CLEAR, parameters)
    connection.execute(RECOUNT, parameters)


def _local_times(zones: Iterable[str], at: datetime) -> dict[str, list[Any]]:
    """Array parameters of QUARTERS: the UTC offset in seconds of each zone by stretch of time, within REACH of `at`."""
    rows = []
    for name, zone in readable_zones(sorted(zones)).items():
        starts_at = at - REACH
        while starts_at < at + REACH:
            ends_at = min(next_transition(starts_at, zone) or at + REACH, at + REACH)
            offset = starts_at.astimezone(zone).utcoffset() or timedelta()
            rows.append((name, starts_at, ends_at, int(offset.total_seconds())))
            starts_at = ends_at
    names = ("zones", "starts", "ends", "offsets")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def hours_of(connection: Connection, brand_id: int, days: Sequence[date]) -> dict[date, dict[int, int]]:
    """For each of the days, the brand's micros by local hour (0 to 23); hours without rolled-up spend are missing."""
    hours: dict[date, dict[int, int]] = {day: {} for day in days}
    for day, hour, micros in connection.execute(HOURS_OF_DAYS, {"brand_id": brand_id, "days": list(days)}):
        hours[day][hour] = micros
    return hours
