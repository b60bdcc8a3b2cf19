"""A brand of more campaigns than one transaction may enforce: a part at once, the others by a pass, which has a row.

Whoever finds a reason to enforce a brand writes the row in its own transaction. After the commit `continue_enforcement`
does part after part, each a transaction under the brand's lock, which spend and edits may have in between. What a crash
or a lost message leaves is taken up by the minute's tick. Several workers at one row share its parts.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog
from dramatiq.errors import DramatiqError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.decisions import announce, decided, toggled
from app.side_by_side import side_by_side
from db.engine import TRANSIENT_ERRORS, after_commit, committed, is_transient, transaction
from db.repository.enforcement import enforcement as repository
from db.repository.enforcement import passes as rows
from db.repository.enforcement.enforcement import DecidedChange
from delivery.outgoing import send
from domain.campaigns import Brand, EffectiveStatus
from domain.passes import Pass, share_campaigns
from runtime import clock
from runtime.settings import SettingsError

log = structlog.get_logger()

CAMPAIGNS_A_PART = 2_000
"""Campaigns in one transaction. A larger part holds the brand, and the order of all status changes, for longer."""

NONE_CHOSEN: Final[Mapping[int, Sequence[int]]] = MappingProxyType({})
AT_ONCE: Final = 3
PART_SECONDS: Final = 0.15
"""What a part is to take. Two must fit into the time for which a batch of spend waits for a lock."""

LEAST_A_PART: Final = 100
LANES: Final = 2
"""Threads at one pass: while one logs what it changed, the other has the brand's lock."""

LONGEST_SECONDS: Final = 50
"""So long one message goes on with a pass; the next one takes it up."""


class Part(NamedTuple):
    """One part of a pass: what it changed, why, whether it was the last, and since when it had the brand's lock."""

    changes: list[DecidedChange]
    cause: str
    is_last: bool
    locked_at: float = 0.0


def enforce_all(
    connection: Connection,
    brands: Mapping[int, Brand],
    cause: str,
    at: datetime,
    *,
    chosen: Mapping[int, Sequence[int]] = NONE_CHOSEN,
    hands_over: bool = True,
) -> list[DecidedChange]:
    """Enforces all campaigns of the locked brands, at most CAMPAIGNS_A_PART of them now; returns what changed.

    `chosen`: brands whose own budgets crossed no limit, with those of their campaigns that are enforced, all of them
    now. Any other brand with campaigns left has a pass afterwards, and one that has a pass already begins it again.
    `hands_over`: a worker goes on with the pass after the commit; else the caller does.
    """
    small = None if chosen else repository.load_small_brands(connection, brands, at, CAMPAIGNS_A_PART)
    if small is None or small.facts is None:
        pairs, begun = _first_parts(connection, brands.keys() - chosen.keys(), hands_over=hands_over)
        ids = [*(campaign_id for _, campaign_id in pairs), *chain.from_iterable(chosen.values())]
        facts = repository.load_facts(connection, brands, at, ids)
    else:
        begun = {brand_id: one.current.restarted() for brand_id, one in small.pending.items()}
        facts = small.facts
    changes = decided(facts.campaigns, at)
    before = [rows.keep_holds_query(facts.budget_holds, of_all=True)]
    if begun:
        before.append(rows.keep_query(_counted(begun, changes), cause, at, is_new=True))
    repository.apply(connection, changes, at, cause, before)
    return changes


def _first_parts(
    connection: Connection, brand_ids: AbstractSet[int], *, hands_over: bool
) -> tuple[list[tuple[int, int]], dict[int, Pass]]:
    """The (brand, campaign) pairs that one transaction may enforce, and the passes over all else."""
    if not brand_ids:
        return [], {}
    pairs, pending = rows.first_ids(connection, brand_ids, CAMPAIGNS_A_PART + 1)
    begun = {brand_id: one.current.restarted() for brand_id, one in pending.items()}
    if len(pairs) <= CAMPAIGNS_A_PART:
        return pairs, begun
    sizes = rows.sizes(connection, brand_ids - pending.keys(), CAMPAIGNS_A_PART + 1)
    shares = share_campaigns(sizes, CAMPAIGNS_A_PART)
    pairs = rows.ids_of(connection, shares)
    last_ids, done = dict(pairs), Counter(brand_id for brand_id, _ in pairs)
    cut = [brand_id for brand_id, share in shares.items() if share < sizes[brand_id]]
    if hands_over:
        after_commit(connection, partial(_hand_over, cut))
    return pairs, begun | {one: Pass(after_id=last_ids.get(one, 0), done=done[one]) for one in cut}


def _counted(current: Mapping[int, Pass], changes: Sequence[DecidedChange]) -> dict[int, Pass]:
    toggles = Counter((change.brand_id, change.to_status) for change in changes if change.is_toggle)
    return {
        brand_id: one.with_toggles(
            toggles[brand_id, EffectiveStatus.INACTIVE], toggles[brand_id, EffectiveStatus.ACTIVE]
        )
        for brand_id, one in current.items()
    }


def enforce_chosen(
    connection: Connection, brands: Mapping[int, Brand], cause: str, at: datetime, campaign_ids: Sequence[int]
) -> list[DecidedChange]:
    """Enforces the chosen campaigns of the locked brands; returns what changed. The caller bounds their number."""
    facts = repository.load_facts(connection, brands, at, campaign_ids)
    changes = decided(facts.campaigns, at)
    repository.apply(connection, changes, at, cause, [rows.keep_holds_query(facts.budget_holds, of_all=False)])
    return changes


def chosen_of_large(connection: Connection, brand_id: int, campaign_ids: Collection[int]) -> list[int] | None:
    """Which campaigns of a locked brand to enforce after edits of these: they and new ones; None: all of the brand.

    A brand that one transaction can enforce is enforced whole, and so is one of which too many were edited.
    """
    (campaigns,) = rows.sizes(connection, [brand_id], CAMPAIGNS_A_PART + 1).values()
    if campaigns <= CAMPAIGNS_A_PART:
        return None
    chosen = {*campaign_ids, *rows.never_enforced(connection, brand_id, CAMPAIGNS_A_PART)}
    return sorted(chosen) if len(chosen) <= CAMPAIGNS_A_PART else None


def next_part(connection: Connection, brand_id: int, most: int | None = None) -> Part:
    """Does the next part of the brand's pass, of at most so many campaigns (None: CAMPAIGNS_A_PART).

    The facts are loaded after the lock. Where budgets are exhausted, or no longer, that were not when the pass began,
    as after a midnight, it begins again with this part.
    """
    most = CAMPAIGNS_A_PART if most is None else most
    brands = repository.lock_brands(connection, [brand_id])
    locked_at = time.monotonic()
    pending = rows.pending(connection, [brand_id]).get(brand_id)
    if pending is None:
        return Part([], "", is_last=True)
    if brand_id not in brands:
        rows.end(connection, brand_id)
        return Part([], pending.cause, is_last=True)
    at = clock.now()
    ids = rows.next_ids(connection, brand_id, pending.current, most)
    facts = repository.load_facts(connection, brands, at, ids)
    begins_again = rows.remember(connection, facts.budget_holds)
    changes = decided(facts.campaigns, at)
    current = pending.current.after_part(ids, most, begins_again=begins_again)
    if current is None:
        written = rows.end_query(brand_id)
    else:
        written = rows.keep_query(_counted({brand_id: current}, changes), pending.cause, at, is_new=False)
    repository.apply(connection, changes, at, pending.cause, [written])
    return Part(changes, pending.cause, is_last=current is None, locked_at=locked_at)


def go_on(brand_id: int) -> int:
    """Goes on with the brand's pass, part after part; returns how many campaigns it toggled.

    After LONGEST_SECONDS another message takes it up. Raises what Postgres said where the brand is locked for too long.
    """
    committed(partial(rows.count_campaigns, brand_id=brand_id))
    ends_at = time.monotonic() + LONGEST_SECONDS
    toggles = sum(side_by_side(partial(_parts, ends_at=ends_at), [brand_id] * LANES, LANES))
    if time.monotonic() > ends_at:
        _hand_over([brand_id])
    return toggles


def _parts(brand_id: int, ends_at: float) -> int:
    """Does parts of the pass, each as large as PART_SECONDS allows by the one before.

    It waits for the lock as long as any connection does: what has it is mostly the other thread, or the brand's spend.
    """
    toggles, most = 0, CAMPAIGNS_A_PART
    while time.monotonic() <= ends_at:
        part = committed(partial(next_part, brand_id=brand_id, most=most))
        seconds = time.monotonic() - part.locked_at
        announce(part.changes, part.cause)
        toggles += toggled(part.changes)
        if part.is_last:
            break
        wanted = int(most * PART_SECONDS / max(seconds, PART_SECONDS / 2))
        most = min(max(wanted, LEAST_A_PART), CAMPAIGNS_A_PART)
    return toggles


def go_on_with(brand_ids: Sequence[int]) -> int:
    """Goes on with the passes of those brands that have one; returns how many campaigns they toggled."""
    with transaction() as connection:
        pending = rows.pending(connection, brand_ids)
    return sum(map(go_on, sorted(pending)))


def go_on_with_all() -> int:
    """Goes on with every pass there is; returns how many campaigns they toggled. A brand locked elsewhere is left."""
    with transaction() as connection:
        brand_ids = rows.waiting(connection)
    return sum(side_by_side(_go_on_unless_held_up, brand_ids, AT_ONCE))


def _go_on_unless_held_up(brand_id: int) -> int:
    try:
        return go_on(brand_id)
    except (DBAPIError, *TRANSIENT_ERRORS, ArithmeticError, ValueError) as error:
        if is_transient(error):
            log.warning("enforcement.postponed", brand_id=brand_id, error=type(error).__name__)
        else:
            log.exception("enforcement.failed", brand_id=brand_id)
        return 0


def _hand_over(brand_ids: Collection[int]) -> None:
    """Has workers go on with the brands' passes. Where the queue is away, the minute's tick takes them up."""
    for brand_id in brand_ids:
        try:
            send("continue_enforcement", brand_id)
        except (DramatiqError, SettingsError, OSError) as error:
            log.warning("enforcement.postponed", brand_id=brand_id, error=type(error).__name__)
