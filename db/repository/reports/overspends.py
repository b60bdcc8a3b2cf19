"""Finds when overspent windows reached their limit, and the spend they received late.

The day comes from the counters, all else from the events in the ledger.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from db.repository.ledger import ledger
from db.repository.platforms.confirmations import DELAYED
from db.repository.shared import watermarks
from db.repository.shared.amounts import bounded
from domain.periods import ONE_DAY, Period, day_starts_at, windows_between
from domain.reporting.monthly import INSTANT, LimitWindow, MonthFacts, instants_of
from domain.reporting.overspend import Crossing, LateSpend

BRAND_SCOPE: Final = 0
"""The scope id of the brand itself; other scope ids are campaign ids."""

# For each window, the last day on which its running spend reached the limit, and the running spend before that day.
CROSSING_DAYS = text("""
    WITH running AS (
        SELECT number, day, limit_micros, spent_micros,
            sum(spent_micros) OVER (PARTITION BY number ORDER BY day) AS total_micros
        FROM unnest(
            CAST(:numbers AS integer[]), CAST(:scopes AS bigint[]), CAST(:limits AS bigint[]),
            CAST(:first_days AS date[]), CAST(:end_days AS date[])
        ) AS wanted(number, scope_id, limit_micros, first_day, end_day)
        JOIN (
            SELECT 0 AS scope_id, day, spent_micros FROM brand_days WHERE brand_id = :brand_id
            UNION ALL
            SELECT campaign_id, day, spent_micros FROM campaign_days
            WHERE brand_id = :brand_id AND campaign_id = ANY(CAST(:scopes AS bigint[]))
        ) AS counted USING (scope_id)
        WHERE day >= first_day AND day < end_day
    )
    SELECT DISTINCT ON (number) number, day, total_micros - spent_micros AS before_micros FROM running
    WHERE limit_micros > 0 AND total_micros >= limit_micros AND total_micros - spent_micros < limit_micros
    ORDER BY number, day DESC
""")

# On each of these days, the last event in order of `occurred_at` that raised the running spend to the limit.
CROSSINGS = text("""
    WITH running AS (
        SELECT number, limit_micros, occurred_at, event_id, amount_micros,
            before_micros + sum(amount_micros) OVER (PARTITION BY number ORDER BY occurred_at, event_id) AS total_micros
        FROM spend_events
        CROSS JOIN LATERAL (VALUES (CAST(0 AS bigint)), (campaign_id)) AS scope(scope_id)
        JOIN unnest(
            CAST(:numbers AS integer[]), CAST(:scopes AS bigint[]), CAST(:places AS integer[]),
            CAST(:befores AS numeric[]), CAST(:limits AS bigint[])
        ) AS wanted(number, scope_id, place, before_micros, limit_micros)
            ON wanted.scope_id = scope.scope_id
            AND place = width_bucket(occurred_at, CAST(:starts AS timestamptz[]))
        WHERE brand_id = :brand_id AND occurred_at >= :starts_at AND occurred_at < :ends_at
    )
    SELECT DISTINCT ON (number) number, occurred_at, total_micros - limit_micros AS beyond_micros FROM running
    WHERE total_micros >= limit_micros AND total_micros - amount_micros < limit_micros
    ORDER BY number, occurred_at DESC, event_id DESC
""")

# The spend that windows of one period received after an instant. The running sum counts back from today's spend.
RECEIVED_AFTER = text("""
    WITH late AS (
        SELECT number, limit_micros, received_at, amount_micros,
            spent_micros - COALESCE(sum(amount_micros) OVER (
                PARTITION BY number ORDER BY received_at, occurred_at, event_id
                ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            ), 0) AS total_micros
        FROM spend_events
        CROSS JOIN LATERAL (VALUES (CAST(0 AS bigint)), (campaign_id)) AS scope(scope_id)
        JOIN unnest(
            CAST(:numbers AS integer[]), CAST(:scopes AS bigint[]), CAST(:places AS integer[]),
            CAST(:afters AS timestamptz[]), CAST(:spents AS numeric[]), CAST(:limits AS bigint[])
        ) AS wanted(number, scope_id, place, after, spent_micros, limit_micros)
            ON wanted.scope_id = scope.scope_id
            AND place = width_bucket(occurred_at, CAST(:starts AS timestamptz[]))
        WHERE brand_id = :brand_id AND occurred_at >= :starts_at AND occurred_at < :ends_at
            AND received_at > :received_after AND received_at > after
    )
    SELECT number, sum(amount_micros) AS received_micros,
        max(received_at) FILTER (
            WHERE limit_micros > 0 AND total_micros >= limit_micros AND total_micros - amount_micros < limit_micros
        ) AS known_at
    FROM late GROUP BY number
""")

# For windows of one period, the spend after the window's hold began that platforms served until they confirmed a pause.
CONFIRMED_LATE = text(f"""
    SELECT number, {bounded("sum(amount_micros)")} AS delayed_micros
    FROM ({DELAYED} AND occurred_at >= :starts_at AND occurred_at < :ends_at) AS delayed
    CROSS JOIN LATERAL (VALUES (CAST(0 AS bigint)), (campaign_id)) AS scope(scope_id)
    JOIN unnest(
        CAST(:numbers AS integer[]), CAST(:scopes AS bigint[]), CAST(:places AS integer[]),
        CAST(:afters AS timestamptz[])
    ) AS wanted(number, scope_id, place, after)
        ON wanted.scope_id = scope.scope_id AND place = width_bucket(occurred_at, CAST(:starts AS timestamptz[]))
    WHERE occurred_at > after
    GROUP BY number
""")  # noqa: S608 - a constant, put together once


def crossings(
    connection: Connection, brand_id: int, facts: MonthFacts, overspent: Sequence[LimitWindow]
) -> list[Crossing]:
    """For each window, in order, when its spend in order of occurrence reached the limit for the last time.

    The day comes from the counters: the last one that began below the limit and ended at or above it. The instant
    comes from that day's events; None if the ledger no longer has them. A limit of 0 is reached when the window begins.
    """
    days = _crossing_days(connection, brand_id, facts, overspent) if overspent else {}
    found = {
        number: Crossing(entry.span.starts_at) for number, entry in enumerate(overspent) if entry.limit_micros == 0
    }
    floor = watermarks.reached(connection, ledger.FLOOR)
    known = [number for number in days if floor is None or day_starts_at(days[number][0], facts.zone) >= floor]
    for _, numbers in groupby(sorted(known, key=days.__getitem__), key=lambda number: days[number][0].replace(day=1)):
        found |= _crossings_of_month(connection, brand_id, facts.zone, overspent, {n: days[n] for n in numbers})
    return [found.get(number, Crossing(None)) for number in range(len(overspent))]


def _crossing_days(
    connection: Connection, brand_id: int, facts: MonthFacts, overspent: Sequence[LimitWindow]
) -> dict[int, tuple[date, int]]:
    parameters = {
        "brand_id": brand_id,
        "first_days": [entry.window.first_day for entry in overspent],
        "end_days": [min(entry.window.end_day or facts.end_day, facts.end_day) for entry in overspent],
        **_numbered(overspent, range(len(overspent))),
    }
    return {row.number: (row.day, int(row.before_micros)) for row in connection.execute(CROSSING_DAYS, parameters)}


def _numbered(overspent: Sequence[LimitWindow], numbers: Sequence[int]) -> dict[str, list[int]]:
    return {
        "numbers": list(numbers),
        "scopes": [overspent[number].campaign_id or BRAND_SCOPE for number in numbers],
        "limits": [overspent[number].limit_micros for number in numbers],
    }


def _crossings_of_month(
    connection: Connection,
    brand_id: int,
    zone: ZoneInfo,
    overspent: Sequence[LimitWindow],
    days: Mapping[int, tuple[date, int]],
) -> dict[int, Crossing]:
    first, last = min(days.values())[0], max(days.values())[0]
    starts = [day_starts_at(first + place * ONE_DAY, zone) for place in range((last - first).days + 2)]
    parameters = {
        "brand_id": brand_id,
        "starts": starts,
        "starts_at": starts[0],
        "ends_at": starts[-1],
        "places": [(day - first).days + 1 for day, _ in days.values()],
        "befores": [before_micros for _, before_micros in days.values()],
        **_numbered(overspent, list(days)),
    }
    return {
        row.number: Crossing(row.occurred_at, int(row.beyond_micros))
        for row in connection.execute(CROSSINGS, parameters)
    }


def received_late(
    connection: Connection,
    brand_id: int,
    facts: MonthFacts,
    overspent: Sequence[LimitWindow],
    held: Sequence[datetime | None],
) -> list[LateSpend]:
    """The spend that each window received after its hold began, or, without a hold, after the window ended.

    `held`: when each window's hold began, None if never. An empty `LateSpend` if the ledger no longer has the events.
    """
    found: dict[int, LateSpend] = {}
    for numbers in _numbers_by_period(connection, overspent):
        afters = {number: held[number] or overspent[number].span.ends_at - INSTANT for number in numbers}
        found |= _received_of_period(connection, brand_id, facts, overspent, afters)
    return [found.get(number, LateSpend()) for number in range(len(overspent))]


def confirmed_late(
    connection: Connection,
    brand_id: int,
    facts: MonthFacts,
    overspent: Sequence[LimitWindow],
    held: Sequence[datetime | None],
) -> list[int | None]:
    """The micros that platforms served after each window's hold began and before they confirmed a pause.

    `held`: when each window's hold began, None if never. 0 for a window without a hold; None if the ledger no longer
    has the window's events.
    """
    found: dict[int, int] = {}
    for numbers in _numbers_by_period(connection, overspent):
        afters = {number: moment for number in numbers if (moment := held[number]) is not None}
        found |= dict.fromkeys(numbers, 0)
        if afters:
            parameters = _of_period(brand_id, facts, overspent, afters)
            found |= {row.number: row.delayed_micros for row in connection.execute(CONFIRMED_LATE, parameters)}
    return [found.get(number) for number in range(len(overspent))]


def _numbers_by_period(connection: Connection, overspent: Sequence[LimitWindow]) -> Iterator[list[int]]:
    """Yields, for each period, the positions in `overspent` of the windows whose events the ledger still has."""
    floor = watermarks.reached(connection, ledger.FLOOR)
    for period in Period:
        numbers = [
            number
            for number, entry in enumerate(overspent)
            if entry.period is period and (floor is None or entry.span.starts_at >= floor)
        ]
        if numbers:
            yield numbers


def _received_of_period(
    connection: Connection,
    brand_id: int,
    facts: MonthFacts,
    overspent: Sequence[LimitWindow],
    afters: Mapping[int, datetime],
) -> dict[int, LateSpend]:
    """The late spend of windows of one period, by position in `overspent`.

    `afters`: by position, the instant after which spend must be received to count as late.
    """
    parameters = _of_period(brand_id, facts, overspent, afters) | {
        "received_after": min(afters.values()),
        "spents": [overspent[number].spent_micros for number in afters],
    }
    received = {
        row.number: LateSpend(int(row.received_micros), row.known_at)
        for row in connection.execute(RECEIVED_AFTER, parameters)
    }
    return {number: received.get(number, LateSpend(0)) for number in afters}


def _of_period(
    brand_id: int, facts: MonthFacts, overspent: Sequence[LimitWindow], afters: Mapping[int, datetime]
) -> dict[str, Any]:
    """Parameters of a statement for windows of one period, which adjoin: each event falls into one window.

    `afters`: by position in `overspent`, the instant after which spend counts as late.
    """
    entries = [overspent[number] for number in afters]
    windows = windows_between(entries[0].period, facts.month.first_day, facts.end_day)
    starts = [instants_of(window, facts.zone, facts.span.ends_at).starts_at for window in windows]
    return {
        "brand_id": brand_id,
        "starts": starts,
        "starts_at": starts[0],
        "ends_at": day_starts_at(facts.end_day, facts.zone),
        "places": [windows.index(entry.window) + 1 for entry in entries],
        "afters": list(afters.values()),
        **_numbered(overspent, list(afters)),
    }
