"""The ledger and the counters: every event once, every counter the sum of its events."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from itertools import chain, repeat
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from db.engine import driver_of, fetched, sql_state
from db.repository.enforcement.headroom import Headroom
from db.repository.ledger import ledger_rows
from db.repository.ledger.ledger import ensure_months, month_of, next_month
from db.repository.shared.arrays import array_of, text_array_of
from domain.columns import Events
from domain.inputs import is_same_moment

# What one month of the ledger holds under the given ids.
STORED = text("""
    SELECT brand_id, event_id::text, campaign_id, occurred_at, amount_micros
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:event_ids AS uuid[])) AS sent(brand_id, event_id)
    JOIN spend_events USING (brand_id, event_id)
    WHERE occurred_at >= :first AND occurred_at < :last
""")

# Events to the ledger, then their spend to the counters of campaigns and of brands, one after the other: each part
# waits for the one before, because all who count must lock in the same order, and by key within it.
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

# Counted spend from the headroom of its brands, which are locked in the order of their ids.
LESSEN_HEADROOM = text("""
    WITH locked AS MATERIALIZED (
        SELECT id FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE brands
    SET headroom_micros = CASE WHEN headroom_micros >= spent_micros THEN headroom_micros - spent_micros END,
        spend_received_at = greatest(spend_received_at, CAST(:at AS timestamptz))
    FROM locked JOIN unnest(CAST(:brand_ids AS bigint[]), CAST(:spent AS bigint[])) AS sent(brand_id, spent_micros)
        ON sent.brand_id = locked.id
    WHERE brands.id = locked.id
    RETURNING brands.id, time_zone, currency, configured_status, headroom_micros, headroom_on, has_campaign_budgets
""")

# For the rows of brands a transaction waits as long as it may, less the time it has taken already.
WAIT_FOR_BRANDS = text("""
    SELECT set_config('lock_timeout', greatest(CAST(:least_brands_ms AS bigint), CAST(:brands_ms AS bigint)
        - CAST(1000 * extract(epoch FROM clock_timestamp() - transaction_timestamp()) AS bigint))::text, true)
""")

WAIT_FOR_OWN = text("SELECT set_config('lock_timeout', CAST(:own_ms AS text), true)")


class Patience(NamedTuple):
    """For how many milliseconds a transaction of spend waits for each lock.

    `own_ms`: for what other transactions of spend hold, which will end: the ledger's keys, counters. `brands_ms`: for
    a brand's row, which another program may hold for as long as it likes, less what the transaction has waited
    before, but no less than `least_brands_ms`.
    """

    own_ms: int
    brands_ms: int
    least_brands_ms: int


FEW_EVENTS: Final = 100
"""So many go to the ledger with their counters; more go by COPY, which is a trip of its own."""

KNOWN_STATE: Final = "23505"
"""What Postgres says, naming the ledger, of an event that is there already."""

EventKey = tuple[int, str, date]
Fact = tuple[int, datetime, int]
"""What an id stands for (campaign, moment, micros): two events with one id and another fact contradict each other."""

CampaignDay = tuple[int, int, date]
Rows = list[tuple[Any, ...]]


class Added(NamedTuple):
    """What events add to the days of campaigns and of brands, in micros, and whose the campaigns are."""

    of_days: Mapping[date, Mapping[int, int]]
    of_brands: Mapping[date, Mapping[int, int]]
    brand_of: Mapping[int, int]

    @classmethod
    def by(cls, events: Events, also_days: Iterable[CampaignDay] = ()) -> "Added":
        """The sums of the events; `also_days` are there too, if need be with nothing."""
        of_days: dict[date, dict[int, int]] = {day: defaultdict(int) for day in set(events.days)}
        for day, campaign_id, micros in zip(events.days, events.campaign_ids, events.amounts_micros, strict=True):
            of_days[day][campaign_id] += micros
        brand_of = dict(zip(events.campaign_ids, events.brand_ids, strict=True))
        for brand_id, campaign_id, day in also_days:
            of_days.setdefault(day, {}).setdefault(campaign_id, 0)
            brand_of[campaign_id] = brand_id
        of_brands: dict[date, dict[int, int]] = {day: defaultdict(int) for day in of_days}
        for day, campaigns in of_days.items():
            for campaign_id, micros in campaigns.items():
                of_brands[day][brand_of[campaign_id]] += micros
        return cls(of_days, of_brands, brand_of)

    def spent_by_brand(self) -> dict[int, int]:
        """What was added to the days of each brand, without what was taken away from some."""
        spent: defaultdict[int, int] = defaultdict(int)
        for brands in self.of_brands.values():
            for brand_id, micros in brands.items():
                spent[brand_id] += max(micros, 0)
        return spent


NOTHING: Final = Added(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))


class KnownInPart(Exception):
    """The ledger has one of the events already, or the batch has one twice: the transaction must look first."""


class Sifted(NamedTuple):
    """What becomes of events, by their places: which the ledger has already, and which contradict it.

    `new` are the others, `added` is what they add to the counters.
    """

    known: Sequence[int] = ()
    conflicts: Sequence[int] = ()
    new: Events = Events()
    added: Added = NOTHING


def sift(
    connection: Connection, events: Events, also_days: Sequence[CampaignDay] = (), *, looks_first: bool = True
) -> Sifted:
    """Tells what is new of the events, for `record`; where it does not look first, all of it.

    A batch of new events need not pay for a look at the ledger. `also_days` get a counter too, of zero where no event
    is theirs.
    """
    ensure_months(connection, months_of(events))
    sifted = _told_apart(connection, events) if looks_first and events.event_ids else Sifted()
    new = events.without(*sifted.known, *sifted.conflicts)
    return sifted._replace(new=new, added=Added.by(new, also_days))


def _copy(connection: Connection, events: Events, at: datetime) -> None:
    try:
        with driver_of(connection).cursor() as cursor, cursor.copy(ledger_rows.COPY) as copy:
            copy.write(ledger_rows.encoded(events, at))
    except psycopg.errors.UniqueViolation as error:
        raise KnownInPart from error


def _told_apart(connection: Connection, events: Events) -> Sifted:
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
            (known if _says_the_same(stands, fact) else conflicts).append(place)
    return Sifted(known, conflicts)


def _says_the_same(one: Fact, other: Fact) -> bool:
    """A retry may say its moment less exactly than what it repeats, or the other way round."""
    return one == other or (one[0] == other[0] and one[2] == other[2] and is_same_moment(one[1], other[1]))


def months_of(events: Events) -> set[date]:
    """The months of the ledger that they belong to."""
    if not events.occurred_at:
        return set()
    first, last = month_of(min(events.occurred_at)), month_of(max(events.occurred_at))
    return {first} if first == last else set(map(month_of, events.occurred_at))


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


def record(
    connection: Connection, sifted: Sifted, at: datetime, patience: Patience | None = None
) -> dict[int, Headroom]:
    """Writes the new events, adds to the counters, and takes from the headroom of the brands; returns what is left.

    Waits until no other transaction enforces these brands: as `patience` says, without it as long as every connection
    waits. Raises KnownInPart where an event was there, already or just now: `sift` did not look, or another transaction
    wrote the same id meanwhile. The transaction is lost, the next one will find it.
    """
    few = sifted.new
    if len(few.event_ids) > FEW_EVENTS:
        _copy(connection, few, at)
        few = Events()
    spent = sifted.added.spent_by_brand()
    brand_ids = sorted(spent)
    of_brands = {"brand_ids": array_of(brand_ids), "spent": array_of(spent[brand_id] for brand_id in brand_ids)}
    parameters = of_brands | _counters(sifted.added) | _ledger(few) | {"at": at}
    try:
        locked = _counted(connection, parameters, patience)
    except IntegrityError as error:
        if _is_known(error):
            raise KnownInPart from error
        raise
    return {brand_id: Headroom(*rest) for brand_id, *rest in locked}


def _counted(
    connection: Connection, parameters: Mapping[str, object], patience: Patience | None
) -> list[tuple[Any, ...]]:
    """Counts and locks in one trip; returns the locked brands."""
    if patience is None:
        _, locked = fetched(connection, (COUNT, parameters), (LESSEN_HEADROOM, parameters))
    else:
        waits = patience._asdict()
        _, _, locked, _ = fetched(
            connection,
            (COUNT, parameters),
            (WAIT_FOR_BRANDS, waits),
            (LESSEN_HEADROOM, parameters),
            (WAIT_FOR_OWN, waits),
        )
    return locked


def _is_known(error: IntegrityError) -> bool:
    diagnosis = getattr(error.orig, "diag", None)
    table = None if diagnosis is None else diagnosis.table_name
    return sql_state(error) == KNOWN_STATE and str(table).startswith("spend_events")


def _ledger(events: Events) -> dict[str, str]:
    return {
        "event_brand_ids": array_of(events.brand_ids),
        "event_ids": array_of(events.event_ids),
        "event_campaign_ids": array_of(events.campaign_ids),
        "event_moments": array_of(moment.isoformat() for moment in events.occurred_at),
        "event_amounts": array_of(events.amounts_micros),
        "event_sources": text_array_of(events.sources),
    }


def _counters(added: Added) -> dict[str, str]:
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
"""By day: ids, each with its micros."""


def _in_order(of_days: Mapping[date, Mapping[int, int]]) -> Ordered:
    """In the order in which every transaction writes counters."""
    return [(day, sorted(spent.items())) for day, spent in sorted(of_days.items())]


def _ids(rows: Ordered) -> str:
    return array_of(key for _, spent in rows for key, _ in spent)


def _days(rows: Ordered) -> str:
    return array_of(chain.from_iterable(repeat(str(day), len(spent)) for day, spent in rows))


def _amounts(rows: Ordered) -> str:
    return array_of(micros for _, spent in rows for _, micros in spent)
