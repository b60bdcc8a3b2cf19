"""Ingest of spend: parses the inputs of messages, commits them in groups, and logs the results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Final, Generic

import psycopg
import structlog
from more_itertools import sliced

from app.decisions import announce
from app.ingest.attempts import UncountedInput
from app.ingest.batches import Batch, TotalsBatch
from app.ingest.by_brand import (
    AnyBatch,
    BatchResult,
    BrandsTimedOut,
    Committer,
    Count,
)
from app.ingest.count import (
    Counted,
    count_batches,
    sum_of,
)
from app.ingest.count import count_totals as count_totals_of_batch
from app.ingest.group_commit import CommitAlone, GroupCommit
from app.ingest.lock_timeouts import CommitPace
from app.ingest.locked_brands import locked_brands
from delivery import bundles, receipts
from delivery.broker import get_broker
from delivery.message_options import MessageOptions
from delivery.middleware import IDS_LOGGED
from delivery.outgoing import send
from domain.causes import Cause
from domain.inputs.values import MAX_EVENTS_PER_MESSAGE
from runtime import clock
from runtime.metrics import INPUTS, OCCURRED_TO_ENFORCED_SECONDS

log = structlog.get_logger()

MAX_EVENTS_TOGETHER: Final = 32_000
"""Events in one transaction, at most; larger transactions are hardly cheaper by event."""

pace: Final = CommitPace()


@dataclass(frozen=True)
class InputKind(Generic[AnyBatch]):
    """How one kind of input is parsed and counted, and the names of its message field, actor and log event."""

    name: str
    actor_name: str
    event: str
    cause: Cause
    of_messages: Callable[[Sequence[Sequence[object]]], list[AnyBatch]]
    count: Count[AnyBatch]

    def committer(self, only_brand_id: int | None = None) -> Committer[AnyBatch]:
        """A committer for this kind of input.

        `only_brand_id`: the only brand whose campaigns the sender may name; None: all brands.
        """
        return Committer(self.count, self.of_messages, only_brand_id, pace, _is_ending)


def _is_ending() -> bool:
    """Whether this worker process is shutting down, and so returns messages to the queue instead of retrying."""
    return bool(getattr(get_broker(), "is_ending", False))


EVENTS: Final = InputKind("events", "ingest_spend", "spend.ingested", Cause.SPEND, Batch.from_messages, count_batches)
TOTALS: Final = InputKind(
    "totals",
    "ingest_reported_totals",
    "totals.ingested",
    Cause.REPORTED_TOTAL,
    TotalsBatch.from_messages,
    count_totals_of_batch,
)


def ingest_events(messages: Sequence[Sequence[object]], terms: MessageOptions) -> None:
    """Counts the spend events of messages with equal `terms`; enqueues events of locked brands with a delay.

    Raises errors of the database and the broker, such as an unreachable server; the messages may then be delivered
    again.
    """
    _ingest(EVENTS, messages, terms)


def ingest_totals(totals: Sequence[object], terms: MessageOptions) -> None:
    """Counts the differences of reported totals to the last known ones; enqueues totals of locked brands with a delay.

    Raises errors of the database and the broker, such as an unreachable server; the message may then be delivered
    again.
    """
    _ingest(TOTALS, [totals], terms)


def _ingest(kind: InputKind[Any], messages: Sequence[Sequence[object]], terms: MessageOptions) -> None:
    """Counts the inputs of messages with equal `terms`, and enqueues inputs of locked brands with a delay.

    Raises the first error of a batch, so that the messages are delivered again whole.
    """
    bounded = [some for payloads in messages for some in sliced(payloads, MAX_EVENTS_PER_MESSAGE)]
    committer = kind.committer(terms.only_brand_id)
    first = _committed(kind, committer, bounded, terms) if bounded else []
    uncounted = [one for result in first for one in result.counted.uncounted]
    again, remaining = _retry_due_brands(committer, uncounted) if uncounted else ([], [])
    counted = sum_of([result.counted for result in (*first, *again)])._replace(uncounted=tuple(remaining))
    if bounded:
        log_counted(kind.event, counted, kind.cause)
    for error in (result.error for result in (*first, *again) if result.error is not None):
        raise error  # the whole message is delivered again, with its uncounted inputs
    later = _enqueue_later(kind, remaining, terms)
    if terms.receipt:
        receipts.write(terms.receipt, counted.taken, counted.known, counted.rejections, later)


def _retry_due_brands(
    committer: Committer[Any], uncounted: Sequence[UncountedInput]
) -> tuple[list[BatchResult], list[UncountedInput]]:
    """Commits inputs of brands whose next try is due; returns the results, and the inputs still uncounted.

    Delayed messages of brands that turned out to be free return to the queue at once.
    """
    tried = committer.try_again(uncounted)
    freed = locked_brands.take_freed()
    if freed:
        get_broker().hasten(bundles.QUEUE, freed)
    return tried


def _committed(
    kind: InputKind[Any], committer: Committer[Any], messages: Sequence[Sequence[object]], terms: MessageOptions
) -> list[BatchResult]:
    """Commits the batches of messages; returns the result of each.

    Spend events whose sender may name every brand share a transaction with events of other threads.
    """
    batches = kind.of_messages(messages)
    if kind is EVENTS and terms.only_brand_id is None:
        lane = QUICK if all(map(bundles.are_few, messages)) else HEAVY
        try:
            return lane.committed(batches, sum(batch.size for batch in batches))
        except CommitAlone:
            pass
    if kind is EVENTS:
        return committer.commit(batches, locked_brands.ids())
    return [result for one in batches for result in committer.commit([one], locked_brands.ids())]


def _committed_group(items: Sequence[Sequence[Batch]]) -> list[list[BatchResult]]:
    """Commits the batches of several threads in one transaction; returns the results of each thread's batches."""
    results = iter(EVENTS.committer().commit(list(chain.from_iterable(items)), locked_brands.ids()))
    return [list(islice(results, len(batches))) for batches in items]


QUICK: Final = GroupCommit(_committed_group, max_weight=bundles.MAX_EVENTS)
HEAVY: Final = GroupCommit(_committed_group, max_weight=MAX_EVENTS_TOGETHER)
"""Two group commits in a process: messages with few events (QUICK) do not wait for messages with many (HEAVY)."""


def _enqueue_later(kind: InputKind[Any], uncounted: Sequence[UncountedInput], terms: MessageOptions) -> list[str]:
    """Enqueues inputs of locked brands with a delay until their next try; returns the new messages' receipts, if any.

    The original message is acknowledged afterwards. If enqueuing fails, the original message is delivered again, and
    its counted inputs are duplicates then.
    """
    if not uncounted:
        return []
    new_receipts = []
    for some in sliced(uncounted, MAX_EVENTS_PER_MESSAGE):
        brand_ids = {one.brand_id for one in some}
        delay_ms = locked_brands.delay_ms(brand_ids)
        receipt = terms.receipt and receipts.new_name(terms.receipt)
        options = {
            name: value for name, value in terms._replace(receipt=receipt)._asdict().items() if value is not None
        }
        sent = send(kind.actor_name, delay_ms=delay_ms, **{kind.name: [one.payload for one in some], **options})
        locked_brands.add_delayed(brand_ids, sent.options.get("redis_message_id"))
        new_receipts += [receipt] if receipt else []
        log.debug("spend.postponed", inputs=len(some), milliseconds=delay_ms)
    return new_receipts


def count_events(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Counts each event once, now, enforces brands that the events moved across a limit, and returns the counts.

    `only_brand_id`: the only brand whose campaigns the sender may name; None: all brands. If a brand stays locked,
    raises BrandsTimedOut after the inputs of all other brands are counted; the same payloads may then be sent again.
    """
    return _counted_now(EVENTS, payloads, only_brand_id)


def count_totals(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Counts the differences of reported totals to the last known ones, and enforces brands moved across a limit.

    Returns the counts. `only_brand_id`: the only brand whose campaigns the sender may name; None: all brands. If a
    brand stays locked, raises BrandsTimedOut after the inputs of all other brands are counted; the same payloads may
    then be sent again.
    """
    return _counted_now(TOTALS, payloads, only_brand_id)


def count_totals_now(payloads: Sequence[object], count: Count[TotalsBatch]) -> Counted:
    """Counts reported totals with `count` in place of `app.ingest.count.count_totals`, and returns the counts.

    `count` may write more rows in the same transaction. If a brand stays locked, raises BrandsTimedOut after the inputs
    of all other brands are counted; the same payloads may then be sent again.
    """
    return _counted_now(replace(TOTALS, count=count), payloads, None)


def _counted_now(kind: InputKind[Any], payloads: Sequence[object], only_brand_id: int | None) -> Counted:
    committer = kind.committer(only_brand_id)
    results = committer.commit(kind.of_messages([payloads]), locked_brands.ids())
    results += _waited_for(committer, [one for result in results for one in result.counted.uncounted])
    counted = sum_of([result.counted._replace(uncounted=()) for result in results])
    errors = [result.error for result in results if result.error is not None]
    if errors:
        log_counted(kind.event, counted, kind.cause)
        raise _combined_error(errors, counted)
    return counted


def _waited_for(committer: Committer[Any], uncounted: Sequence[UncountedInput]) -> list[BatchResult]:
    """Commits inputs of excluded brands by `Committer.wait_for`, which waits for locks; returns the results.

    Calls it again for inputs that it leaves uncounted: on several servers, inputs whose campaign's brand was not known,
    because one transaction is about one shard. If a call counts none of them, a result has BrandsTimedOut as its error.
    """
    results = list[BatchResult]()
    while uncounted:
        tried = committer.wait_for(uncounted)
        results += tried
        left = [one for result in tried for one in result.counted.uncounted]
        if len(left) >= len(uncounted):
            results.append(BatchResult(error=BrandsTimedOut(left, psycopg.OperationalError("servers are away"))))
            break
        uncounted = left
    return results


def _combined_error(errors: Sequence[Exception], counted: Counted) -> Exception:
    """The first error that is no BrandsTimedOut, else one BrandsTimedOut for all locked brands.

    `counted`: the result of all other inputs.
    """
    held_up = [error for error in errors if isinstance(error, BrandsTimedOut)]
    if len(held_up) < len(errors):
        return next(error for error in errors if not isinstance(error, BrandsTimedOut))
    first = held_up[0]
    return BrandsTimedOut([one for error in held_up for one in error.uncounted], first, counted)


def log_counted(event: str, counted: Counted, cause: Cause) -> None:
    """Logs and measures the counts, rejections and toggles of a committed batch under the event name.

    Wakes the actors that carry toggles out.
    """
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
    kind = event.partition(".")[0]
    outcomes = {"counted": counted.taken, "known": counted.known, "rejected": len(counted.rejections)}
    for outcome, inputs in outcomes.items():
        INPUTS.labels(kind, outcome).inc(inputs)
    if counted.oldest_at is not None:
        OCCURRED_TO_ENFORCED_SECONDS.observe((clock.now() - counted.oldest_at).total_seconds())
    for reason, inputs in sorted(reasons.items()):
        log.warning("spend.rejected", reason=reason, inputs=inputs)
    announce(counted.changes, cause)
