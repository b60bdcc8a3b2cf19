"""Spend comes in: messages are read, committed in groups, and told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, Generic

import structlog
from more_itertools import sliced

from app.decisions import announce
from app.ingest.batches import Batch, TotalsBatch
from app.ingest.by_brand import (
    AnyBatch,
    BrandsHeldUp,
    Committer,
    Count,
    Result,
)
from app.ingest.count import (
    Counted,
    Left,
    count_batches,
    sum_of,
)
from app.ingest.count import count_totals as count_totals_of_batch
from app.ingest.group_commit import CommitAlone, GroupCommit
from app.ingest.locked_brands import locked_brands
from app.ingest.patience import Pace
from delivery import bundles, receipts
from delivery.broker import get_broker
from delivery.message_options import MessageOptions
from delivery.middleware import IDS_LOGGED
from delivery.outgoing import send
from domain.causes import Cause
from domain.inputs import MAX_EVENTS_PER_MESSAGE

log = structlog.get_logger()

MAX_EVENTS_TOGETHER: Final = 32_000
"""Of one transaction: beyond that, larger ones are hardly cheaper."""

pace: Final = Pace()


@dataclass(frozen=True)
class InputKind(Generic[AnyBatch]):
    """How one kind of input is read and counted, and what its messages and log lines are called."""

    name: str
    actor_name: str
    event: str
    cause: Cause
    of_messages: Callable[[Sequence[Sequence[object]]], list[AnyBatch]]
    count: Count[AnyBatch]

    def committer(self, only_brand_id: int | None = None) -> Committer[AnyBatch]:
        """Commits this kind of input for a sender who knows the campaigns of one brand, or of all (None)."""
        return Committer(self.count, self.of_messages, only_brand_id, pace, _is_ending)


def _is_ending() -> bool:
    """Whether this worker was told to end: what it holds is given back rather than tried again."""
    return bool(getattr(get_broker(), "is_ending", False))


EVENTS: Final = InputKind("events", "ingest_spend", "spend.ingested", Cause.SPEND, Batch.of_several, count_batches)
TOTALS: Final = InputKind(
    "totals",
    "ingest_reported_totals",
    "totals.ingested",
    Cause.REPORTED_TOTAL,
    TotalsBatch.of_several,
    count_totals_of_batch,
)


def ingest_events(messages: Sequence[Sequence[object]], terms: MessageOptions) -> None:
    """Counts the spend events of messages on the same terms; those of locked brands are enqueued for later.

    Raises what a database or broker raises when it is unreachable: the messages may then be delivered again.
    """
    _ingest(EVENTS, messages, terms)


def ingest_totals(totals: Sequence[object], terms: MessageOptions) -> None:
    """Counts the differences between reported totals and the last known ones; raises as `ingest_events` does."""
    _ingest(TOTALS, [totals], terms)


def _ingest(kind: InputKind[Any], messages: Sequence[Sequence[object]], terms: MessageOptions) -> None:
    """Counts the inputs of messages on the same terms, and enqueues those of locked brands for later."""
    bounded = [some for payloads in messages for some in sliced(payloads, MAX_EVENTS_PER_MESSAGE)]
    committer = kind.committer(terms.only_brand_id)
    first = _committed(kind, committer, bounded, terms) if bounded else []
    left = [one for result in first for one in result.counted.left]
    again, remaining = _tried_again(committer, left) if left else ([], [])
    counted = sum_of([result.counted for result in (*first, *again)])._replace(left=tuple(remaining))
    if bounded:
        report(kind.event, counted, kind.cause)
    for error in (result.error for result in (*first, *again) if result.error is not None):
        raise error  # the message comes again whole, with what was left of it
    later = _enqueue_later(kind, remaining, terms)
    if terms.receipt:
        receipts.write(terms.receipt, counted.taken, counted.known, counted.rejections, later)


def _tried_again(committer: Committer[Any], left: Sequence[Left]) -> tuple[list[Result], list[Left]]:
    """As the committer's `try_again`; delayed messages of brands that turn out to be free come back at once."""
    tried = committer.try_again(left)
    freed = locked_brands.take_freed()
    if freed:
        get_broker().hasten(bundles.QUEUE, freed)
    return tried


def _committed(
    kind: InputKind[Any], committer: Committer[Any], messages: Sequence[Sequence[object]], terms: MessageOptions
) -> list[Result]:
    """Commits the batches of messages with those of other threads, where they are events of any sender."""
    batches = kind.of_messages(messages)
    if kind is EVENTS and terms.only_brand_id is None:
        lane = QUICK if all(map(bundles.are_few, messages)) else HEAVY
        try:
            return lane.committed(batches, sum(batch.size for batch in batches))
        except CommitAlone:
            pass
    if kind is EVENTS:
        return committer.commit(batches, locked_brands.known())
    return [result for one in batches for result in committer.commit([one], locked_brands.known())]


def _committed_group(items: Sequence[Sequence[Batch]]) -> list[list[Result]]:
    """Commits the batches of several threads in one transaction; returns the results of each thread's batches."""
    results = iter(EVENTS.committer().commit(list(chain.from_iterable(items)), locked_brands.known()))
    return [list(islice(results, len(batches))) for batches in items]


QUICK: Final = GroupCommit(_committed_group, max_weight=bundles.MAX_EVENTS)
HEAVY: Final = GroupCommit(_committed_group, max_weight=MAX_EVENTS_TOGETHER)
"""Two transactions of a process at a time, so that messages of few events do not wait for those of many."""


def _enqueue_later(kind: InputKind[Any], left: Sequence[Left], terms: MessageOptions) -> list[str]:
    """Enqueues inputs of locked brands until their next try; returns the receipts of the new messages, if any.

    The original is acknowledged afterwards: where this fails it comes again, and what was counted is known.
    """
    if not left:
        return []
    written = []
    for some in sliced(left, MAX_EVENTS_PER_MESSAGE):
        brand_ids = {one.brand_id for one in some}
        delay_ms = locked_brands.delay_ms(brand_ids)
        receipt = terms.receipt and receipts.new_name(terms.receipt)
        said = {name: value for name, value in terms._replace(receipt=receipt)._asdict().items() if value is not None}
        sent = send(kind.actor_name, delay_ms=delay_ms, **{kind.name: [one.payload for one in some], **said})
        locked_brands.postponed(brand_ids, sent.options.get("redis_message_id"))
        written += [receipt] if receipt else []
        log.debug("spend.postponed", inputs=len(some), milliseconds=delay_ms)
    return written


def count_events(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Counts each event once and enforces the brands that it moved across a limit.

    `only_brand_id`: the brand whose campaigns the sender knows; None knows all. Where a brand stays locked, raises
    BrandsHeldUp when all others are counted: the same batch may be counted again.
    """
    return _counted_now(EVENTS, payloads, only_brand_id)


def count_totals(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Turns day totals into events for their differences, and counts and enforces those; raises as `count_events`."""
    return _counted_now(TOTALS, payloads, only_brand_id)


def _counted_now(kind: InputKind[Any], payloads: Sequence[object], only_brand_id: int | None) -> Counted:
    committer = kind.committer(only_brand_id)
    results = committer.commit(kind.of_messages([payloads]), locked_brands.known())
    results += committer.wait_for([one for result in results for one in result.counted.left])
    counted = sum_of([result.counted._replace(left=()) for result in results])
    errors = [result.error for result in results if result.error is not None]
    if errors:
        report(kind.event, counted, kind.cause)
        raise _one_of(errors)
    return counted


def _one_of(errors: Sequence[Exception]) -> Exception:
    """The first error that names no brand, else one for all locked brands."""
    held_up = [error for error in errors if isinstance(error, BrandsHeldUp)]
    if len(held_up) < len(errors):
        return next(error for error in errors if not isinstance(error, BrandsHeldUp))
    first = held_up[0]
    return BrandsHeldUp([one for error in held_up for one in error.left], first)


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
