"""Writes spend events to the ledger, each once, and adds them to the counters of campaigns and brands."""

from collections.abc import Mapping
from datetime import date, datetime
from itertools import chain, repeat
from typing import Any, Final

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from db import traced
from db.citus_errors import is_duplicate_in, translated
from db.engine import before_next, driver_of, query_pipelined
from db.local_settings import has_citus, local_setting
from db.repository.enforcement.headroom import Headroom
from db.repository.ledger import count_on_shard, ledger_rows
from db.repository.ledger.counting import COUNT, LESSEN_HEADROOM, WAIT_FOR_BRANDS, LockTimeouts
from db.repository.ledger.new_events import ClassifiedEvents
from db.repository.ledger.sums import SpendSums
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.spread.shards import by_shard
from domain.inputs.columns import EventColumns

FEW_EVENTS: Final = 100
"""The most events of a small batch.

A small batch is inserted in the round trip that counts it, is bundled with other small messages, and on Citus has one
transaction for all its brands of a server. A larger batch is first written by COPY, except on Citus.
"""

LEDGER: Final = "spend_events"


class SomeAlreadyStored(Exception):
    """The ledger already has one of the events, or the batch has one twice. The transaction has failed.

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
    since, and OperationalError on a lock timeout, of psycopg if COPY waits for the lock, else of SQLAlchemy; the
    transaction has failed then.
    """
    events = classified.new
    if len(events.event_ids) > FEW_EVENTS and not has_citus(connection):
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
    if has_citus(connection):
        shards = by_shard(connection, set(added.brand_of.values()))
        parts = [(min(brands), _parameters(events.only(brands), added.only(brands), at)) for brands in shards]
        return count_on_shard.count(connection, parts, timeouts)
    parameters = _parameters(events, added, at)
    counting, locking = (COUNT, parameters), (LESSEN_HEADROOM, parameters)
    if timeouts is None:
        return query_pipelined(connection, counting, locking)[-1]
    locked = query_pipelined(connection, counting, (WAIT_FOR_BRANDS, timeouts._asdict()), locking)[-1]
    before_next(connection, local_setting(connection, "lock_timeout", str(timeouts.own_ms)))
    return locked


def _parameters(events: EventColumns, added: SpendSums, at: datetime) -> dict[str, Any]:
    """The parameters of COUNT and LESSEN_HEADROOM."""
    spent = added.spent_by_brand()
    brand_ids = sorted(spent)
    of_brands = {"brand_ids": array_of(brand_ids), "spent": array_of(spent[brand_id] for brand_id in brand_ids)}
    return of_brands | _counters(added) | _ledger(events) | {"at": at}


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
