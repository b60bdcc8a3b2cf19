"""A batch in parts, a brand each, where a brand is locked: it holds up no other.

Many brands are counted in one transaction, which waits only briefly for a lock, because the others wait for it. Where
that is not enough, each brand gets a transaction of its own, which holds up nobody however long it waits.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from db.engine import is_held_up
from domain.inputs import CampaignKey, Rejection
from domain.spend import SpendDraft
from domain.totals import TotalDraft
from runtime.settings import settings
from workers.locked_brands import locked_brands

log = structlog.get_logger()

DATABASE_ERRORS: Final = (DBAPIError, psycopg.Error)

Draft = TypeVar("Draft", SpendDraft, TotalDraft)

Commit = Callable[[list[Draft], list[Rejection], int | None], None]
"""Commits drafts and rejections; waits for each lock so many milliseconds, None as long as every connection does."""

BrandsOf = Callable[[Collection[CampaignKey]], dict[CampaignKey, int]]
"""Whose the campaigns are, as far as they are known."""

Postpone = Callable[[list[object], int | None], None]
"""Puts inputs off to be tried again later, of a brand that is locked, or of none."""


class Part(NamedTuple, Generic[Draft]):
    """One brand's share of a batch, or what is nobody's."""

    brand_id: int | None
    drafts: list[Draft]
    rejections: list[Rejection]

    def inputs(self) -> list[object]:
        """What was sent, as it was sent."""
        return [*(draft.payload for draft in self.drafts), *(rejection.payload for rejection in self.rejections)]


class HeldUp(NamedTuple):
    """What kept a part from being committed, and for how long it was tried."""

    error: DBAPIError | psycopg.Error
    seconds: float


class BrandsHeldUp(OperationalError):
    """What Postgres said of a lock that it did not get, or of work that took too long, and whose spend it was.

    `brand_ids`: the brands of which not everything was counted; None stands for what is nobody's.
    """

    def __init__(self, brand_ids: Sequence[int | None], error: DBAPIError | psycopg.Error) -> None:
        said = error.orig if isinstance(error, DBAPIError) else error
        super().__init__(None, None, said or error)
        self.brand_ids = brand_ids


def commit_now(drafts: list[Draft], rejections: list[Rejection], commit: Commit[Draft], brands_of: BrandsOf) -> None:
    """Commits all that can be; then raises BrandsHeldUp for the rest. Of several locked brands it waits for one."""
    if _tried(drafts, rejections, commit, _brief()) is None:
        return
    found: dict[int | None, HeldUp] = {}
    for part in _parts(drafts, rejections, brands_of):
        held_up = _tried(part.drafts, part.rejections, commit, _brief() if found else None)
        if held_up is not None:
            found[part.brand_id] = held_up
    for first in found.values():
        raise BrandsHeldUp(list(found), first.error) from first.error


def commit_or_postpone(
    drafts: list[Draft],
    rejections: list[Rejection],
    commit: Commit[Draft],
    brands_of: BrandsOf,
    postpone: Postpone,
) -> None:
    """Commits what is free, together where it can be; then postpones what is of brands that are locked."""
    apart = locked_brands.known()
    brand_of = brands_of({draft.campaign for draft in drafts}) if apart else {}
    together = [draft for draft in drafts if brand_of.get(draft.campaign) not in apart]
    others = [draft for draft in drafts if brand_of.get(draft.campaign) in apart]
    bad: list[Rejection] = []
    is_one_transaction = together or rejections or not others
    if is_one_transaction and _tried(together, rejections, commit, _brief()) is not None:
        others, bad = drafts, rejections
    parts: Iterator[Part[Draft]] = _parts(others, bad, brands_of)
    locked: list[Part[Draft]] = [part for part in parts if not _is_committed_alone(part, commit)]
    for part in locked:
        postpone(part.inputs(), part.brand_id)


def _is_committed_alone(part: Part[Draft], commit: Commit[Draft]) -> bool:
    """Tries one brand's part by itself, where it is this thread's turn; remembers what it found."""
    brand_id = part.brand_id
    if brand_id is not None and not locked_brands.takes_turn(brand_id):
        return False
    held_up = _tried(part.drafts, part.rejections, commit, _brief())
    if held_up is not None:
        log.warning("brand.locked", brand_id=brand_id, error=_named(held_up.error))
    if brand_id is not None and held_up is not None:
        locked_brands.found_locked(brand_id, held_up.seconds)
    elif brand_id is not None:
        locked_brands.found_free(brand_id)
    return held_up is None


def _tried(
    drafts: list[Draft], rejections: list[Rejection], commit: Commit[Draft], lock_timeout_ms: int | None
) -> HeldUp | None:
    started = time.monotonic()
    try:
        commit(drafts, rejections, lock_timeout_ms)
    except DATABASE_ERRORS as error:
        if not is_held_up(error):
            raise
        return HeldUp(error, time.monotonic() - started)
    return None


def _parts(drafts: list[Draft], rejections: list[Rejection], brands_of: BrandsOf) -> Iterator[Part[Draft]]:
    """The drafts by brand; last what is nobody's, with the rejections."""
    brand_of = brands_of({draft.campaign for draft in drafts}) if drafts else {}
    parts: dict[int, list[Draft]] = {}
    nobodys: list[Draft] = []
    for draft in drafts:
        brand_id = brand_of.get(draft.campaign)
        (nobodys if brand_id is None else parts.setdefault(brand_id, [])).append(draft)
    for brand_id, some in sorted(parts.items()):
        yield Part(brand_id, some, [])
    if nobodys or rejections:
        yield Part(None, nobodys, rejections)


def _named(error: DBAPIError | psycopg.Error) -> str:
    return type(error.orig if isinstance(error, DBAPIError) else error).__name__


def _brief() -> int:
    return settings().ingest_lock_timeout_ms
