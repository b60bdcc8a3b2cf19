"""Compares spend events with the ledger: which are new, which it has already, and which conflict with stored ones."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.ledger.ledger import ensure_months, month_of, next_month
from db.repository.ledger.sums import NOTHING, CampaignDay, SpendSums
from db.repository.shared.arrays import array_of
from domain.inputs.columns import EventColumns
from domain.inputs.values import is_same_moment

# The events of one month of the ledger that have the given ids.
STORED = text("""
    SELECT brand_id, event_id::text, campaign_id, occurred_at, amount_micros
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:event_ids AS uuid[])) AS sent(brand_id, event_id)
    JOIN spend_events USING (brand_id, event_id)
    WHERE occurred_at >= :first AND occurred_at < :last
        /*citus AND spend_events.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
""")

EventKey = tuple[int, str, date]
"""(brand id, event id, first day of the UTC month)."""

Fact = tuple[int, datetime, int]
"""An event's content: (campaign id, occurred_at, micros). Two events with one id but other content conflict."""


class ClassifiedEvents(NamedTuple):
    """A batch of events, classified against the ledger.

    `known`: positions in the batch of events that are stored already or repeat an earlier event of the batch.
    `conflicts`: positions of events whose id has other content there. `new`: all other events. `added`: the sums that
    these add to the counters.
    """

    known: Sequence[int] = ()
    conflicts: Sequence[int] = ()
    new: EventColumns = EventColumns()
    added: SpendSums = NOTHING


def find_new_events(
    connection: Connection, events: EventColumns, also_days: Sequence[CampaignDay] = (), *, checks_ledger: bool = True
) -> ClassifiedEvents:
    """The events classified for `record`, after creating missing partitions of the ledger.

    Without `checks_ledger` all events count as new, which saves a query when duplicates are unlikely; `record` raises
    SomeAlreadyStored if there are any. `also_days` get a counter too, of 0 if no event adds to it. Raises StaleRead if
    a month of the events was dropped, or if many months are missing.
    """
    ensure_months(connection, months_of(events))
    classified = _compare_with_ledger(connection, events) if checks_ledger and events.event_ids else ClassifiedEvents()
    new = events.without(*classified.known, *classified.conflicts)
    return classified._replace(new=new, added=SpendSums.by(new, also_days))


def _compare_with_ledger(connection: Connection, events: EventColumns) -> ClassifiedEvents:
    """The positions of known and of conflicting events, by the ledger and by earlier events of the batch."""
    months = [moment.date().replace(day=1) for moment in events.occurred_at]
    keys = list(zip(events.brand_ids, events.event_ids, months, strict=True))
    stored = _stored_facts(connection, set(keys))
    known: list[int] = []
    conflicts: list[int] = []
    facts = zip(events.campaign_ids, events.occurred_at, events.amounts_micros, strict=True)
    for place, (key, fact) in enumerate(zip(keys, facts, strict=True)):
        first = stored.setdefault(key, fact)
        if first is not fact:
            (known if _is_same_content(first, fact) else conflicts).append(place)
    return ClassifiedEvents(known, conflicts)


def _is_same_content(one: Fact, other: Fact) -> bool:
    """Whether two facts are equal, times compared at the coarser precision: a retry may send its time less exactly."""
    return one == other or (one[0] == other[0] and one[2] == other[2] and is_same_moment(one[1], other[1]))


def months_of(events: EventColumns) -> set[date]:
    """The ledger months (first days, UTC) of the events."""
    if not events.occurred_at:
        return set()
    first, last = month_of(min(events.occurred_at)), month_of(max(events.occurred_at))
    return {first} if first == last else set(map(month_of, events.occurred_at))


def _stored_facts(connection: Connection, keys: Iterable[EventKey]) -> dict[EventKey, Fact]:
    of_months: dict[date, list[EventKey]] = {}
    for key in keys:
        of_months.setdefault(key[2], []).append(key)
    facts: dict[EventKey, Fact] = {}
    for month, keys_of_month in of_months.items():
        parameters = {
            "brand_ids": array_of(brand_id for brand_id, _, _ in keys_of_month),
            "event_ids": array_of(event_id for _, event_id, _ in keys_of_month),
            "first": datetime.combine(month, time.min, UTC),
            "last": datetime.combine(next_month(month), time.min, UTC),
        }
        for brand_id, event_id, campaign_id, occurred_at, micros in connection.execute(STORED, parameters):
            facts[brand_id, event_id, month] = (campaign_id, occurred_at, micros)
    return facts
