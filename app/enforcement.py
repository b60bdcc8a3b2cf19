"""Enforces brands: locks them, decides the holds and effective statuses of their campaigns, and writes changes."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Final, TypeVar

import structlog
from more_itertools import chunked, sliced
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app import passes
from app.decisions import (
    announce,
    changes_of_holds,
    count_toggles,
    decide_rows,
)
from app.side_by_side import side_by_side
from db.engine import committed, transaction
from db.failures import TRANSIENT_ERRORS, is_transient
from db.local_settings import has_citus
from db.repository.access import audit
from db.repository.enforcement import passes as pass_rows
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import first_campaigns, load_shared, lock_brands
from db.repository.spread.shards import by_shard
from domain.campaigns import Brand
from domain.causes import PERIODIC, Cause
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

BRANDS_A_TRANSACTION: Final = 50
"""Brands that a job enforces and commits together, at most."""

LOOKED_AT: Final = 50_000
"""Campaigns that are evaluated for the effect of an edit, at most. If it concerns more, figures say «at least»."""

BRANDS_A_COUNT: Final = 10_000
"""Brands whose campaigns one statement counts, at most."""

AT_ONCE: Final = 3
"""Concurrent transactions of one job, at most: this process decides for one while Postgres works for another."""

Result = TypeVar("Result")
Answer = TypeVar("Answer")

Target = tuple[int, list[int] | None]
"""A brand id, and the ids of its campaigns to enforce (None: all)."""


def enforce(
    connection: Connection,
    brand_ids: Collection[int],
    cause: Cause,
    at: datetime | None = None,
    campaign_ids: Sequence[int] | None = None,
) -> list[DecidedChange]:
    """Locks the brands and enforces all their campaigns, or only `campaign_ids`; returns the changes of holds.

    If all campaigns are too many for one transaction, enforces some now; workers do the others after the commit.
    `at`: the time to decide for; None reads the clock after the locks. The facts are loaded by statements that start
    after the locks: facts read before the wait could miss a limit that was lowered meanwhile.
    """
    brands = lock_brands(connection, brand_ids)
    return enforce_locked(connection, brands, cause, at or clock.now(), campaign_ids)


def enforce_locked(
    connection: Connection,
    brands: Mapping[int, Brand],
    cause: Cause,
    at: datetime,
    campaign_ids: Sequence[int] | None = None,
) -> list[DecidedChange]:
    """Enforces campaigns of brands that this transaction has locked; returns the changes of holds.

    `brands`: the brands as read after the lock. `campaign_ids`: the campaigns to enforce; None: all. If all are too
    many for one transaction, enforces some now; workers do the others after the commit.
    """
    if campaign_ids is None:
        changes = []
        for shard in by_shard(connection, brands.keys()):
            of_shard = {brand_id: brand for brand_id, brand in brands.items() if brand_id in shard}
            changes += passes.enforce_all(connection, of_shard, cause, at)
    else:
        changes = passes.enforce_chosen(connection, brands, cause, at, campaign_ids)
    return changes_of_holds(changes)


def edited(work: Callable[[Connection], Result], brand_id: int) -> Result:
    """Runs an edit of one brand under its lock, enforces the brand in the same commit, and returns `work`'s result.

    If the edit concerns too many campaigns for one transaction, workers enforce the last of them after the commit.
    """
    return edited_then(work, brand_id, lambda _connection, result: result)


def edited_then(
    work: Callable[[Connection], Result],
    brand_id: int,
    read: Callable[[Connection, Result], Answer],
    check: Callable[[Connection, Result, datetime], None] = lambda _connection, _result, _at: None,
) -> Answer:
    """Runs an edit of one brand under its lock, enforces the brand, and returns the result of `read`, in one commit.

    `work` edits. `check` runs between edit and enforcement with the time of both; an exception from it undoes the edit.
    `read` runs after enforcement, in the same transaction. If the edit concerns too many campaigns for one transaction,
    workers enforce the last of them after the commit.
    """

    def edit_enforce_read(connection: Connection) -> tuple[Answer, list[DecidedChange]]:
        lock_brands(connection, [brand_id])
        result = work(connection)
        at = clock.now()
        check(connection, result, at)
        changes = enforce_edits(connection, brand_id, at)
        return read(connection, result), changes

    answer, changes = committed(edit_enforce_read)
    announce(changes, Cause.EDIT)
    return answer


def enforce_edits(connection: Connection, brand_id: int, at: datetime | None = None) -> list[DecidedChange]:
    """Enforces a brand after this transaction's edits of it; returns the changes of holds.

    If the brand has too many campaigns for one transaction, enforces only the edited campaigns, by the audit entries,
    and those that were never enforced. If the brand itself or too many campaigns were edited, enforces all campaigns in
    parts, of which workers do all but the first. `at`: the moment to decide for; None: after the locks are taken.
    """
    brands = lock_brands(connection, [brand_id])
    edited_ids = audit.edited_campaigns(connection)
    campaign_ids = None if edited_ids is None else passes.chosen_of_large(connection, brand_id, edited_ids)
    return enforce_locked(connection, brands, Cause.EDIT, at or clock.now(), campaign_ids)


def outlook(connection: Connection, brand_id: int, at: datetime) -> tuple[list[DecidedChange], bool]:
    """The changes that enforcement after this transaction's edits would write at `at`, and whether some are missing.

    If the brand has at most LOOKED_AT campaigns, evaluates all of them. If it has more, evaluates the edited ones, by
    the audit entries, or all after an edit of the brand itself; the oldest LOOKED_AT of them at most. True: there are
    more than these, so that changes may be missing.
    """
    chosen: Sequence[int] = first_campaigns(connection, brand_id, LOOKED_AT + 1)
    if len(chosen) <= LOOKED_AT:
        return decide_rows(load_shared(connection, [brand_id], at, None), at), False
    edited_ids = audit.edited_campaigns(connection)
    chosen = chosen if edited_ids is None else edited_ids
    changes = decide_rows(load_shared(connection, [brand_id], at, chosen[:LOOKED_AT]), at)
    return changes, len(chosen) > LOOKED_AT


@dataclass
class _Run:
    """The state of one job: its cause, its transient errors, and the brands with a campaign whose holds changed.

    `changed` None: the job does not record these brands.
    """

    cause: Cause
    changed: set[int] | None
    transient: list[Exception] = field(default_factory=list)

    def note(self, changes: Iterable[DecidedChange]) -> None:
        """Adds the brands of committed changes of holds to `changed`, if the job records them.

        Leaves out first enforcements of new campaigns.
        """
        if self.changed is not None:
            self.changed.update(one.brand_id for one in changes_of_holds(changes) if not one.is_first)


def enforce_brands(brand_ids: Iterable[int], cause: Cause, changed: set[int] | None = None) -> int:
    """Enforces many brands in bounded transactions; returns how many campaigns it toggled.

    Adds the ids of brands with a campaign whose holds changed to `changed`, unless that is None. A brand that fails is
    logged and delays no other brand. Raises the first transient error, such as a lock timeout, after all other brands
    are done.
    """
    distinct = sorted(set(brand_ids))
    batches = chain.from_iterable(map(_batches_of_brands, sliced(distinct, BRANDS_A_COUNT)))
    return _enforce_batches(batches, _Run(cause, changed))


def _batches_of_brands(brand_ids: Sequence[int]) -> Iterator[list[Target]]:
    """The brands in batches of one transaction each; a brand with more than CAMPAIGNS_A_PART campaigns is alone."""
    with transaction() as connection:
        sizes = pass_rows.sizes(connection, brand_ids, passes.CAMPAIGNS_A_PART + 1)
    targets: list[Target] = [(brand_id, None) for brand_id in brand_ids]
    return _batches(targets, lambda target: sizes.get(target[0], 0))


def enforce_campaigns(pairs: Iterable[tuple[int, int]], cause: Cause, changed: set[int] | None = None) -> int:
    """Enforces single campaigns in bounded transactions; returns how many it toggled.

    `pairs`: (brand id, campaign id), sorted by brand. Adds the ids of brands with a campaign whose holds changed to
    `changed`, unless that is None. A brand that fails is logged and delays no other brand. Raises the first transient
    error, such as a lock timeout, after all other campaigns are done.
    """
    targets = (
        (brand_id, list(some))
        for brand_id, of_brand in itertools.groupby(pairs, key=itemgetter(0))
        for some in chunked((campaign_id for _, campaign_id in of_brand), passes.CAMPAIGNS_A_PART)
    )
    return _enforce_batches(_batches(targets, lambda target: len(target[1] or ())), _Run(cause, changed))


def _batches(targets: Iterable[Target], campaigns_of: Callable[[Target], int]) -> Iterator[list[Target]]:
    """The targets in order, in batches of one transaction each; where Citus spreads brands, shard by shard."""
    return chain.from_iterable(_batches_of_shard(some, campaigns_of) for some in _shards_of(targets))


def _shards_of(targets: Iterable[Target]) -> Iterator[Iterable[Target]]:
    """The targets by the shard of their brand, BRANDS_A_COUNT at a time; all together where there is one shard."""
    with transaction() as connection:
        is_spread = has_citus(connection)
    if not is_spread:
        yield targets
        return
    for some in chunked(targets, BRANDS_A_COUNT):
        with transaction() as connection:
            shards = by_shard(connection, {brand_id for brand_id, _ in some})
        yield from ([target for target in some if target[0] in shard] for shard in shards)


def _batches_of_shard(targets: Iterable[Target], campaigns_of: Callable[[Target], int]) -> Iterator[list[Target]]:
    """The targets of one shard in order, in batches of one transaction each.

    A batch has each brand once, at most BRANDS_A_TRANSACTION brands, and at most CAMPAIGNS_A_PART campaigns unless a
    single target has more.
    """
    batch: list[Target] = []
    campaigns = 0
    for target in targets:
        campaigns += campaigns_of(target)
        too_many = campaigns > passes.CAMPAIGNS_A_PART or len(batch) == BRANDS_A_TRANSACTION
        if batch and (too_many or batch[-1][0] == target[0]):
            yield batch
            batch, campaigns = [], campaigns_of(target)
        batch.append(target)
    if batch:
        yield batch


def _grouped_by_brand(batches: Iterable[list[Target]]) -> Iterator[list[list[Target]]]:
    """Groups consecutive batches that share a brand, and yields each group, to run in sequence.

    In parallel, its batches would wait for the brand's lock.
    """
    group: list[list[Target]] = []
    for batch in batches:
        if group and group[-1][-1][0] != batch[0][0]:
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _enforce_batches(batches: Iterable[list[Target]], run: _Run) -> int:
    """Enforces each batch in a transaction; if that fails, each brand in its own. Returns the number of toggles.

    A brand that fails by itself too is logged. Invalid data is then skipped, since it would fail again. The first
    transient error, such as a lock timeout, is raised after all other brands are done, so that the job is retried.
    """
    work = partial(_enforce_batch, run=run)
    toggles = sum(side_by_side(lambda group: sum(map(work, group)), _grouped_by_brand(batches), AT_ONCE))
    if run.transient:
        raise run.transient[0]
    return toggles


def _enforce_batch(batch: Sequence[Target], run: _Run) -> int:
    try:
        return _commit(batch, run, settings().ingest_lock_timeout_ms)
    except (DBAPIError, *TRANSIENT_ERRORS, ArithmeticError, ValueError):
        return sum(_enforce_single(target, run) for target in batch)


def _enforce_single(target: Target, run: _Run) -> int:
    lock_timeout_ms = settings().ingest_lock_timeout_ms if run.cause in PERIODIC else None
    try:
        return _commit([target], run, lock_timeout_ms)
    except (DBAPIError, *TRANSIENT_ERRORS, ArithmeticError, ValueError) as error:
        if is_transient(error):
            log.warning("enforcement.postponed", brand_id=target[0], error=type(error).__name__)
            run.transient.append(error)
        else:
            log.exception("enforcement.failed", brand_id=target[0])
    return 0


def _commit(targets: Sequence[Target], run: _Run, lock_timeout_ms: int | None = None) -> int:
    """Enforces the targets in one transaction; returns the number of toggles.

    If the targets are whole brands, then works through the passes of those that are too large for one transaction.
    `lock_timeout_ms`: None uses the database's own lock timeout.
    """
    brand_ids = [brand_id for brand_id, _ in targets]

    def work(connection: Connection) -> list[DecidedChange]:
        brands = lock_brands(connection, brand_ids)
        at = clock.now()
        if targets[0][1] is None:
            return passes.enforce_all(connection, brands, run.cause, at, enqueues_rest=False)
        campaign_ids = [campaign_id for _, some in targets for campaign_id in some or ()]
        return passes.enforce_chosen(connection, brands, run.cause, at, campaign_ids)

    changes = committed(work, lock_timeout_ms)
    run.note(changes)
    announce(changes, run.cause)
    return count_toggles(changes) + (passes.continue_passes(brand_ids) if targets[0][1] is None else 0)
