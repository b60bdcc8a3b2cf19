"""Spend comes in: read, then counted once and enforced in one commit, with others' or by itself."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Final, Generic, NamedTuple

import dramatiq
import structlog
from sqlalchemy import Connection

from db.engine import committed, sql_state, transaction
from db.repository.accounts import accounts
from db.repository.spend import FEW_EVENTS
from domain.inputs import MAX_EVENTS_PER_MESSAGE, CampaignKey, Reason, Rejection
from domain.spend import SpendDraft, read_event
from domain.totals import TotalDraft, read_total
from runtime.settings import settings
from workers import bundles, receipts
from workers.broker import broker
from workers.counting import Batch, Counted, count_batches, count_day_totals, optimistic, parted, sum_of
from workers.enforcement import Cause, announce, chunks
from workers.locked_brands import locked_brands
from workers.middleware import IDS_LOGGED
from workers.parts import DATABASE_ERRORS, BrandsOf, Commit, Draft, commit_now, commit_or_postpone
from workers.terms import Terms, listed
from workers.together import CommitAlone, Together

log = structlog.get_logger()

DATA_EXCEPTIONS = "22"
OUT_OF_RANGE = "22003"
MAX_EVENTS_TOGETHER: Final = 32_000
"""Of one transaction: beyond that, larger ones are hardly cheaper."""


@dramatiq.actor(broker=broker, queue_name="spend")
def ingest_spend(*args: object, **kwargs: object) -> None:
    """`events`: a list of spend events, as the README describes them; what else a message says: see `Terms`."""
    terms = Terms.taken_from(kwargs)
    events = listed("events", args, kwargs)
    if isinstance(events, bundles.EventsOfSeveral):
        _ingest_several(events)
    else:
        _ingest(EVENTS, events, terms)


@dramatiq.actor(broker=broker, queue_name="spend")
def ingest_reported_totals(*args: object, **kwargs: object) -> None:
    """`totals`: a list of cumulative day totals, as the README describes them; what else it says: see `Terms`."""
    terms = Terms.taken_from(kwargs)
    _ingest(TOTALS, listed("totals", args, kwargs), terms)


class Lanes(NamedTuple):
    """Two transactions of a process at a time: what is quickly done does not wait for what is not."""

    quick: Together[Sequence[Batch], Counted]
    heavy: Together[Sequence[Batch], Counted]


@dataclass(frozen=True)
class Way(Generic[Draft]):
    """How one kind of input is read and counted, and what its batches are called."""

    name: str
    actor_name: str
    event: str
    cause: Cause
    read: Callable[[object], Draft | Rejection]
    count: Callable[[Sequence[Draft], Sequence[Rejection], int | None], Callable[[Connection], Counted]]
    lanes: Lanes | None = None


def _ingest_several(bundle: bundles.EventsOfSeveral) -> None:
    """Counts the events of a bundle's messages in one commit; where that fails, message by message."""
    try:
        counted = _committed_with_others(EVENTS, bundle)
    except CommitAlone:
        for payloads in bundle:
            _ingest(EVENTS, payloads, Terms())
    else:
        report(EVENTS.event, counted, EVENTS.cause)


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
            if not _is_committed_together(way, some, terms, tell):
                drafts, rejections = parted(map(way.read, some))
                commit, brands_of = _steps(way, terms.only_brand_id, tell)
                commit_or_postpone(drafts, rejections, commit, brands_of, postpone)
    if terms.receipt:
        counted = sum_of(told)
        receipts.write(terms.receipt, counted.taken, counted.known, counted.rejections, later)


def _is_committed_together(
    way: Way[Draft], payloads: Sequence[object], terms: Terms, tell: Callable[[Counted], None]
) -> bool:
    """Commits a batch with those of other messages; false where it must go by itself."""
    if terms.only_brand_id is not None:
        return False
    try:
        tell(_committed_with_others(way, [payloads]))
    except CommitAlone:
        return False
    return True


def _committed_with_others(way: Way[Draft], messages: Sequence[Sequence[object]]) -> Counted:
    """Raises CommitAlone where it must go by itself, without reading it where that is known before."""
    if way.lanes is None or locked_brands.known():
        raise CommitAlone
    batches = Batch.of_several(messages)
    lane = way.lanes.quick if all(map(bundles.are_few, messages)) else way.lanes.heavy
    return lane.committed(batches, sum(batch.size for batch in batches))


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
    drafts, rejections = parted(map(way.read, payloads))
    try:
        commit_now(drafts, rejections, *_steps(way, only_brand_id, told.append))
    except Exception:
        for counted in told:
            report(way.event, counted, way.cause)
        raise
    return sum_of(told)


def _steps(
    way: Way[Draft], only_brand_id: int | None, tell: Callable[[Counted], None]
) -> tuple[Commit[Draft], BrandsOf]:
    """How a part of a batch is committed and told, and how the brands of its campaigns are found."""

    def brands_of(campaigns: Collection[CampaignKey]) -> dict[CampaignKey, int]:
        with transaction() as connection:
            known = accounts(connection, campaigns, only_brand_id)
        return {campaign: account.brand_id for campaign, account in known.items()}

    return partial(_commit, way, only_brand_id, tell), brands_of


def _commit(
    way: Way[Draft],
    only_brand_id: int | None,
    tell: Callable[[Counted], None],
    drafts: Sequence[Draft],
    rejections: Sequence[Rejection],
    lock_timeout_ms: int | None,
) -> None:
    """Commits and tells; where Postgres cannot hold a value or a sum, halves until the one at fault stands alone."""
    try:
        counted = committed(way.count(drafts, rejections, only_brand_id), lock_timeout_ms)
    except DATABASE_ERRORS as error:
        state = sql_state(error) or ""
        if not state.startswith(DATA_EXCEPTIONS) or not drafts:
            raise
    else:
        tell(counted)
        return
    if len(drafts) == 1:
        unstorable = _unstorable(drafts[0], state)
        tell(committed(way.count([], [*rejections, unstorable], only_brand_id), lock_timeout_ms))
        return
    half = len(drafts) // 2
    _commit(way, only_brand_id, tell, drafts[:half], rejections, lock_timeout_ms)
    _commit(way, only_brand_id, tell, drafts[half:], [], lock_timeout_ms)


def _unstorable(draft: SpendDraft | TotalDraft, state: str) -> Rejection:
    if state == OUT_OF_RANGE:
        detail = "with it the day's spend would leave the range of a bigint"
        return Rejection(Reason.AMOUNT_OUT_OF_RANGE, detail, draft.payload)
    return Rejection(Reason.MALFORMED, f"Postgres cannot hold it ({state})", draft.payload)


def _counting_events(
    drafts: Sequence[SpendDraft], rejections: Sequence[Rejection], only_brand_id: int | None
) -> Callable[[Connection], Counted]:
    count = partial(count_batches, batches=[Batch(None, drafts, rejections)], only_brand_id=only_brand_id)
    return optimistic(lambda connection, looks_first: count(connection, looks_first)[0])


def _counting_totals(
    drafts: Sequence[TotalDraft], rejections: Sequence[Rejection], only_brand_id: int | None
) -> Callable[[Connection], Counted]:
    return optimistic(partial(count_day_totals, drafts=drafts, rejections=rejections, only_brand_id=only_brand_id))


def _committed_together(several: Sequence[Sequence[Batch]]) -> list[Counted]:
    batches = list(chain.from_iterable(several))
    count = optimistic(partial(count_batches, batches=batches, only_brand_id=None))
    is_small = sum(batch.size for batch in batches) <= FEW_EVENTS
    counted = iter(committed(count, settings().ingest_lock_timeout_ms, is_small=is_small))
    return [sum_of(list(islice(counted, len(batches)))) for batches in several]


EVENTS: Final = Way(
    "events",
    "ingest_spend",
    "spend.ingested",
    Cause.SPEND,
    read_event,
    _counting_events,
    Lanes(
        quick=Together(_committed_together, max_weight=bundles.MAX_EVENTS),
        heavy=Together(_committed_together, max_weight=MAX_EVENTS_TOGETHER),
    ),
)
TOTALS: Final = Way(
    "totals", "ingest_reported_totals", "totals.ingested", Cause.REPORTED_TOTAL, read_total, _counting_totals
)


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
