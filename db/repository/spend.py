"""The ledger and the counters: every event once, every counter the sum of its events."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Final, NamedTuple
from uuid import UUID, uuid5

import psycopg
from sqlalchemy import Connection, text

from db.repository.ledger import ensure_months, month_of, next_month
from domain.spend import Reason, Rejection, ReportedTotal, SpendEvent, moment_of

DIFFERENCES: Final = UUID("6f2bd0f7-6f0e-4f0c-9f6e-5a1d8a3c7e11")
"""The name space of the event ids that reported totals give rise to."""

COPY = """
    COPY spend_events (event_id, brand_id, campaign_id, occurred_at, amount_micros, source, received_at) FROM STDIN
"""

# The events that the ledger does not have yet go in; the others stay as they are.
INSERT_NEW = text("""
    INSERT INTO spend_events (event_id, brand_id, campaign_id, occurred_at, amount_micros, source, received_at)
    SELECT sent.*, :received_at
    FROM unnest(
        CAST(:event_ids AS uuid[]), CAST(:brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]),
        CAST(:occurred AS timestamptz[]), CAST(:amounts AS bigint[]), CAST(:sources AS text[])
    ) AS sent
    ON CONFLICT DO NOTHING
    RETURNING brand_id, event_id::text, occurred_at
""")

# What one month of the ledger holds under the given ids.
STORED = text("""
    SELECT brand_id, event_id::text, campaign_id, occurred_at, amount_micros
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:event_ids AS uuid[])) AS sent(brand_id, event_id)
    JOIN spend_events USING (brand_id, event_id)
    WHERE occurred_at >= :first AND occurred_at < :last
""")

# Adds to the spend of campaigns' days.
ADD_TO_CAMPAIGN_DAYS = text("""
    INSERT INTO campaign_days AS counter (brand_id, campaign_id, day, spent_micros)
    SELECT * FROM unnest(
        CAST(:brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]), CAST(:amounts AS bigint[])
    )
    ON CONFLICT (brand_id, campaign_id, day)
    DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
""")

# Adds to the spend of brands' days.
ADD_TO_BRAND_DAYS = text("""
    INSERT INTO brand_days AS counter (brand_id, day, spent_micros)
    SELECT * FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:days AS date[]), CAST(:amounts AS bigint[]))
    ON CONFLICT (brand_id, day)
    DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
""")

# Newer figures replace older ones and keep what they replaced, so the difference is known without a race.
RESTATE = text("""
    INSERT INTO reported_totals AS known (source, campaign_id, day, total_micros, as_of)
    SELECT * FROM unnest(
        CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]),
        CAST(:totals AS bigint[]), CAST(:as_of AS timestamptz[])
    )
    ON CONFLICT (source, campaign_id, day) DO UPDATE
    SET previous_micros = known.total_micros, total_micros = excluded.total_micros, as_of = excluded.as_of
    WHERE excluded.as_of > known.as_of
    RETURNING source, campaign_id, day, total_micros - previous_micros, xmax = 0
""")

# What is known of the given totals.
KNOWN_TOTALS = text("""
    SELECT source, campaign_id, day, total_micros, as_of
    FROM unnest(CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]))
        AS sent(source, campaign_id, day)
    JOIN reported_totals USING (source, campaign_id, day)
""")

EventKey = tuple[int, str, date]
Fact = tuple[int, datetime, int]
"""What an id stands for (campaign, moment, micros): two events with one id and another fact contradict each other."""

TotalKey = tuple[str, int, date]
CampaignDay = tuple[int, int, date]


class Recorded(NamedTuple):
    """What became of a batch: events new to the ledger, how many it had already, and those that contradict it."""

    new: list[SpendEvent]
    duplicates: int
    conflicts: list[Rejection]


class Restated(NamedTuple):
    """What became of reported totals: events for the differences, days first reported, and how many were not new."""

    differences: list[SpendEvent]
    first_days: list[CampaignDay]
    nothing_new: int
    conflicts: list[Rejection]


def record(
    connection: Connection, events: Sequence[SpendEvent], at: datetime, also_days: Sequence[CampaignDay] = ()
) -> Recorded:
    """Writes the events to the ledger and counts each new one in its campaign's and its brand's day.

    `also_days` get a counter too, of zero where no event is theirs.
    """
    keyed = [(_key(event), event) for event in events]
    first: dict[EventKey, SpendEvent] = {}
    for key, event in keyed:
        first.setdefault(key, event)
    known = _written(connection, first, at) if first else {}
    new = {key: event for key, event in first.items() if key not in known}
    amounts = [(event.brand_id, event.campaign_id, event.day, event.amount_micros) for event in new.values()]
    count(connection, [*amounts, *((*day, 0) for day in also_days)])
    ledger = known | {key: _fact(event) for key, event in new.items()}
    again = [(key, event) for key, event in keyed if new.get(key) is not event]
    conflicts = [_contradiction(event) for key, event in again if ledger[key] != _fact(event)]
    return Recorded(list(new.values()), len(again) - len(conflicts), conflicts)


def _written(connection: Connection, events: dict[EventKey, SpendEvent], at: datetime) -> dict[EventKey, Fact]:
    """Writes the events that are new, in key order; returns what the ledger had already under the other ids."""
    ensure_months(connection, {month for _, _, month in events})
    batch = [events[key] for key in sorted(events, key=lambda key: (key[2], key[0], key[1]))]
    return {} if _copied(connection, batch, at) else _inserted(connection, batch, at)


def _key(event: SpendEvent) -> EventKey:
    return event.brand_id, event.event_id, month_of(event.occurred_at)


def _fact(event: SpendEvent) -> Fact:
    return event.campaign_id, event.occurred_at, event.amount_micros


def _contradiction(event: SpendEvent) -> Rejection:
    detail = f"{event.event_id} is already known with other content"
    return Rejection(Reason.CONFLICTING_DUPLICATE, detail, event.payload)


def _copied(connection: Connection, batch: Sequence[SpendEvent], at: datetime) -> bool:
    """The fast path, for a batch that is wholly new; false, and nothing written, where it is not."""
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a live connection has its driver's
    try:
        with connection.begin_nested(), driver.cursor() as cursor, cursor.copy(COPY) as copy:
            for event in batch:
                copy.write_row((*event[:6], at))
    except psycopg.errors.UniqueViolation:
        return False
    return True


def _inserted(connection: Connection, batch: Sequence[SpendEvent], at: datetime) -> dict[EventKey, Fact]:
    """The path of a batch that holds duplicates: writes what is new, returns what the ledger had of the other ids."""
    columns = zip(*(event[:6] for event in batch), strict=True)
    names = ("event_ids", "brand_ids", "campaign_ids", "occurred", "amounts", "sources")
    parameters = {name: list(column) for name, column in zip(names, columns, strict=True)}
    inserted = {tuple(row) for row in connection.execute(INSERT_NEW, parameters | {"received_at": at})}
    others = [event for event in batch if (event.brand_id, event.event_id, event.occurred_at) not in inserted]
    return _stored_facts(connection, others)


def _stored_facts(connection: Connection, events: Sequence[SpendEvent]) -> dict[EventKey, Fact]:
    facts: dict[EventKey, Fact] = {}
    for month in {month_of(event.occurred_at) for event in events}:
        those = [event for event in events if month_of(event.occurred_at) == month]
        parameters = {
            "brand_ids": [event.brand_id for event in those],
            "event_ids": [event.event_id for event in those],
            "first": datetime.combine(month, time.min, UTC),
            "last": datetime.combine(next_month(month), time.min, UTC),
        }
        for brand_id, event_id, *fact in connection.execute(STORED, parameters):
            facts[brand_id, event_id, month] = (fact[0], fact[1], fact[2])
    return facts


def count(connection: Connection, amounts: Iterable[tuple[int, int, date, int]]) -> None:
    """Adds (brand, campaign, day, micros) to the counters, in key order so that two batches never wait in a ring."""
    campaigns: Counter[CampaignDay] = Counter()
    brands: Counter[tuple[int, date]] = Counter()
    for brand_id, campaign_id, day, micros in amounts:
        campaigns[brand_id, campaign_id, day] += micros
        brands[brand_id, day] += micros
    if not campaigns:
        return
    connection.execute(ADD_TO_CAMPAIGN_DAYS, _columns(campaigns, "brand_ids", "campaign_ids", "days"))
    connection.execute(ADD_TO_BRAND_DAYS, _columns(brands, "brand_ids", "days"))


def _columns(counter: Counter[CampaignDay] | Counter[tuple[int, date]], *names: str) -> dict[str, list[object]]:
    rows = sorted(counter.items())
    keys = zip(*(key for key, _ in rows), strict=True)
    columns: dict[str, list[object]] = {name: list(values) for name, values in zip(names, keys, strict=True)}
    return columns | {"amounts": [micros for _, micros in rows]}


def restate(connection: Connection, totals: Iterable[ReportedTotal]) -> Restated:
    """Takes the newest figure of each (source, campaign, day); a figure no newer than the known one changes nothing.

    Two figures of one `as_of` that differ contradict each other: the first stays.
    """
    newest, ignored, conflicts = _newest(totals)
    if not newest:
        return Restated([], [], ignored, conflicts)
    changes: dict[TotalKey, int] = {}
    first: list[ReportedTotal] = []
    news = 0
    for source, campaign_id, day, micros, is_first in connection.execute(RESTATE, _total_columns(newest)):
        changes[source, campaign_id, day] = micros
        first += [newest[source, campaign_id, day]] if is_first else []
        news += bool(micros or is_first)
    contradictions = _contradicting(connection, {key: newest[key] for key in newest.keys() - changes.keys()})
    differences = [_difference(newest[key], micros) for key, micros in changes.items() if micros]
    return Restated(
        differences=differences,
        first_days=[(total.brand_id, total.campaign_id, total.day) for total in first],
        nothing_new=ignored + len(newest) - news - len(contradictions),
        conflicts=conflicts + contradictions,
    )


def _newest(totals: Iterable[ReportedTotal]) -> tuple[dict[TotalKey, ReportedTotal], int, list[Rejection]]:
    newest: dict[TotalKey, ReportedTotal] = {}
    ignored, conflicts = 0, []
    for total in sorted(totals, key=lambda total: (total.source, total.campaign_id, total.day, total.as_of)):
        key = (total.source, total.campaign_id, total.day)
        earlier = newest.get(key)
        if earlier and earlier.as_of == total.as_of and earlier.total_micros != total.total_micros:
            conflicts.append(_contradicting_total(total))
            continue
        ignored += earlier is not None
        newest[key] = total
    return newest, ignored, conflicts


def _total_columns(totals: dict[TotalKey, ReportedTotal]) -> dict[str, list[object]]:
    return {
        "sources": [source for source, _, _ in totals],
        "campaign_ids": [campaign_id for _, campaign_id, _ in totals],
        "days": [day for _, _, day in totals],
        "totals": [total.total_micros for total in totals.values()],
        "as_of": [total.as_of for total in totals.values()],
    }


def _contradicting(connection: Connection, unchanged: dict[TotalKey, ReportedTotal]) -> list[Rejection]:
    if not unchanged:
        return []
    columns = _total_columns(unchanged)
    known = connection.execute(KNOWN_TOTALS, {name: columns[name] for name in ("sources", "campaign_ids", "days")})
    found = []
    for source, campaign_id, day, total_micros, as_of in known:
        sent = unchanged[source, campaign_id, day]
        if sent.as_of == as_of and sent.total_micros != total_micros:
            found.append(_contradicting_total(sent))
    return found


def _contradicting_total(total: ReportedTotal) -> Rejection:
    detail = f"{total.source} gave another total for {total.day} as of {total.as_of.isoformat()}"
    return Rejection(Reason.CONFLICTING_DUPLICATE, detail, total.payload)


def _difference(total: ReportedTotal, micros: int) -> SpendEvent:
    name = f"{total.source}\n{total.campaign_id}\n{total.day}\n{total.as_of.isoformat()}"
    return SpendEvent(
        event_id=str(uuid5(DIFFERENCES, name)),
        brand_id=total.brand_id,
        campaign_id=total.campaign_id,
        occurred_at=moment_of(total),
        amount_micros=micros,
        source=total.source,
        day=total.day,
        payload=total.payload,
    )
