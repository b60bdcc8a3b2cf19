"""The ledger and the counters: every event once, every counter the sum of its events."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import NamedTuple

import psycopg
from sqlalchemy import Connection, text

from db.repository import ledger_rows
from db.repository.arrays import array_of
from db.repository.ledger import ensure_months, next_month
from domain.columns import Events

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

EventKey = tuple[int, str, date]
Fact = tuple[int, datetime, int]
"""What an id stands for (campaign, moment, micros): two events with one id and another fact contradict each other."""

CampaignDay = tuple[int, int, date]


class KnownInPart(Exception):
    """The ledger has one of the events already, or the batch has one twice: the transaction must look first."""


class Recorded(NamedTuple):
    """What became of events, by their places: which the ledger had already, and which contradict it.

    `days` are the campaigns' days on which the others are counted.
    """

    known: Sequence[int] = ()
    conflicts: Sequence[int] = ()
    days: Collection[CampaignDay] = ()


def record(
    connection: Connection,
    events: Events,
    at: datetime,
    also_days: Sequence[CampaignDay] = (),
    *,
    looks_first: bool = True,
) -> Recorded:
    """Writes the events to the ledger and counts each new one in its campaign's and its brand's day.

    `also_days` get a counter too, of zero where no event is theirs. Raises KnownInPart where an event was there,
    already or just now: without a look at the ledger before, which a batch of new events need not pay for, or
    because another transaction wrote the same id meanwhile. The transaction is lost, the next one will find it.
    """
    ensure_months(connection, months_of(events))
    recorded = _told_apart(connection, events) if looks_first and events.event_ids else Recorded()
    new = events.without(*recorded.known, *recorded.conflicts)
    if new.event_ids:
        _copy(connection, new, at)
    return recorded._replace(days=count(connection, new, also_days))


def _copy(connection: Connection, events: Events, at: datetime) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a live connection has its driver's
    try:
        with driver.cursor() as cursor, cursor.copy(ledger_rows.COPY) as copy:
            copy.write(ledger_rows.encoded(events, at))
    except psycopg.errors.UniqueViolation as error:
        raise KnownInPart from error


def _told_apart(connection: Connection, events: Events) -> Recorded:
    """The events by what the ledger has under their ids, or an earlier one of the batch."""
    months = [moment.date().replace(day=1) for moment in events.occurred_at]
    keys = list(zip(events.brand_ids, events.event_ids, months, strict=True))
    stored = _stored_facts(connection, set(keys))
    known: list[int] = []
    conflicts: list[int] = []
    facts = zip(events.campaign_ids, events.occurred_at, events.amounts_micros, strict=True)
    for place, (key, fact) in enumerate(zip(keys, facts, strict=True)):
        stands = stored.setdefault(key, fact)
        if stands is not fact:
            (known if stands == fact else conflicts).append(place)
    return Recorded(known, conflicts)


def months_of(events: Events) -> set[date]:
    """The months of the ledger that they belong to."""
    found = {(moment.year, moment.month) for moment in events.occurred_at}
    return {date(year, month, 1) for year, month in found}


def _stored_facts(connection: Connection, keys: Iterable[EventKey]) -> dict[EventKey, Fact]:
    of_months: dict[date, list[EventKey]] = {}
    for key in keys:
        of_months.setdefault(key[2], []).append(key)
    facts: dict[EventKey, Fact] = {}
    for month, some in of_months.items():
        parameters = {
            "brand_ids": array_of(brand_id for brand_id, _, _ in some),
            "event_ids": array_of(event_id for _, event_id, _ in some),
            "first": datetime.combine(month, time.min, UTC),
            "last": datetime.combine(next_month(month), time.min, UTC),
        }
        for brand_id, event_id, campaign_id, occurred_at, micros in connection.execute(STORED, parameters):
            facts[brand_id, event_id, month] = (campaign_id, occurred_at, micros)
    return facts


def count(connection: Connection, events: Events, also_days: Iterable[CampaignDay] = ()) -> Collection[CampaignDay]:
    """Adds the events to the counters, in key order so that two batches never wait in a ring; returns their days."""
    campaigns: dict[CampaignDay, int] = dict.fromkeys(also_days, 0)
    spent = campaigns.get
    keys = zip(events.brand_ids, events.campaign_ids, events.days, strict=True)
    for key, micros in zip(keys, events.amounts_micros, strict=True):
        campaigns[key] = spent(key, 0) + micros
    if not campaigns:
        return ()
    brands: dict[tuple[int, date], int] = {}
    for (brand_id, _, day), micros in campaigns.items():
        brands[brand_id, day] = brands.get((brand_id, day), 0) + micros
    connection.execute(ADD_TO_CAMPAIGN_DAYS, _columns(campaigns, "brand_ids", "campaign_ids", "days"))
    connection.execute(ADD_TO_BRAND_DAYS, _columns(brands, "brand_ids", "days"))
    return campaigns.keys()


def _columns(counters: dict[CampaignDay, int] | dict[tuple[int, date], int], *names: str) -> dict[str, str]:
    rows = sorted(counters.items())
    keys = zip(*(key for key, _ in rows), strict=True)
    columns = {name: array_of(values) for name, values in zip(names, keys, strict=True)}
    return columns | {"amounts": array_of(micros for _, micros in rows)}
