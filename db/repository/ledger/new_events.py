"""Compares spend events with the ledger: which are new, which it has already, and which conflict with stored ones."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.failures import StaleRead
from db.repository.ledger.ledger import Partition, by_day, day_of, days_in_partitions, ensure_partitions
from db.repository.ledger.sums import NOTHING, CampaignDay, SpendSums
from db.repository.shared.arrays import array_of
from db.repository.spread.shards import by_shard
from domain.inputs.columns import EventColumns
from domain.inputs.values import ROUNDED_BY, is_same_moment
from domain.periods import ONE_DAY

# The events of one partition of the ledger that have the given ids.
STORED = text("""
    SELECT brand_id, event_id::text, campaign_id, occurred_at, amount_micros
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:event_ids AS uuid[])) AS sent(brand_id, event_id)
    JOIN spend_events USING (brand_id, event_id)
    WHERE occurred_at >= :first AND occurred_at < :last
        /*citus AND spend_events.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
""")

EventKey = tuple[int, str, Partition]
"""(brand id, event id, partition of the ledger): the key of an event, which the ledger has once."""

Fact = tuple[int, datetime, int]
"""An event's content: (campaign id, occurred_at, micros). Two events with one id but other content conflict."""


class ClassifiedEvents(NamedTuple):
    """A batch of events, classified against the ledger.

    `known`: positions in the batch of events that are stored already or repeat an earlier event of the batch.
    `conflicts`: positions of events whose id is stored, or earlier in the batch, with other content. `new`: the other
    events of the batch. `added`: the sums that the new events add to the counters.
    """

    known: Sequence[int] = ()
    conflicts: Sequence[int] = ()
    new: EventColumns = EventColumns()
    added: SpendSums = NOTHING


def find_new_events(
    connection: Connection, events: EventColumns, also_days: Sequence[CampaignDay] = (), *, checks_ledger: bool = True
) -> ClassifiedEvents:
    """Creates missing partitions of the ledger, and classifies the events by it for `record`.

    Without `checks_ledger` all events count as new, which saves a query when duplicates are unlikely; `record` raises
    SomeAlreadyStored if there are any. Events in the last half second and at the first instant of a partition are
    compared nevertheless: rounded to a second, the time of a retry may be in the partition beside, whose key cannot
    find the duplicate. `also_days` get a counter too, of 0 if no event adds to it. Raises StaleRead if a partition of
    the events was dropped, or if more partitions are missing than one transaction creates (on Citus: if any is).
    """
    partitions = ensure_partitions(connection, days_in_partitions(events.occurred_at))
    beside = _beside_ends(events.occurred_at, partitions)
    places: Collection[int] = range(len(events.event_ids)) if checks_ledger else beside
    classified = _compare_with_ledger(connection, events, places, partitions, beside) if places else ClassifiedEvents()
    new = events.without(*classified.known, *classified.conflicts)
    return classified._replace(new=new, added=SpendSums.by(new, also_days))


def _compare_with_ledger(
    connection: Connection,
    events: EventColumns,
    places: Collection[int],
    partitions: Iterable[Partition],
    beside: Mapping[int, date],
) -> ClassifiedEvents:
    """The positions of known and of conflicting events (the fields `known` and `conflicts` of the result alone).

    Compares only the events at the positions `places`, in ascending order, with the ledger and with earlier events of
    the batch. `beside`: the result of `_beside_ends`: by position, another day on which the ledger may have the event,
    because its time was rounded.
    """
    of_days = by_day(partitions)
    try:
        in_partitions = {place: of_days[day_of(events.occurred_at[place])] for place in places}
    except KeyError as error:
        raise StaleRead("another thread has cleared the cache of partitions") from error
    keys = {place: (events.brand_ids[place], events.event_ids[place], one) for place, one in in_partitions.items()}
    others = {
        place: (*keys[place][:2], of_days.get(day, Partition(day, day + ONE_DAY))) for place, day in beside.items()
    }
    stored = _stored_facts(connection, {*keys.values(), *others.values()})
    known: list[int] = []
    conflicts: list[int] = []
    for place, key in keys.items():
        fact = (events.campaign_ids[place], events.occurred_at[place], events.amounts_micros[place])
        rounded = stored.get(others[place]) if place in others else None
        if rounded is not None and key not in stored and _is_same_content(rounded, fact):
            known.append(place)
            continue
        first = stored.setdefault(key, fact)
        if first is not fact:
            (known if _is_same_content(first, fact) else conflicts).append(place)
    return ClassifiedEvents(known, conflicts)


def _is_same_content(one: Fact, other: Fact) -> bool:
    """Whether two facts are equal, times compared at the coarser precision: a retry may send its time less exactly."""
    return one == other or (one[0] == other[0] and one[2] == other[2] and is_same_moment(one[1], other[1]))


_JUST_BEFORE: Final = timedelta(microseconds=1)


def _beside_ends(moments: Sequence[datetime], partitions: Collection[Partition]) -> dict[int, date]:
    """The moments whose rounding to a second may cross an end of a partition: by position, the day beyond that end.

    For a moment at most ROUNDED_BY before an end, it is the next day; for the first instant of a partition, the day
    before.
    """
    if not moments:
        return {}
    if len(partitions) == 1:
        (only,) = partitions
        if only.starts_at < min(moments) and max(moments) + ROUNDED_BY < only.ends_at:
            return {}
    of_days = by_day(partitions)
    found = {}
    for place, moment in enumerate(moments):
        if moment.second not in {0, 59}:
            continue
        day = day_of(moment)
        for beyond in (day_of(moment + ROUNDED_BY), day_of(moment - _JUST_BEFORE)):
            if of_days.get(beyond) != of_days.get(day):
                found[place] = beyond
    return found


def _stored_facts(connection: Connection, keys: Iterable[EventKey]) -> dict[EventKey, Fact]:
    of_partitions: dict[Partition, list[EventKey]] = {}
    for key in keys:
        of_partitions.setdefault(key[2], []).append(key)
    facts: dict[EventKey, Fact] = {}
    for one, keys_of_one in of_partitions.items():
        for brands in by_shard(connection, {brand_id for brand_id, _, _ in keys_of_one}):
            keys_of_shard = [key for key in keys_of_one if key[0] in brands]
            parameters = {
                "brand_ids": array_of(brand_id for brand_id, _, _ in keys_of_shard),
                "event_ids": array_of(event_id for _, event_id, _ in keys_of_shard),
                "first": one.starts_at,
                "last": one.ends_at,
            }
            for brand_id, event_id, campaign_id, occurred_at, micros in connection.execute(STORED, parameters):
                facts[brand_id, event_id, one] = (campaign_id, occurred_at, micros)
    return facts
