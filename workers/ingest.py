"""Spend comes in: read, judged, counted once and enforced, in one commit."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Final, Generic, NamedTuple, TypeVar

import dramatiq
import structlog
from sqlalchemy import Connection

from db.engine import Stale, committed, sql_state, transaction
from db.repository import ledger, rejected, search, sequences, spend
from db.repository.accounts import accounts
from db.repository.enforcement import Applied, lock_brands
from db.repository.zones import readable_zones
from domain.periods import local_day
from domain.sequences import runs_in
from domain.spend import (
    MAX_EVENTS_PER_MESSAGE,
    Account,
    AgeBounds,
    CampaignKey,
    Reason,
    Rejection,
    SpendDraft,
    SpendEvent,
    TotalDraft,
    judge_event,
    judge_total,
    read_event,
    read_total,
)
from runtime import clock
from runtime.settings import settings
from workers import receipts
from workers.broker import broker
from workers.enforcement import Cause, announce, chunks, enforce
from workers.locked_brands import locked_brands
from workers.parts import DATABASE_ERRORS, BrandsOf, Commit, Draft, commit_now, commit_or_postpone
from workers.terms import Terms, listed

log = structlog.get_logger()

DATA_EXCEPTIONS = "22"
OUT_OF_RANGE = "22003"
IDS_LOGGED = 20

Good = TypeVar("Good")


class Counted(NamedTuple):
    """What became of a batch: taken anew, known already (or older), and rejected, each with its reason."""

    taken: int = 0
    known: int = 0
    rejections: tuple[Rejection, ...] = ()
    changes: tuple[Applied, ...] = ()
    brand_ids: frozenset[int] = frozenset()
    campaign_ids: frozenset[int] = frozenset()


@dramatiq.actor(broker=broker, queue_name="spend")
def ingest_spend(*args: object, **kwargs: object) -> None:
    """`events`: a list of spend events, as the README describes them; what else a message says: see `Terms`."""
    terms = Terms.taken_from(kwargs)
    _ingest(EVENTS, listed("events", args, kwargs), terms)


@dramatiq.actor(broker=broker, queue_name="spend")
def ingest_reported_totals(*args: object, **kwargs: object) -> None:
    """`totals`: a list of cumulative day totals, as the README describes them; what else it says: see `Terms`."""
    terms = Terms.taken_from(kwargs)
    _ingest(TOTALS, listed("totals", args, kwargs), terms)


@dataclass(frozen=True)
class Way(Generic[Draft]):
    """How one kind of input is read and counted, and what its batches are called."""

    name: str
    actor_name: str
    event: str
    cause: Cause
    read: Callable[[object], Draft | Rejection]
    count: Callable[[int | None, list[Draft], list[Rejection], Connection], Counted]


def _ingest(way: Way[Draft], payloads: Sequence[object], terms: Terms) -> None:
    """Counts what is free, each commit told in the log, and enqueues what is of locked brands for later."""
    told: list[Counted] = []
    later: list[str] = []

    def tell(counted: Counted) -> None:
        told.append(counted)
        report(way.event, counted, way.cause)

    def postpone(inputs: list[object], brand_id: int | None) -> None:
        receipt = terms.receipt and receipts.another(terms.receipt)
        _enqueue_later(way, inputs, Terms(terms.only_brand_id, brand_id, receipt))
        if receipt:
            later.append(receipt)

    if terms.postponed_brand_id is not None and locked_brands.is_put_off(terms.postponed_brand_id):
        postpone(list(payloads), terms.postponed_brand_id)
    else:
        for some in chunks(payloads, MAX_EVENTS_PER_MESSAGE):
            drafts, rejections = _parted(map(way.read, some))
            commit, brands_of = _steps(way, terms.only_brand_id, tell)
            commit_or_postpone(drafts, rejections, commit, brands_of, postpone)
    if terms.receipt:
        counted = _sum(told)
        receipts.write(terms.receipt, counted.taken, counted.known, counted.rejections, later)


def _enqueue_later(way: Way[Draft], inputs: list[object], terms: Terms) -> None:
    """Enqueued before the original is acknowledged: where that fails, all of it comes again, and is counted once."""
    said = {name: value for name, value in terms._asdict().items() if value is not None}
    actor = broker.get_actor(way.actor_name)
    delay_ms = locked_brands.delay_ms(terms.postponed_brand_id)
    actor.send_with_options(kwargs={way.name: inputs, **said}, delay=delay_ms)
    log.debug("spend.postponed", brand_id=terms.postponed_brand_id, inputs=len(inputs), milliseconds=delay_ms)


def count_events(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Counts each event once and enforces the brands it may have moved over a limit, either way.

    `only_brand_id`: the brand whose campaigns the sender knows; None knows all. Where a brand is locked for too long,
    raises what Postgres said when all others are counted: the same batch may be counted again.
    """
    return _counted_now(EVENTS, payloads, only_brand_id)


def count_totals(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Turns day totals into events for their differences, and counts and enforces those."""
    return _counted_now(TOTALS, payloads, only_brand_id)


def _counted_now(way: Way[Draft], payloads: Sequence[object], only_brand_id: int | None) -> Counted:
    told: list[Counted] = []
    drafts, rejections = _parted(map(way.read, payloads))
    try:
        commit_now(drafts, rejections, *_steps(way, only_brand_id, told.append))
    except Exception:
        for counted in told:
            report(way.event, counted, way.cause)
        raise
    return _sum(told)


def _steps(
    way: Way[Draft], only_brand_id: int | None, tell: Callable[[Counted], None]
) -> tuple[Commit[Draft], BrandsOf]:
    """How a part of a batch is committed and told, and how the brands of its campaigns are found."""

    def brands_of(campaigns: Collection[CampaignKey]) -> dict[CampaignKey, int]:
        with transaction() as connection:
            known = accounts(connection, campaigns, only_brand_id)
        return {campaign: account.brand_id for campaign, account in known.items()}

    return partial(_commit, partial(way.count, only_brand_id), tell), brands_of


def _commit(
    work: Callable[[list[Draft], list[Rejection], Connection], Counted],
    tell: Callable[[Counted], None],
    drafts: list[Draft],
    rejections: list[Rejection],
    lock_timeout_ms: int | None,
) -> None:
    """Commits and tells; where Postgres cannot hold a value or a sum, halves until the one at fault stands alone."""
    try:
        counted = committed(partial(work, drafts, rejections), lock_timeout_ms)
    except DATABASE_ERRORS as error:
        state = sql_state(error) or ""
        if not state.startswith(DATA_EXCEPTIONS) or not drafts:
            raise
    else:
        tell(counted)
        return
    if len(drafts) == 1:
        unstorable = _unstorable(drafts[0], state)
        tell(committed(partial(work, [], [*rejections, unstorable]), lock_timeout_ms))
        return
    half = len(drafts) // 2
    _commit(work, tell, drafts[:half], rejections, lock_timeout_ms)
    _commit(work, tell, drafts[half:], [], lock_timeout_ms)


def _sum(counted: Sequence[Counted]) -> Counted:
    return Counted(
        sum(one.taken for one in counted),
        sum(one.known for one in counted),
        tuple(rejection for one in counted for rejection in one.rejections),
        tuple(change for one in counted for change in one.changes),
        frozenset().union(*(one.brand_ids for one in counted)),
        frozenset().union(*(one.campaign_ids for one in counted)),
    )


def _unstorable(draft: SpendDraft | TotalDraft, state: str) -> Rejection:
    if state == OUT_OF_RANGE:
        detail = "with it the day's spend would leave the range of a bigint"
        return Rejection(Reason.AMOUNT_OUT_OF_RANGE, detail, draft.payload)
    return Rejection(Reason.MALFORMED, f"Postgres cannot hold it ({state})", draft.payload)


def _count_events(
    only_brand_id: int | None, drafts: list[SpendDraft], rejections: list[Rejection], connection: Connection
) -> Counted:
    at = clock.now()
    within = bounds(settings().max_event_age, at)
    known = accounts(connection, {draft.campaign for draft in drafts}, only_brand_id)
    events, refused = _parted(judge_event(draft, known, at, within) for draft in drafts)
    arrived = chain((draft.payload for draft in drafts), (rejection.payload for rejection in rejections))
    sequences.append(connection, runs_in(arrived), at)
    recorded = spend.record(connection, events, at)
    rejections = [*rejections, *refused, *recorded.conflicts]
    rejected.keep(connection, rejected.SPEND_EVENT, rejections, at, only_brand_id)
    changes = _enforce_crossed(connection, recorded.new, known.values(), Cause.SPEND)
    return Counted(len(recorded.new), recorded.duplicates, tuple(rejections), tuple(changes), *_touched(recorded.new))


def _count_totals(
    only_brand_id: int | None, drafts: list[TotalDraft], rejections: list[Rejection], connection: Connection
) -> Counted:
    at = clock.now()
    within = bounds(settings().max_total_age, at)
    known = accounts(connection, {draft.campaign for draft in drafts}, only_brand_id)
    totals, refused = _parted(judge_total(draft, known, at, within) for draft in drafts)
    restated = spend.restate(connection, totals)
    recorded = spend.record(connection, restated.differences, at, also_days=restated.first_days)
    rejections = [*rejections, *refused, *restated.conflicts]
    rejected.keep(connection, rejected.REPORTED_TOTAL, rejections, at, only_brand_id)
    changes = _enforce_crossed(connection, recorded.new, known.values(), Cause.REPORTED_TOTAL)
    taken = len(totals) - restated.nothing_new - len(restated.conflicts)
    return Counted(taken, restated.nothing_new, tuple(rejections), tuple(changes), *_touched(recorded.new))


EVENTS: Final = Way("events", "ingest_spend", "spend.ingested", Cause.SPEND, read_event, _count_events)
TOTALS: Final = Way(
    "totals", "ingest_reported_totals", "totals.ingested", Cause.REPORTED_TOTAL, read_total, _count_totals
)


def _touched(events: Sequence[SpendEvent]) -> tuple[frozenset[int], frozenset[int]]:
    return frozenset(event.brand_id for event in events), frozenset(event.campaign_id for event in events)


def bounds(oldest: timedelta | None, at: datetime) -> AgeBounds:
    """The bounds that are set, and never an age that the ledger does not retain."""
    retention = settings().ledger_retention_months
    retained = None if retention is None else at - ledger.floor(at, retention)
    ages = [age for age in (oldest, retained) if age is not None]
    return AgeBounds(min(ages, default=None), settings().max_event_ahead)


def _enforce_crossed(
    connection: Connection, events: Sequence[SpendEvent], judged_by: Iterable[Account], cause: Cause
) -> list[Applied]:
    """Enforces the brands on which the events moved a budget over its limit, either way.

    The brands are locked before their limits are read, so that a limit lowered meanwhile either waits for these
    counters or is seen here. Raises Stale where a brand's zone or currency is not what the events were judged by.
    """
    brand_ids = sorted({event.brand_id for event in events})
    if not brand_ids:
        return []
    locked = lock_brands(connection, brand_ids)
    judged = {account.brand_id: (account.time_zone.key, account.currency) for account in judged_by}
    if any(judged[brand_id] != found for brand_id, found in locked.items()):
        raise Stale("a brand's time zone or currency changed before its first spend")
    zones = {brand_id: zone for brand_id, (zone, _) in locked.items()}
    at = clock.now()
    campaign_ids = sorted({event.campaign_id for event in events})
    crossed = search.crossed(connection, set(zones.values()), at, brand_ids=brand_ids, campaign_ids=campaign_ids)
    ahead = _brands_ahead(events, zones, at)
    return enforce(connection, {*crossed, *ahead}, cause, at) if crossed or ahead else []


def _brands_ahead(events: Sequence[SpendEvent], zones: dict[int, str], at: datetime) -> set[int]:
    """The brands with spend dated on a day that has not begun: midnight may exhaust a budget with it."""
    today = {name: local_day(at, zone) for name, zone in readable_zones(set(zones.values())).items()}
    return {event.brand_id for event in events if event.day > today[zones[event.brand_id]]}


def _parted(read: Iterable[Good | Rejection]) -> tuple[list[Good], list[Rejection]]:
    good: list[Good] = []
    rejections: list[Rejection] = []
    for item in read:
        if isinstance(item, Rejection):
            rejections.append(item)
        else:
            good.append(item)
    return good, rejections


def report(event: str, counted: Counted, cause: Cause) -> None:
    """Logs what became of a committed batch."""
    reasons: dict[str, int] = {}
    for rejection in counted.rejections:
        reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
    log.info(
        event,
        taken=counted.taken,
        known=counted.known,
        rejected=len(counted.rejections),
        brand_ids=sorted(counted.brand_ids)[:IDS_LOGGED],
        campaign_ids=sorted(counted.campaign_ids)[:IDS_LOGGED],
    )
    for reason, inputs in sorted(reasons.items()):
        log.warning("spend.rejected", reason=reason, inputs=inputs)
    announce(counted.changes, cause)
