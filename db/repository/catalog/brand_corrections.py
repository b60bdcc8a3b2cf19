"""Corrects a brand's time zone and currency after spend: recounts its days from the ledger.

Ledger events are never changed; events that must move get a reversal and a new event.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid5
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from db.engine import deferred
from db.local_settings import local_setting
from db.repository.ledger.ledger import day_of, ensure_partitions
from db.repository.ledger.totals import DIFFERENCES
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.spread import written_by_edits
from domain.periods import next_transition

LIFT_TIME_LIMIT = text("SET LOCAL statement_timeout = 0")

# Locks counters before the brand, in the order in which counting locks them.
LOCK_CAMPAIGN_DAYS = text("""
    SELECT count(*) FROM (
        SELECT FROM campaign_days WHERE brand_id = :brand_id ORDER BY day, campaign_id FOR NO KEY UPDATE
    ) AS locked
""")

LOCK_BRAND_DAYS = text("""
    SELECT count(*) FROM (SELECT FROM brand_days WHERE brand_id = :brand_id ORDER BY day FOR NO KEY UPDATE) AS locked
""")

CORRECTS_BRAND: Final = "spendgate.corrects_brand"
"""The setting with the id of the brand whose zone and currency may be updated although it has spend.

A trigger refuses such an update of any other brand.
"""

CORRECT = text("""
    UPDATE brands SET time_zone = :time_zone, currency = :currency, headroom_micros = NULL, headroom_on = NULL,
        enforced_budget_holds = NULL
    WHERE id = :brand_id
""")

SPAN = text("SELECT min(occurred_at), max(occurred_at) FROM spend_events WHERE brand_id = :brand_id")

BRAND_DAYS = text("SELECT day, spent_micros FROM brand_days WHERE brand_id = :brand_id")

# The brand's events with their day in the old and in the new zone. Both UTC offsets are parameters, by stretch of time,
# so that the days match those of the counters.
EVENTS = """
    events AS (
        SELECT event_id, campaign_id, occurred_at, amount_micros, source,
            ((occurred_at AT TIME ZONE 'UTC') + make_interval(secs => old_seconds))::date AS old_day,
            ((occurred_at AT TIME ZONE 'UTC') + make_interval(secs => new_seconds))::date AS new_day
        FROM unnest(
            CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]), CAST(:old_offsets AS integer[]),
            CAST(:new_offsets AS integer[])
        ) AS stretch(starts_at, ends_at, old_seconds, new_seconds)
        JOIN spend_events ON occurred_at >= starts_at AND occurred_at < ends_at
        WHERE brand_id = :brand_id
    )
"""

# Events made from reported totals: their ids are UUIDs of version 5, and their source reported a total for the day.
TOTALS = f"""
    {EVENTS}, differences AS (
        SELECT events.*, day, total_micros FROM events
        JOIN reported_totals AS total USING (source, campaign_id)
        WHERE total.brand_id = :brand_id AND day = old_day AND substr(event_id::text, 15, 1) = '5' AND day > :kept
    )
"""  # noqa: S608 - a constant, put together once

# Reported totals that differ from the sum of their events, where an event would move to another day.
UNCLEAR_TOTALS = text(f"""
    WITH {TOTALS}
    SELECT source, campaign_id, day, total_micros, sum(amount_micros) AS counted_micros FROM differences
    GROUP BY source, campaign_id, day, total_micros
    HAVING sum(amount_micros) <> total_micros AND bool_or(new_day <> day)
    ORDER BY day, campaign_id, source LIMIT 5
""")  # noqa: S608 - a constant, put together once

# Spend reported for one day that the new zone would count on another day, by `occurred_at`.
MISPLACED_TOTALS = text(f"""
    WITH {TOTALS}
    SELECT source, campaign_id, day, occurred_at, sum(amount_micros) AS micros FROM differences
    WHERE new_day <> day GROUP BY source, campaign_id, day, occurred_at HAVING sum(amount_micros) <> 0
    ORDER BY day, campaign_id, source, occurred_at
""")  # noqa: S608 - a constant, put together once

APPEND = text("""
    INSERT INTO spend_events (brand_id, event_id, campaign_id, occurred_at, amount_micros, received_at, source)
    SELECT :brand_id, event_id, campaign_id, occurred_at, amount_micros, :at, source
    FROM unnest(
        CAST(:event_ids AS uuid[]), CAST(:campaign_ids AS bigint[]), CAST(:moments AS timestamptz[]),
        CAST(:amounts AS bigint[]), CAST(:sources AS text[])
    ) AS sent(event_id, campaign_id, occurred_at, amount_micros, source)
    ORDER BY event_id
""")

# Days no longer completely in the ledger keep their counters, adjusted by events that move to or from another day.
ADJUST_KEPT_DAYS = text(f"""
    WITH {EVENTS}, moved AS (
        SELECT campaign_id, new_day AS day, amount_micros FROM events WHERE new_day <= :kept
        UNION ALL
        SELECT campaign_id, old_day, -amount_micros FROM events
        WHERE old_day <= :kept AND event_id NOT IN (SELECT unnest(CAST(:added AS uuid[])))
    )
    INSERT INTO campaign_days AS counter (brand_id, campaign_id, day, spent_micros)
    SELECT :brand_id, campaign_id, day, sum(amount_micros) FROM moved
    GROUP BY campaign_id, day HAVING sum(amount_micros) <> 0 ORDER BY day, campaign_id
    ON CONFLICT (brand_id, campaign_id, day) DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
""")  # noqa: S608 - a constant, put together once

# The number of campaign days whose counter changes with the new zone.
CHANGED_CAMPAIGN_DAYS = text(f"""
    WITH {EVENTS}, counted AS (
        SELECT campaign_id, new_day AS day, sum(amount_micros) AS micros FROM events
        WHERE new_day > :kept GROUP BY campaign_id, new_day
    )
    SELECT count(*) FROM counted
    FULL JOIN (
        SELECT campaign_id, day, spent_micros FROM campaign_days WHERE brand_id = :brand_id AND day > :kept
    ) AS known USING (campaign_id, day)
    WHERE COALESCE(micros, 0) <> COALESCE(spent_micros, 0)
""")  # noqa: S608 - a constant, put together once

CLEAR_CAMPAIGN_DAYS = text("DELETE FROM campaign_days WHERE brand_id = :brand_id AND day > :kept")

# Counts the days in the ledger, and adds days with a reported total of 0.
COUNT_CAMPAIGN_DAYS = text(f"""
    WITH {EVENTS}
    INSERT INTO campaign_days (brand_id, campaign_id, day, spent_micros)
    SELECT :brand_id, campaign_id, day, sum(micros) FROM (
        SELECT campaign_id, new_day AS day, amount_micros AS micros FROM events
        UNION ALL
        SELECT campaign_id, day, 0 FROM reported_totals WHERE brand_id = :brand_id
    ) AS counted
    WHERE day > :kept GROUP BY campaign_id, day ORDER BY day, campaign_id
""")  # noqa: S608 - a constant, put together once

CLEAR_BRAND_DAYS = text("DELETE FROM brand_days WHERE brand_id = :brand_id")

COUNT_BRAND_DAYS = text("""
    INSERT INTO brand_days (brand_id, day, spent_micros)
    SELECT brand_id, day, sum(spent_micros) FROM campaign_days WHERE brand_id = :brand_id
    GROUP BY brand_id, day ORDER BY day
""")

BEFORE_ALL_DAYS: Final = date(1, 1, 1)
"""The value of the parameter `kept`, the last day whose counters are not recounted, if the ledger has all days."""


class Misplaced(NamedTuple):
    """Micros reported for `day` whose `occurred_at` is on another day in the new zone."""

    source: str
    campaign_id: int
    day: date
    occurred_at: datetime
    micros: int


def lock_counters(connection: Connection, brand_id: int) -> None:
    """Locks the brand's existing counters, which blocks counting on their days, and lifts the statement timeout."""
    connection.execute(LIFT_TIME_LIMIT)
    connection.execute(LOCK_CAMPAIGN_DAYS, {"brand_id": brand_id})
    connection.execute(LOCK_BRAND_DAYS, {"brand_id": brand_id})


def days_of(connection: Connection, brand_id: int) -> dict[date, int]:
    """The brand's spend in micros by day, from `brand_days`."""
    return {row.day: row.spent_micros for row in connection.execute(BRAND_DAYS, {"brand_id": brand_id})}


def stretches(connection: Connection, brand_id: int, old: ZoneInfo, new: ZoneInfo) -> dict[str, Any]:
    """The parameters of EVENTS: stretches of time in which both zones keep their UTC offset, and the brand's id.

    Lists of starts, ends, and both offsets in seconds. The stretches cover the brand's events in the ledger, and three
    days before and after; the lists are empty if it has none.
    """
    first, last = connection.execute(SPAN, {"brand_id": brand_id}).one()
    rows: list[tuple[datetime, datetime, int, int]] = []
    if first is not None:
        # Moved totals may be up to two days away.
        starts_at, end = first - timedelta(days=3), last + timedelta(days=3)
        while starts_at < end:
            ends_at = min(next_transition(starts_at, zone) or end for zone in (old, new))
            rows.append((starts_at, min(ends_at, end), _seconds(starts_at, old), _seconds(starts_at, new)))
            starts_at = ends_at
    names = ("starts", "ends", "old_offsets", "new_offsets")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return {**columns, "brand_id": brand_id}


def _seconds(at: datetime, zone: ZoneInfo) -> int:
    return int((at.astimezone(zone).utcoffset() or timedelta()).total_seconds())


def unclear_totals(connection: Connection, events: dict[str, Any], kept: date) -> list[dict[str, Any]]:
    """Up to five reported totals, for days after `kept`, that differ from the sum of their events.

    Only totals with an event that the new zone would move to another day. Each with its source, campaign, day, and both
    amounts in micros.
    """
    return [dict(row) for row in connection.execute(UNCLEAR_TOTALS, events | {"kept": kept}).mappings()]


def misplaced_totals(connection: Connection, events: dict[str, Any], kept: date) -> list[Misplaced]:
    """Spend reported for a day after `kept` that the new zone would count on another day.

    Summed by source, campaign, day and `occurred_at`; sums of 0 are left out.
    """
    rows = connection.execute(MISPLACED_TOTALS, events | {"kept": kept})
    return [
        Misplaced(source, campaign_id, day, occurred_at, int(micros))
        for source, campaign_id, day, occurred_at, micros in rows
    ]


def move_totals(
    connection: Connection, brand_id: int, moved: Iterable[tuple[Misplaced, datetime]], at: datetime
) -> list[str]:
    """Appends to the ledger, for each misplaced total, its reversal and an event at its new moment; returns the ids.

    Raises StaleRead if the partition of a moment was dropped from the ledger, or so many partitions are missing that
    `committed` must create them first.
    """
    rows: list[tuple[str, int, datetime, int, str]] = []
    for one, moment in moved:
        for occurred_at, micros in ((one.occurred_at, -one.micros), (moment, one.micros)):
            name = f"corrected\n{one.source}\n{one.campaign_id}\n{one.occurred_at}\n{at}\n{micros}\n{occurred_at}"
            rows.append((str(uuid5(DIFFERENCES, name)), one.campaign_id, occurred_at, micros, one.source))
    if not rows:
        return []
    ensure_partitions(connection, {day_of(occurred_at) for _, _, occurred_at, _, _ in rows})
    event_ids, campaign_ids, moments, amounts, sources = zip(*rows, strict=True)
    columns = {
        "brand_id": brand_id,
        "at": at,
        "event_ids": array_of(event_ids),
        "campaign_ids": array_of(campaign_ids),
        "moments": text_array_of(moment.astimezone(UTC).isoformat() for moment in moments),
        "amounts": array_of(amounts),
        "sources": text_array_of(sources),
    }
    connection.execute(APPEND, columns)
    return list(event_ids)


def correct(connection: Connection, brand_id: int, zone: str, currency: str) -> None:
    """Sets the brand's time zone and currency, even if it has spend, and clears its headroom and stored budget holds.

    Does not recount its days.
    """
    deferred(connection, local_setting(connection, CORRECTS_BRAND, str(brand_id)))
    connection.execute(CORRECT, {"brand_id": brand_id, "time_zone": zone, "currency": currency})
    deferred(connection, local_setting(connection, CORRECTS_BRAND, ""))
    written_by_edits.keep_facts(connection, brand_id, zone, currency)


def recount(connection: Connection, brand_id: int, events: dict[str, Any], kept: date, added: Sequence[str]) -> int:
    """Recounts the days after `kept` from the ledger in the new zone; returns how many of these campaign days changed.

    Days up to `kept` keep their counters, adjusted by the events that move to or from them. `events`: the result of
    `stretches`. `added`: ids of events from `move_totals`, not counted yet.
    """
    parameters = events | {"kept": kept}
    changed: int = connection.execute(CHANGED_CAMPAIGN_DAYS, parameters).scalar_one()
    if kept != BEFORE_ALL_DAYS:
        connection.execute(ADJUST_KEPT_DAYS, parameters | {"added": array_of(added)})
    connection.execute(CLEAR_CAMPAIGN_DAYS, {"brand_id": brand_id, "kept": kept})
    connection.execute(COUNT_CAMPAIGN_DAYS, parameters)
    connection.execute(CLEAR_BRAND_DAYS, {"brand_id": brand_id})
    connection.execute(COUNT_BRAND_DAYS, {"brand_id": brand_id})
    return changed
