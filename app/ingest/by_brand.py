"""Commits spend, and decides how to repeat a transaction that failed.

After a lock timeout, the transaction is repeated without the brands that another program has locked; if there are none,
our own transactions contend, and the same transaction is repeated. A server of Citus that does not answer leaves out
its brands, as if they were locked, and inputs whose campaign is not found. After a statement timeout, the transaction
is halved by brand. After a value that Postgres cannot store, it is halved by input. Halving ends when the brand or
input at fault is alone.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from app.ingest.attempts import UNKNOWN_BRAND, Attempt, UncountedInput
from app.ingest.batches import Batch, TotalsBatch
from app.ingest.count import Counted, optimistic, sum_of
from app.ingest.lock_checks import are_few, find_locked_brands, mark_locked
from app.ingest.lock_timeouts import CommitPace
from app.ingest.locked_brands import locked_brands
from db.citus_errors import NODE_AWAY
from db.engine import committed
from db.failures import LOCK_NOT_AVAILABLE, is_timeout, is_transient, sql_state
from db.repository.ledger.spend import FEW_EVENTS
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.spend import SpendDraft
from domain.inputs.totals import TotalDraft
from runtime.backoff import pause_seconds
from runtime.metrics import COMMIT_SECONDS

log = structlog.get_logger()

DatabaseError = DBAPIError | psycopg.Error
DATABASE_ERRORS: Final = (DBAPIError, psycopg.Error)
DATA_EXCEPTIONS: Final = "22"
OUT_OF_RANGE: Final = "22003"

TRIES: Final = 5
"""Repetitions of a transaction, at most, after timeouts for locks that this service's other transactions hold."""

FIRST_PAUSE_SECONDS: Final = 0.5
"""Backoff in seconds before the first repetition after a lock timeout; it doubles to LONGEST_PAUSE_SECONDS."""

LONGEST_PAUSE_SECONDS: Final = 8.0
"""Longest backoff, in seconds, between two tries of a transaction after a lock timeout."""

AnyBatch = TypeVar("AnyBatch", Batch, TotalsBatch)
Batch_contra = TypeVar("Batch_contra", Batch, TotalsBatch, contravariant=True)


class Count(Protocol[Batch_contra]):
    """A function that counts batches in a transaction: `count_batches` or `count_totals` of app.ingest.count."""

    def __call__(
        self,
        connection: Connection,
        checks_ledger: bool,
        *,
        batches: Sequence[Batch_contra],
        only_brand_id: int | None,
        attempt: Attempt | None = None,
    ) -> list[Counted]: ...


NOTHING_COUNTED: Final = Counted()


class BatchResult(NamedTuple):
    """The counts of a batch, and the error, if any, because of which the rest of it was not counted."""

    counted: Counted = Counted()
    error: Exception | None = None


class BrandsTimedOut(OperationalError):
    """A lock timeout or statement timeout of some brands.

    `uncounted`: the inputs of these brands. `counted`: the result of all other inputs, which were counted.
    """

    def __init__(
        self, uncounted: Sequence[UncountedInput], error: DatabaseError, counted: Counted = NOTHING_COUNTED
    ) -> None:
        cause = error.orig if isinstance(error, DBAPIError) else error
        super().__init__(None, None, cause or error)
        self.uncounted = uncounted
        self.counted = counted

    @property
    def brand_ids(self) -> list[int]:
        """The brands of the uncounted inputs, sorted."""
        return sorted({one.brand_id for one in self.uncounted})


@dataclass
class Committer(Generic[AnyBatch]):
    """Commits batches of one kind of input.

    `count` counts batches in a transaction; `of_messages` makes batches from the inputs of each message.
    `only_brand_id`: the only brand whose campaigns the senders may name; None: all brands. `pace` sets lock timeouts.
    `is_ending`: whether the process is shutting down, so that failed transactions are not repeated. `servers_away`:
    servers of Citus that did not answer this committer.
    """

    count: Count[AnyBatch]
    of_messages: Callable[[Sequence[Sequence[object]]], list[AnyBatch]]
    only_brand_id: int | None = None
    pace: CommitPace = field(default_factory=CommitPace)
    is_ending: Callable[[], bool] = lambda: False
    servers_away: set[int] = field(default_factory=set)

    def commit(
        self, batches: Sequence[AnyBatch], excluded: frozenset[int], *, is_retry: bool = False
    ) -> list[BatchResult]:
        """Commits the batches without the inputs of excluded and of locked brands; returns the result of each batch.

        `is_retry`: all inputs were left out before, so any number of locked brands may be left out again. Errors of
        Postgres are in the results; other errors are raised.
        """
        contended = 0
        while True:
            attempt = Attempt(excluded, self.pace.lock_timeouts(), servers_away=self.servers_away)
            started = time.monotonic()
            try:
                counted = self._committed(batches, attempt)
            except DATABASE_ERRORS as error:
                state = sql_state(error) or ""
                if state.startswith(DATA_EXCEPTIONS):
                    return self._split_by_input(batches, excluded, error)
                is_last = contended == TRIES
                locked = self._locked_in(attempt, state, is_last=is_last)
                if locked and (state == NODE_AWAY or is_last or is_retry or are_few(locked, attempt)):
                    mark_locked(locked, error, is_away=state == NODE_AWAY)
                    excluded |= locked
                elif state != LOCK_NOT_AVAILABLE:
                    return self._split_by_brand(batches, attempt, error, time.monotonic() - started)
                elif is_last or self.is_ending():
                    return [BatchResult(error=error) for _ in batches]
                else:
                    contended += 1
                    log.info("spend.contended", tries=contended, brands=len(attempt.brand_ids), locked=len(locked))
                    time.sleep(pause_seconds(contended, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
            else:
                seconds = time.monotonic() - started
                self.pace.add(seconds)
                COMMIT_SECONDS.observe(seconds)
                locked_brands.add(attempt.brands_away)
                results = [BatchResult(one) for one in counted]
                return self._with_later(results, attempt, is_retry=is_retry) if attempt.later else results

    def _locked_in(self, attempt: Attempt, state: str, *, is_last: bool) -> frozenset[int]:
        """Finds the brands because of which the attempt failed: locked brands, or brands of a server that is away.

        `is_last`: no further try follows, so that rows of a transaction which waits for a lock itself count as locked
        too. `state`: the SQLSTATE of the error. Empty for another error, and if no brand stays locked.
        """
        if state == NODE_AWAY and attempt.brand_ids:
            self.servers_away |= attempt.servers()
            return frozenset(attempt.brand_ids)
        if state == NODE_AWAY:
            return frozenset({UNKNOWN_BRAND}) - attempt.excluded
        return find_locked_brands(attempt, self.pace, is_last=is_last) if state == LOCK_NOT_AVAILABLE else frozenset()

    def _with_later(self, results: Sequence[BatchResult], attempt: Attempt, *, is_retry: bool) -> list[BatchResult]:
        """Commits the inputs that the attempt left to later transactions, one for each group of brands, in order.

        Returns for each batch the results of all transactions, added up. `is_retry`: all inputs were left out before,
        so any number of locked brands may be left out again.
        """
        whole = list(results)
        for brand_ids in attempt.later:
            parts = [[one for one in result.counted.uncounted if one.brand_id in brand_ids] for result in whole]
            places = [place for place, part in enumerate(parts) if part]
            batches = [self._batch_of(parts[place], brand_ids) for place in places]
            for place, second in zip(places, self.commit(batches, attempt.excluded, is_retry=is_retry), strict=True):
                whole[place] = _joined(whole[place], second, brand_ids)
        return whole

    def try_again(self, uncounted: Sequence[UncountedInput]) -> tuple[list[BatchResult], list[UncountedInput]]:
        """Commits inputs of brands whose next try is due; returns the results, and the inputs still uncounted."""
        self.servers_away.clear()
        due: set[int] = set(locked_brands.take_due({one.brand_id for one in uncounted}))
        if not due:
            return [], list(uncounted)
        started = time.monotonic()
        results = self.commit([self._batch_of(uncounted, due)], frozenset(), is_retry=True)
        still_uncounted: list[UncountedInput] = [one for result in results for one in result.counted.uncounted]
        still_locked = {one.brand_id for one in still_uncounted}
        for brand_id in due:
            if brand_id in still_locked or any(result.error for result in results):
                locked_brands.mark_still_locked(brand_id, time.monotonic() - started)
            else:
                locked_brands.mark_free(brand_id)
        still_uncounted.extend(one for one in uncounted if one.brand_id not in due)
        return results, still_uncounted

    def wait_for(self, uncounted: Sequence[UncountedInput]) -> list[BatchResult]:
        """Commits inputs of excluded brands, each brand in its own transaction; returns their results.

        The first locked brand is waited for with the full lock timeout, further ones with a short timeout. The result
        of a brand that is still locked has BrandsTimedOut as its error.
        """
        results = list[BatchResult]()
        has_waited = False
        for brand_id in sorted({one.brand_id for one in uncounted}):
            attempt = Attempt(lock_timeouts=self.pace.lock_timeouts() if has_waited else None)
            batch = self._batch_of(uncounted, {brand_id})
            try:
                results += map(BatchResult, self._committed([batch], attempt))
                locked_brands.mark_free(brand_id)
            except DATABASE_ERRORS as error:
                if (sql_state(error) or "").startswith(DATA_EXCEPTIONS):
                    results += map(_uncounted_as_error, self._split_by_input([batch], frozenset(), error))
                    continue
                has_waited = True
                its_own = [one for one in uncounted if one.brand_id == brand_id]
                results.append(BatchResult(error=BrandsTimedOut(its_own, error) if is_timeout(error) else error))
        return results

    def _committed(self, batches: Sequence[AnyBatch], attempt: Attempt) -> list[Counted]:
        def count(connection: Connection, checks_ledger: bool) -> list[Counted]:
            attempt.brand_ids.clear()
            return self.count(
                connection, checks_ledger, batches=batches, only_brand_id=self.only_brand_id, attempt=attempt
            )

        is_small = sum(batch.size for batch in batches) <= FEW_EVENTS
        lock_timeout_ms = None if attempt.lock_timeouts is None else attempt.lock_timeouts.own_ms
        return committed(optimistic(count), lock_timeout_ms, is_small=is_small)

    def _split_by_brand(
        self, batches: Sequence[AnyBatch], attempt: Attempt, error: DatabaseError, seconds: float
    ) -> list[BatchResult]:
        """Commits in parts the batches whose transaction failed by another error than a lock timeout.

        After a statement timeout, halves the transaction by brand; leaves out a brand that is too slow alone. After an
        error that is not transient, commits each batch alone, since one may have caused it. After any other error, the
        results have the error. Returns the result of each batch.
        """
        brands: list[int] = sorted(attempt.brand_ids)
        if not is_timeout(error) and not is_transient(error) and len(batches) > 1:
            return [result for one in batches for result in self.commit([one], attempt.excluded)]
        if not is_timeout(error) or not brands or self.is_ending():
            return [BatchResult(error=error) for _ in batches]
        if len(brands) == 1:
            mark_locked({*brands}, error, seconds)
            return self.commit(batches, attempt.excluded | {*brands})
        later = frozenset(brands[len(brands) // 2 :])
        return [
            self._commit_deferred(result, later, attempt.excluded)
            for result in self.commit(batches, attempt.excluded | later)
        ]

    def _commit_deferred(self, result: BatchResult, later: frozenset[int], excluded: frozenset[int]) -> BatchResult:
        uncounted = result.counted.uncounted
        if result.error is not None or later.isdisjoint(one.brand_id for one in uncounted):
            return result
        (second,) = self.commit([self._batch_of(uncounted, later)], excluded)
        return _joined(result, second, later)

    def _split_by_input(
        self, batches: Sequence[AnyBatch], excluded: frozenset[int], error: DatabaseError
    ) -> list[BatchResult]:
        if len(batches) > 1:
            several = (batches[: len(batches) // 2], batches[len(batches) // 2 :])
            return [result for some in several for result in self.commit(some, excluded)]
        (batch,) = batches
        halves = batch.halves()
        if halves is not None:
            first, second = (self.commit([half], excluded)[0] for half in halves)
            return [BatchResult(sum_of([first.counted, second.counted]), first.error or second.error)]
        draft = batch.single()
        if draft is None:
            return [BatchResult(error=error)]
        return self.commit([batch.rejecting(_unstorable(draft, sql_state(error) or ""))], excluded)

    def _batch_of(self, uncounted: Sequence[UncountedInput], brand_ids: Collection[int]) -> AnyBatch:
        (batch,) = self.of_messages([[one.payload for one in uncounted if one.brand_id in brand_ids]])
        return batch


def _joined(first: BatchResult, second: BatchResult, brand_ids: Collection[int]) -> BatchResult:
    """The result of a batch after two transactions.

    `second`: the result for its inputs of these brands, which the first transaction left uncounted in `first`.
    """
    others = tuple(one for one in first.counted.uncounted if one.brand_id not in brand_ids)
    return BatchResult(sum_of([first.counted._replace(uncounted=others), second.counted]), first.error or second.error)


def _uncounted_as_error(result: BatchResult) -> BatchResult:
    """The result with its uncounted inputs turned into an error, for callers that do not try again."""
    uncounted = result.counted.uncounted
    if not uncounted:
        return result
    error = BrandsTimedOut(uncounted, psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"))
    return BatchResult(result.counted._replace(uncounted=()), result.error or error)


def _unstorable(draft: SpendDraft | TotalDraft, state: str) -> Rejection:
    if state == OUT_OF_RANGE:
        detail = "the day's spend would exceed the range of a bigint"
        return Rejection(Reason.AMOUNT_OUT_OF_RANGE, detail, draft.payload)
    return Rejection(Reason.MALFORMED, f"Postgres cannot store a value of it (SQLSTATE {state})", draft.payload)
