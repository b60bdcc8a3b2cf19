"""Enforcement: the one way in which a campaign's holds and effective status ever change."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app import passes
from app.decisions import (
    announce,
    decided,
    toggled,
    with_other_holds,
)
from app.side_by_side import side_by_side
from db.engine import PASSING_FAULTS, committed, is_transient, transaction
from db.repository.access import audit
from db.repository.enforcement import enforcement as repository
from db.repository.enforcement import passes as pass_rows
from db.repository.enforcement.enforcement import Applied
from domain.campaigns import Brand
from domain.causes import PERIODIC, Cause
from runtime import clock
from runtime.settings import settings

__all__ = ["Cause", "announce", "chunks", "edited", "edited_then", "enforce", "enforce_brands"]

log = structlog.get_logger()

BRANDS_A_TRANSACTION: Final = 50
BRANDS_LOOKED_AT: Final = 10_000
"""Brands whose campaigns are counted in one statement."""

AT_ONCE: Final = 3
"""Transactions of one job: while Postgres works for one, this process does for another."""

Result = TypeVar("Result")
Told = TypeVar("Told")
Item = TypeVar("Item")

Part = tuple[int, list[int] | None]
"""A brand, and which of its campaigns are meant (None: all)."""


def enforce(
    connection: Connection,
    brand_ids: Collection[int],
    cause: Cause,
    at: datetime | None = None,
    campaign_ids: Sequence[int] | None = None,
) -> list[Applied]:
    """Brings the brands' campaigns, or the chosen ones, to what the rules say now; returns those whose holds changed.

    The facts are loaded in statements that start after the locks, and the clock is read after them: what was
    read before the wait may be stale, so that a limit lowered meanwhile would be missed.
    """
    brands = repository.lock_brands(connection, brand_ids)
    return enforce_locked(connection, brands, cause, at or clock.now(), campaign_ids)


def enforce_locked(
    connection: Connection,
    brands: Mapping[int, Brand],
    cause: Cause,
    at: datetime,
    campaign_ids: Sequence[int] | None = None,
) -> list[Applied]:
    """Enforces brands that this transaction has locked, which are what they are since; returns as `enforce` does."""
    if campaign_ids is None:
        changes = passes.enforce_all(connection, brands, cause, at)
    else:
        changes = passes.enforce_chosen(connection, brands, cause, at, campaign_ids)
    return with_other_holds(changes)


def edited(work: Callable[[Connection], Result], brand_id: int) -> Result:
    """A person's edit of one brand and its enforcement, in one commit; see `edited_then`."""
    return edited_then(work, brand_id, lambda _connection, result: result)


def edited_then(
    work: Callable[[Connection], Result],
    brand_id: int,
    tell: Callable[[Connection, Result], Told],
    check: Callable[[Connection, Result, datetime], None] = lambda _connection, _result, _at: None,
) -> Told:
    """An edit of one brand and its enforcement, and in the same commit what there is to tell after it.

    `check` runs between the edit and its enforcement and is given the moment of both; what it raises undoes the edit.
    """

    def edit_enforce_tell(connection: Connection) -> tuple[Told, list[Applied]]:
        repository.lock_brands(connection, [brand_id])
        result = work(connection)
        at = clock.now()
        check(connection, result, at)
        changes = enforce_edits(connection, brand_id, at)
        return tell(connection, result), changes

    told, changes = committed(edit_enforce_tell)
    announce(changes, Cause.EDIT)
    return told


def enforce_edits(connection: Connection, brand_id: int, at: datetime | None = None) -> list[Applied]:
    """Enforces what this transaction's edits of the brand and its campaigns may have changed; returns what did.

    Of a brand that has too many campaigns for one transaction only those are enforced that the edits were about, by
    the audit; where they were about the brand itself, all are, in parts.
    """
    brands = repository.lock_brands(connection, [brand_id])
    edited_ids = audit.edited_campaigns(connection)
    chosen = None if edited_ids is None else passes.chosen_of_large(connection, brand_id, edited_ids)
    return enforce_locked(connection, brands, Cause.EDIT, at or clock.now(), chosen)


def outlook(connection: Connection, brand_id: int, at: datetime, limit: int) -> tuple[list[Applied], bool]:
    """What `enforce` would change at `at`, by the same decisions, with nothing written.

    Of a brand with more than `limit` campaigns it is what its oldest ones would change; the second value says so.
    """
    some = repository.first_campaigns(connection, brand_id, limit + 1)
    is_partial = len(some) > limit
    standings = repository.load(connection, [brand_id], at, some[:limit] if is_partial else None)
    return decided(standings, at), is_partial


@dataclass
class _Run:
    """One job's enforcement: its cause, the faults that pass, and the brands with a campaign whose holds changed."""

    cause: Cause
    passing: list[Exception] = field(default_factory=list)
    moved: set[int] = field(default_factory=set)

    def note(self, changes: Iterable[Applied]) -> None:
        """Notes committed changes. A first look at a new campaign found nothing out of step."""
        self.moved.update(one.brand_id for one in changes if one.holds_before != one.holds_after and not one.is_first)


def enforce_brands(brand_ids: Iterable[int], cause: Cause, moved: set[int] | None = None) -> int:
    """Enforces many brands, some in each transaction; returns how many campaigns it toggled. See `_apart`.

    The brands with a campaign whose holds changed are added to `moved`.
    """
    run = _Run(cause, moved=set() if moved is None else moved)
    chosen = sorted(set(brand_ids))
    return _apart(chain.from_iterable(map(_bounded, chunks(chosen, BRANDS_LOOKED_AT))), run)


def _bounded(brand_ids: Sequence[int]) -> Iterator[list[Part]]:
    """The brands by transactions: few enough, and with few enough campaigns, or one that has too many by itself."""
    with transaction() as connection:
        sizes = pass_rows.sizes(connection, brand_ids, passes.CAMPAIGNS_A_PART + 1)
    return _batches(((brand_id, None) for brand_id in brand_ids), lambda part: sizes.get(part[0], 0))


def enforce_campaigns(pairs: Iterable[tuple[int, int]], cause: Cause) -> int:
    """Enforces single campaigns, given as (brand, campaign) in brand order, some in each transaction; returns how many
    it toggled."""
    parts = (
        (brand_id, list(some))
        for brand_id, of_brand in itertools.groupby(pairs, key=itemgetter(0))
        for some in _sliced((campaign_id for _, campaign_id in of_brand), passes.CAMPAIGNS_A_PART)
    )
    return _apart(_batches(parts, lambda part: len(part[1] or ())), _Run(cause))


def _sliced(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    return iter(lambda: list(itertools.islice(remaining, size)), [])


def _batches(parts: Iterable[Part], campaigns_of: Callable[[Part], int]) -> Iterator[list[Part]]:
    """The parts in order, those of one transaction together: a brand once, BRANDS_A_TRANSACTION, CAMPAIGNS_A_PART."""
    batch: list[Part] = []
    campaigns = 0
    for part in parts:
        campaigns += campaigns_of(part)
        too_many = campaigns > passes.CAMPAIGNS_A_PART or len(batch) == BRANDS_A_TRANSACTION
        if batch and (too_many or batch[-1][0] == part[0]):
            yield batch
            batch, campaigns = [], campaigns_of(part)
        batch.append(part)
    if batch:
        yield batch


def _one_after_the_other(batches: Iterable[list[Part]]) -> Iterator[list[list[Part]]]:
    """The batches, those of one brand together: side by side they would only wait for its lock."""
    together: list[list[Part]] = []
    for batch in batches:
        if together and together[-1][-1][0] != batch[0][0]:
            yield together
            together = []
        together.append(batch)
    if together:
        yield together


def _apart(batches: Iterable[list[Part]], run: _Run) -> int:
    """Enforces a batch at a time, and each brand by itself where that fails, so that one holds up no other.

    What fails again is logged. Bad data is left there: it would fail tomorrow too. A fault that passes, such as a lock
    held elsewhere, is raised when all others are done, so that the job is done again.
    """
    work = partial(_some_apart, run=run)
    toggles = sum(side_by_side(lambda some: sum(map(work, some)), _one_after_the_other(batches), AT_ONCE))
    if run.passing:
        raise run.passing[0]
    return toggles


def _some_apart(some: Sequence[Part], run: _Run) -> int:
    try:
        return _toggled(some, run, settings().ingest_lock_timeout_ms)
    except (DBAPIError, *PASSING_FAULTS, ArithmeticError, ValueError):
        return sum(_one_by_itself(part, run) for part in some)


def _one_by_itself(part: Part, run: _Run) -> int:
    brief = settings().ingest_lock_timeout_ms if run.cause in PERIODIC else None
    try:
        return _toggled([part], run, brief)
    except (DBAPIError, *PASSING_FAULTS, ArithmeticError, ValueError) as error:
        if is_transient(error):
            log.warning("enforcement.postponed", brand_id=part[0], error=type(error).__name__)
            run.passing.append(error)
        else:
            log.exception("enforcement.failed", brand_id=part[0])
    return 0


def _toggled(parts: Sequence[Part], run: _Run, lock_timeout_ms: int | None = None) -> int:
    """Commits the parts and goes on with the passes that they begin; returns how many campaigns were toggled."""
    brand_ids = [brand_id for brand_id, _ in parts]

    def work(connection: Connection) -> list[Applied]:
        brands = repository.lock_brands(connection, brand_ids)
        at = clock.now()
        if parts[0][1] is None:
            return passes.enforce_all(connection, brands, run.cause, at, hands_over=False)
        chosen = [campaign_id for _, some in parts for campaign_id in some or ()]
        return passes.enforce_chosen(connection, brands, run.cause, at, chosen)

    changes = committed(work, lock_timeout_ms)
    run.note(changes)
    announce(changes, run.cause)
    return toggled(changes) + (passes.go_on_with(brand_ids) if parts[0][1] is None else 0)


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
