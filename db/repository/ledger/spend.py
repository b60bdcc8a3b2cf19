"""Writes spend events to the ledger, each once, and adds them to the counters of campaigns and brands."""

from collections.abc import Mapping
from datetime import date, datetime
from itertools import chain, repeat
from typing import Any, Final, NamedTuple

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from db import traced
from db.engine import Query, before_next, driver_of, query_pipelined
from db.errors import is_duplicate_in, translated
from db.local_settings import has_citus, local_setting
from db.repository.enforcement.headroom import Headroom
from db.repository.ledger import ledger_rows, spend_on_shard
from db.repository.ledger.new_events import ClassifiedEvents
from db.repository.ledger.sums import SpendSums
from db.repository.shared.arrays import array_of, text_array_of
from domain.inputs.columns import EventColumns

# Inserts events, then adds their spend to the counters of campaigns, then of brands. Each step reads the count of the
# step before, which fixes the order: all transactions that count must lock in this order, and by key within a step.
COUNT = text("""
    WITH written AS (
        INSERT INTO spend_events (brand_id, event_id, campaign_id, occurred_at, amount_micros, received_at, source)
        SELECT brand_id, event_id, campaign_id, occurred_at, amount_micros, :at, source
        FROM unnest(
            CAST(:event_brand_ids AS bigint[]), CAST(:event_ids AS uuid[]), CAST(:event_campaign_ids AS bigint[]),
            CAST(:event_moments AS timestamptz[]), CAST(:event_amounts AS bigint[]), CAST(:event_sources AS text[])
        ) AS sent(brand_id, event_id, campaign_id, occurred_at, amount_micros, source)
        ORDER BY brand_id, event_id
        RETURNING event_id
    ), campaigns_counted AS (
        INSERT INTO campaign_days AS counter (brand_id, campaign_id, day, spent_micros)
        SELECT sent.* FROM (SELECT count(*) FROM written) AS before, unnest(
            CAST(:campaign_brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:campaign_days AS date[]),
            CAST(:campaign_amounts AS bigint[])
        ) AS sent
        ON CONFLICT (brand_id, campaign_id, day)
        DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
        RETURNING campaign_id
    )
    INSERT INTO brand_days AS counter (brand_id, day, spent_micros)
    SELECT sent.* FROM (SELECT count(*) FROM campaigns_counted) AS before, unnest(
        CAST(:counted_brand_ids AS bigint[]), CAST(:brand_days AS date[]), CAST(:brand_amounts AS bigint[])
    ) AS sent
    ON CONFLICT (brand_id, day)
    DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
""")

# Locks brands in id order and subtracts the counted spend from their headroom; a headroom that is less becomes null.
LESSEN_HEADROOM = text(f"""
    WITH locked AS MATERIALIZED (
        SELECT id FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE brands
    SET {spend_on_shard.LESSENED.format(spent="spent_micros")}
    FROM locked JOIN unnest(CAST(:brand_ids AS bigint[]), CAST(:spent AS bigint[])) AS sent(brand_id, spent_micros)
        ON sent.brand_id = locked.id
    WHERE brands.id = locked.id
    RETURNING {spend_on_shard.LOCKED}
""")  # noqa: S608 - a constant, put together once

# Sets the timeout for locks on brands: the allowed time minus the transaction's duration so far.
WAIT_FOR_BRANDS = text("""
    SELECT set_config('lock_timeout', greatest(CAST(:least_brands_ms AS bigint), CAST(:brands_ms AS bigint)
        - CAST(1000 * extract(epoch FROM clock_timestamp() - transaction_timestamp()) AS bigint))::text, true)
""")


class LockTimeouts(NamedTuple):
    """Lock timeouts in milliseconds of a transaction that counts spend.

    `own_ms`: for locks that only other counting transactions hold (the ledger's keys, counters), which end soon.
    `brands_ms`: for the rows of brands, which any program may lock for long; the transaction's duration so far is
    subtracted, down to `least_brands_ms`.
    """

    own_ms: int
    brands_ms: int
    least_brands_ms: int


FEW_EVENTS: Final = 100
"""Up to this many events are inserted in the round trip that counts them; more go by COPY, one round trip more."""

LEDGER: Final = "spend_events"


class SomeAlreadyStored(Exception):
    """The ledger already has one of the events, or the batch has one twice. The transaction failed.

    Repeat it with `find_new_events(…, checks_ledger=True)`.
    """


def _copy(connection: Connection, events: EventColumns, at: datetime) -> None:
    try:
        driver = driver_of(connection)
        with traced.round_trip([ledger_rows.COPY]), driver.cursor() as cursor, cursor.copy(ledger_rows.COPY) as copy:
            copy.write(ledger_rows.encoded(events, at))
    except psycopg.Error as error:
        known = translated(error)
        if is_duplicate_in(known, LEDGER):
            raise SomeAlreadyStored from error
        if known is error:
            raise
        raise known from error


def record(
    connection: Connection, classified: ClassifiedEvents, at: datetime, timeouts: LockTimeouts | None = None
) -> dict[int, Headroom]:
    """Writes the new events, adds to the counters and locks the brands; returns their remaining headroom by brand id.

    Waits for each lock as long as `timeouts` says; None uses the connection's lock timeout. Raises SomeAlreadyStored
    if the ledger has one of the events, because `find_new_events` did not check it or another transaction wrote it
    since, and OperationalError on a lock timeout; the transaction has failed then.
    """
    events = classified.new
    if len(events.event_ids) > FEW_EVENTS:
        _copy(connection, events, at)
        events = EventColumns()
    try:
        locked = _count_and_lock(connection, events, classified.added, at, timeouts)
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.Error) and is_duplicate_in(error.orig, LEDGER):
            raise SomeAlreadyStored from error
        raise
    return {brand_id: Headroom(*rest) for brand_id, *rest in locked}


def _count_and_lock(
    connection: Connection, events: EventColumns, added: SpendSums, at: datetime, timeouts: LockTimeouts | None
) -> list[tuple[Any, ...]]:
    """Counts spend and locks brands in one round trip; returns the rows of LESSEN_HEADROOM, one per brand.

    Postgres runs the statements one after the other. All transactions that count send them in this order, which is the
    order of their locks, and by key within each. `timeouts` None: the lock timeout of the connection.
    """
    spent = added.spent_by_brand()
    brand_ids = sorted(spent)
    of_brands = {"brand_ids": array_of(brand_ids), "spent": array_of(spent[brand_id] for brand_id in brand_ids)}
    parameters = of_brands | _counters(added) | _ledger(events) | {"at": at}
    if has_citus(connection):
        counting = spend_on_shard.counting(events, added, parameters, at)
        locking = spend_on_shard.lessening(spent, at)
    else:
        counting, locking = [(COUNT, parameters)], [(LESSEN_HEADROOM, parameters)]
    if timeouts is None:
        return query_pipelined(connection, *counting, *locking)[-1]
    locked = query_pipelined(connection, *counting, _wait_for_brands(connection, timeouts), *locking)[-1]
    before_next(connection, local_setting(connection, "lock_timeout", str(timeouts.own_ms)))
    return locked


def _wait_for_brands(connection: Connection, timeouts: LockTimeouts) -> Query:
    """The query that sets the lock timeout for rows of brands.

    On Postgres alone the timeout is less the transaction's duration so far. Citus sends its shards constants only, so
    they get the full timeout.
    """
    if has_citus(connection):
        return local_setting(connection, "lock_timeout", str(timeouts.brands_ms))
    return WAIT_FOR_BRANDS, timeouts._asdict()


def _ledger(events: EventColumns) -> dict[str, str]:
    return {
        "event_brand_ids": array_of(events.brand_ids),
        "event_ids": array_of(events.event_ids),
        "event_campaign_ids": array_of(events.campaign_ids),
        "event_moments": array_of(moment.isoformat() for moment in events.occurred_at),
        "event_amounts": array_of(events.amounts_micros),
        "event_sources": text_array_of(events.sources),
    }


def _counters(added: SpendSums) -> dict[str, str]:
    campaigns, brands = _in_order(added.of_days), _in_order(added.of_brands)
    return {
        "campaign_brand_ids": array_of(
            added.brand_of[campaign_id] for _, spent in campaigns for campaign_id, _ in spent
        ),
        "campaign_ids": _ids(campaigns),
        "campaign_days": _days(campaigns),
        "campaign_amounts": _amounts(campaigns),
        "counted_brand_ids": _ids(brands),
        "brand_days": _days(brands),
        "brand_amounts": _amounts(brands),
    }


Ordered = list[tuple[date, list[tuple[int, int]]]]
"""(day, [(id, micros), …]) pairs, sorted by day and id."""


def _in_order(of_days: Mapping[date, Mapping[int, int]]) -> Ordered:
    """Sorts sums by day and id, the order in which every transaction writes counters."""
    return [(day, sorted(spent.items())) for day, spent in sorted(of_days.items())]


def _ids(rows: Ordered) -> str:
    return array_of(key for _, spent in rows for key, _ in spent)


def _days(rows: Ordered) -> str:
    return array_of(chain.from_iterable(repeat(str(day), len(spent)) for day, spent in rows))


def _amounts(rows: Ordered) -> str:
    return array_of(micros for _, spent in rows for _, micros in spent)
