"""The committer of spend and its split policy: all together, then without locked brands, then by halves.

A transaction that waited too long for a lock is repeated without the brands that somebody else has locked. Contention
among transactions of our own is no locked brand: the same transaction is tried again. Only a transaction that takes too
long is halved by brand, and one with a value that Postgres cannot hold is halved by input, until the brand or the input
at fault stands alone.
"""

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from app.ingest.batches import Batch, TotalsBatch
from app.ingest.count import (
    Attempt,
    Counted,
    Left,
    optimistic,
    sum_of,
)
from app.ingest.locked_brands import locked_brands
from app.ingest.patience import Pace
from db.engine import LOCK_NOT_AVAILABLE, committed, is_timeout, is_transient, sql_state, transaction
from db.repository.ledger.locked_rows import LockedRow, locked_brand_rows, locked_rows_of_brands
from db.repository.ledger.spend import FEW_EVENTS
from domain.inputs import Reason, Rejection
from domain.spend import SpendDraft
from domain.totals import TotalDraft

log = structlog.get_logger()

DatabaseError = DBAPIError | psycopg.Error
DATABASE_ERRORS: Final = (DBAPIError, psycopg.Error)
DATA_EXCEPTIONS: Final = "22"
OUT_OF_RANGE: Final = "22003"

TRIES: Final = 5
FIRST_PAUSE_SECONDS: Final = 0.25
"""Between tries of a transaction that lost a race for locks; doubles with each."""

BETWEEN_LOOKS_SECONDS: Final = 0.2
LONGEST_BETWEEN_LOOKS_SECONDS: Final = 2.0
BETWEEN_LOOKS_TRANSACTIONS: Final = 4
"""A row that one transaction holds for so long, after others waited for it, is locked; one that passes on is not."""

MANY_ROWS: Final = 20_000
MOST_ROWS: Final = 500_000
"""So many rows of campaigns, and of counters, are looked at: each costs a write. The last try looks at more."""

FEW_LOCKED: Final = 8
MOST_LOCKED_SHARE: Final = 4
"""Where more brands look locked than a few, or a quarter of them, the transaction waits: leaving them out splits it."""

AnyBatch = TypeVar("AnyBatch", Batch, TotalsBatch)
Batch_contra = TypeVar("Batch_contra", Batch, TotalsBatch, contravariant=True)


class Count(Protocol[Batch_contra]):
    """Counts batches in a transaction, as `counting.count_batches` does."""

    def __call__(
        self,
        connection: Connection,
        checks_ledger: bool,
        *,
        batches: Sequence[Batch_contra],
        only_brand_id: int | None,
        attempt: Attempt | None = None,
    ) -> list[Counted]: ...


class Result(NamedTuple):
    """What became of a batch, and the error, if any, for which the rest of it was not counted."""

    counted: Counted = Counted()
    error: Exception | None = None


class BrandsHeldUp(OperationalError):
    """What Postgres said of a lock that it did not get, or of work that took too long.

    `left`: the inputs that were not counted for it; all others of the batch were.
    """

    def __init__(self, left: Sequence[Left], error: DatabaseError) -> None:
        said = error.orig if isinstance(error, DBAPIError) else error
        super().__init__(None, None, said or error)
        self.left = left

    @property
    def brand_ids(self) -> list[int]:
        """The brands of the inputs, in order."""
        return sorted({one.brand_id for one in self.left})


@dataclass
class Committer(Generic[AnyBatch]):
    """Commits batches of one kind of input for senders who know the campaigns of one brand, or of all (None)."""

    count: Count[AnyBatch]
    of_messages: Callable[[Sequence[Sequence[object]]], list[AnyBatch]]
    only_brand_id: int | None = None
    pace: Pace = field(default_factory=Pace)
    is_ending: Callable[[], bool] = lambda: False

    def commit(self, batches: Sequence[AnyBatch], excluded: frozenset[int], *, is_retry: bool = False) -> list[Result]:
        """Commits the batches without the inputs of excluded brands; returns what became of each batch.

        Inputs of brands that turn out to be locked are left too. `is_retry`: all of it was left before, so that any
        number of its brands may be left again. Raises what is no fault of Postgres.
        """
        contended = 0
        while True:
            attempt = Attempt(excluded, self.pace.patience())
            started = time.monotonic()
            try:
                counted = self._committed(batches, attempt)
            except DATABASE_ERRORS as error:
                state = sql_state(error) or ""
                if state.startswith(DATA_EXCEPTIONS):
                    return self._halved_by_input(batches, excluded, error)
                is_last = contended == TRIES
                locked = self._locked_now(attempt, is_last=is_last) if state == LOCK_NOT_AVAILABLE else frozenset()
                if locked and (is_last or is_retry or _are_few(locked, attempt)):
                    _remember(locked, error)
                    excluded |= locked
                elif state != LOCK_NOT_AVAILABLE:
                    return self._given_up(batches, attempt, error, time.monotonic() - started)
                elif is_last or self.is_ending():
                    return [Result(error=error) for _ in batches]
                else:
                    contended += 1
                    log.info("spend.contended", tries=contended, brands=len(attempt.brand_ids), locked=len(locked))
                    time.sleep(FIRST_PAUSE_SECONDS * 2**contended * random.uniform(0.5, 1))  # noqa: S311 - jitter
            else:
                self.pace.took(time.monotonic() - started)
                return [Result(one) for one in counted]

    def try_again(self, left: Sequence[Left]) -> tuple[list[Result], list[Left]]:
        """Tries those brands of the inputs whose turn it is; returns the results, and the inputs that are left."""
        turns: set[int] = set(locked_brands.take_turns({one.brand_id for one in left}))
        if not turns:
            return [], list(left)
        started = time.monotonic()
        results = self.commit([self._batch_of(left, turns)], frozenset(), is_retry=True)
        still_left: list[Left] = [one for result in results for one in result.counted.left]
        still_locked = {one.brand_id for one in still_left}
        for brand_id in turns:
            if brand_id in still_locked or any(result.error for result in results):
                locked_brands.still_locked(brand_id, time.monotonic() - started)
            else:
                locked_brands.free(brand_id)
        still_left.extend(one for one in left if one.brand_id not in turns)
        return results, still_left

    def wait_for(self, left: Sequence[Left]) -> list[Result]:
        """Commits inputs of excluded brands, each brand by itself, and waits out one lock, not one after the other.

        The results of brands that are still locked have what Postgres said as their error.
        """
        results = list[Result]()
        has_waited = False
        for brand_id in sorted({one.brand_id for one in left}):
            attempt = Attempt(patience=self.pace.patience() if has_waited else None)
            batch = self._batch_of(left, {brand_id})
            try:
                results += map(Result, self._committed([batch], attempt))
                locked_brands.free(brand_id)
            except DATABASE_ERRORS as error:
                if (sql_state(error) or "").startswith(DATA_EXCEPTIONS):
                    results += map(_waiting_for_none, self._halved_by_input([batch], frozenset(), error))
                    continue
                has_waited = True
                its_own = [one for one in left if one.brand_id == brand_id]
                results.append(Result(error=BrandsHeldUp(its_own, error) if is_timeout(error) else error))
        return results

    def _locked_now(self, attempt: Attempt, *, is_last: bool) -> frozenset[int]:
        """The brands of the attempt with a row that one other transaction holds at both of two looks."""
        first = _look(attempt, is_last=is_last)
        if not first:
            return frozenset()
        pause = max(BETWEEN_LOOKS_SECONDS, BETWEEN_LOOKS_TRANSACTIONS * self.pace.mean_seconds)
        time.sleep(min(pause, LONGEST_BETWEEN_LOOKS_SECONDS))
        return frozenset(row.brand_id for row in first & _look(attempt, is_last=is_last))

    def _committed(self, batches: Sequence[AnyBatch], attempt: Attempt) -> list[Counted]:
        def count(connection: Connection, checks_ledger: bool) -> list[Counted]:
            attempt.brand_ids.clear()
            return self.count(
                connection, checks_ledger, batches=batches, only_brand_id=self.only_brand_id, attempt=attempt
            )

        is_small = sum(batch.size for batch in batches) <= FEW_EVENTS
        lock_timeout_ms = None if attempt.patience is None else attempt.patience.own_ms
        return committed(optimistic(count), lock_timeout_ms, is_small=is_small)

    def _given_up(
        self, batches: Sequence[AnyBatch], attempt: Attempt, error: DatabaseError, seconds: float
    ) -> list[Result]:
        """Halves by brand what takes too long; leaves a brand that takes too long even by itself.

        After any other error that does not pass each batch is committed by itself: it may be the fault of one.
        """
        brands: list[int] = sorted(attempt.brand_ids)
        if not is_timeout(error) and not is_transient(error) and len(batches) > 1:
            return [result for one in batches for result in self.commit([one], attempt.excluded)]
        if not is_timeout(error) or not brands or self.is_ending():
            return [Result(error=error) for _ in batches]
        if len(brands) == 1:
            _remember(brands, error, seconds)
            return self.commit(batches, attempt.excluded | {*brands})
        later = frozenset(brands[len(brands) // 2 :])
        return [
            self._with_later(result, later, attempt.excluded)
            for result in self.commit(batches, attempt.excluded | later)
        ]

    def _with_later(self, result: Result, later: frozenset[int], excluded: frozenset[int]) -> Result:
        left = result.counted.left
        if result.error is not None or later.isdisjoint(one.brand_id for one in left):
            return result
        kept = tuple(one for one in left if one.brand_id not in later)
        (second,) = self.commit([self._batch_of(left, later)], excluded)
        return Result(sum_of([result.counted._replace(left=kept), second.counted]), second.error)

    def _halved_by_input(
        self, batches: Sequence[AnyBatch], excluded: frozenset[int], error: DatabaseError
    ) -> list[Result]:
        if len(batches) > 1:
            several = (batches[: len(batches) // 2], batches[len(batches) // 2 :])
            return [result for some in several for result in self.commit(some, excluded)]
        (batch,) = batches
        halves = batch.halves()
        if halves is not None:
            first, second = (self.commit([half], excluded)[0] for half in halves)
            return [Result(sum_of([first.counted, second.counted]), first.error or second.error)]
        draft = batch.single()
        if draft is None:
            return [Result(error=error)]
        return self.commit([batch.rejecting(_unstorable(draft, sql_state(error) or ""))], excluded)

    def _batch_of(self, left: Sequence[Left], brand_ids: Collection[int]) -> AnyBatch:
        (batch,) = self.of_messages([[one.payload for one in left if one.brand_id in brand_ids]])
        return batch


def _are_few(locked: Collection[int], attempt: Attempt) -> bool:
    """Whether the transaction goes on without the locked brands, rather than wait for so many."""
    return len(locked) <= max(len(attempt.brand_ids) // MOST_LOCKED_SHARE, FEW_LOCKED)


def _remember(brand_ids: Collection[int], error: DatabaseError, tried_seconds: float = 0) -> None:
    locked_brands.found(brand_ids, tried_seconds)
    said = error.orig if isinstance(error, DBAPIError) else error
    for brand_id in sorted(brand_ids):
        log.warning("brand.locked", brand_id=brand_id, error=type(said).__name__)


def _look(attempt: Attempt, *, is_last: bool) -> set[LockedRow]:
    """The locked rows of the brands, and only where there are none those of their counters and campaigns."""
    with transaction() as connection:
        found = locked_brand_rows(connection, attempt.brand_ids)
    if found:
        return found
    with transaction() as connection:
        return locked_rows_of_brands(connection, attempt.brand_ids, attempt.days, MOST_ROWS if is_last else MANY_ROWS)


def _waiting_for_none(result: Result) -> Result:
    """A result whose left inputs are an error: the caller waits for no other try."""
    left = result.counted.left
    if not left:
        return result
    error = BrandsHeldUp(left, psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"))
    return Result(result.counted._replace(left=()), result.error or error)


def _unstorable(draft: SpendDraft | TotalDraft, state: str) -> Rejection:
    if state == OUT_OF_RANGE:
        detail = "with it the day's spend would leave the range of a bigint"
        return Rejection(Reason.AMOUNT_OUT_OF_RANGE, detail, draft.payload)
    return Rejection(Reason.MALFORMED, f"Postgres cannot hold it ({state})", draft.payload)
