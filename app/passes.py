"""Passes: enforce a brand with more campaigns than one transaction may enforce, part by part.

The transaction that has to enforce such a brand does the first part and stores a row for the pass. After its commit the
actor `continue_enforcement` does the other parts, each in a transaction of its own that locks the brand; spend and
edits may lock it in between. After a crash or a lost message the minute's tick continues the pass. Several workers may
work on one pass; they share its parts.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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

from app.decisions import announce, count_toggles, decide_rows
from app.side_by_side import side_by_side
from db.engine import Query, after_commit, committed, query_pipelined, transaction
from db.failures import TRANSIENT_ERRORS, is_transient
from db.repository.enforcement import passes as rows
from db.repository.enforcement.brand_locks import locks_of
from db.repository.enforcement.changes import DecidedChange, apply
from db.repository.enforcement.facts import (
    SmallBrands,
    brands_of,
    facts_in,
    load_facts,
    load_small_brands,
    queries_of_part,
)
from delivery.outgoing import send
from domain.campaigns import Brand, EffectiveStatus
from domain.passes import Pass, share_campaigns
from runtime import clock
from runtime.settings import SettingsError
from runtime.thread_switching import frequent_switches

log = structlog.get_logger()

CAMPAIGNS_A_PART = 2_000
"""Campaigns up to which a brand is enforced in one transaction; the first part of a larger brand has at most so many.

More would lock the brand and the status changes for longer.
"""

NONE_CHOSEN: Final[Mapping[int, Sequence[int]]] = MappingProxyType({})
AT_ONCE: Final = 3
"""Passes that one job continues at the same time."""

PART_SECONDS: Final = 0.15
"""Target duration of a part, in seconds: two parts must be shorter than the lock timeout of a batch of spend."""

LEAST_A_PART: Final = 100
"""Campaigns in a part, at least, however slow parts are."""

MOST_A_PART: Final = 300
"""Campaigns in a part of a continued pass, at most: other brands' status changes wait while a part writes its own."""

LONGEST_SECONDS: Final = 50
"""Seconds for which one message works on a pass; then it enqueues another message."""


class PassState(NamedTuple):
    """The position of a pass, and its brand, as the last part of the pass left them.

    The next part loads its campaigns by this position, in the round trip that locks the brand.
    """

    current: Pass
    brand: Brand


class PassPart(NamedTuple):
    """The result of one part of a pass.

    `cause`: the cause of the pass; empty if the brand has no pass. `left`: the pass after this part; None: no part is
    left. `locked_at`: monotonic seconds at which the part had locked the brand; 0 if it enforced nothing.
    """

    changes: list[DecidedChange]
    cause: str
    left: PassState | None
    locked_at: float = 0.0


def enforce_all(
    connection: Connection,
    brands: Mapping[int, Brand],
    cause: str,
    at: datetime,
    *,
    chosen: Mapping[int, Sequence[int]] = NONE_CHOSEN,
    enqueues_rest: bool = True,
    small: SmallBrands | None = None,
) -> list[DecidedChange]:
    """Enforces all campaigns of the locked brands, at most CAMPAIGNS_A_PART of them now; returns the changes made now.

    A brand with further campaigns gets a pass, which enforces them later; a brand that has a pass already is left to
    it, and the pass is restarted. `chosen`: by brand id, the only campaigns of that brand to enforce, all of them now.
    `enqueues_rest`: whether to enqueue the new passes for workers after the commit; else the caller continues them.
    `small`: the facts of all these brands, if they were loaded already, else None.
    """
    if not brands:
        return []
    if chosen:
        small = None
    elif small is None or small.facts is None:
        small = load_small_brands(connection, brands, at, CAMPAIGNS_A_PART)
    if small is None or small.facts is None:
        pairs, new_passes = _first_parts(connection, brands.keys() - chosen.keys(), enqueues_rest=enqueues_rest)
        ids = [*(campaign_id for _, campaign_id in pairs), *chain.from_iterable(chosen.values())]
        facts = load_facts(connection, brands, at, ids)
    else:
        new_passes = {brand_id: one.current.restarted() for brand_id, one in small.pending.items()}
        facts = small.facts
    changes = decide_rows(facts.campaigns, at)
    before = [rows.keep_holds_query(facts.budget_holds, of_all=True)]
    if new_passes:
        before.append(rows.keep_query(_with_toggles(new_passes, changes), cause, at, is_new=True))
    apply(connection, changes, at, cause, before)
    return changes


def _first_parts(
    connection: Connection, brand_ids: AbstractSet[int], *, enqueues_rest: bool
) -> tuple[list[tuple[int, int]], dict[int, Pass]]:
    """The (brand id, campaign id) pairs to enforce in this transaction, and by brand id the passes for other campaigns.

    `enqueues_rest`: enqueues the new passes after the commit.
    """
    if not brand_ids:
        return [], {}
    pairs, pending = rows.first_ids(connection, brand_ids, CAMPAIGNS_A_PART + 1)
    new_passes = {brand_id: one.current.restarted() for brand_id, one in pending.items()}
    if len(pairs) <= CAMPAIGNS_A_PART:
        return pairs, new_passes
    sizes = rows.sizes(connection, brand_ids - pending.keys(), CAMPAIGNS_A_PART + 1)
    shares = share_campaigns(sizes, CAMPAIGNS_A_PART)
    pairs = rows.ids_of(connection, shares)
    last_ids, done = dict(pairs), Counter(brand_id for brand_id, _ in pairs)
    cut = [brand_id for brand_id, share in shares.items() if share < sizes[brand_id]]
    if enqueues_rest:
        after_commit(connection, partial(_enqueue_passes, cut))
    return pairs, new_passes | {one: Pass(after_id=last_ids.get(one, 0), done=done[one]) for one in cut}


def _with_toggles(current: Mapping[int, Pass], changes: Iterable[DecidedChange]) -> dict[int, Pass]:
    toggles = Counter[tuple[int, str]]()
    for change in changes:
        toggles[change.brand_id, change.to_status] += change.toggles
    return {
        brand_id: one.with_toggles(
            toggles[brand_id, EffectiveStatus.INACTIVE], toggles[brand_id, EffectiveStatus.ACTIVE]
        )
        for brand_id, one in current.items()
    }


def enforce_chosen(
    connection: Connection, brands: Mapping[int, Brand], cause: str, at: datetime, campaign_ids: Sequence[int]
) -> list[DecidedChange]:
    """Enforces the chosen campaigns of the locked brands and returns the changes; the caller bounds their number."""
    facts = load_facts(connection, brands, at, campaign_ids)
    changes = decide_rows(facts.campaigns, at)
    apply(connection, changes, at, cause, [rows.keep_holds_query(facts.budget_holds, of_all=False)])
    return changes


def chosen_of_large(connection: Connection, brand_id: int, campaign_ids: Collection[int]) -> list[int] | None:
    """The campaigns to enforce after an edit of `campaign_ids`, of a locked brand: these and never enforced ones.

    None: all campaigns, because one transaction can enforce the whole brand, or because too many were edited.
    """
    (campaigns,) = rows.sizes(connection, [brand_id], CAMPAIGNS_A_PART + 1).values()
    if campaigns <= CAMPAIGNS_A_PART:
        return None
    chosen = {*campaign_ids, *rows.never_enforced(connection, brand_id, CAMPAIGNS_A_PART)}
    return sorted(chosen) if len(chosen) <= CAMPAIGNS_A_PART else None


def next_part(
    connection: Connection, brand_id: int, max_campaigns: int | None = None, expected: PassState | None = None
) -> PassPart:
    """Does the next part of the brand's pass, with at most `max_campaigns` campaigns (None: CAMPAIGNS_A_PART).

    Loads the facts after it has locked the brand; in the same round trip if the pass is as `expected` (None: its state
    is not known, which costs another round trip). If the brand's exhausted budgets differ from the stored ones, as
    after midnight, restarts the pass with this part. Returns an empty last part if the brand has no pass.
    """
    max_campaigns = CAMPAIGNS_A_PART if max_campaigns is None else max_campaigns
    asked = _queries(brand_id, expected, clock.now(), max_campaigns)
    locks = locks_of(connection, [brand_id])
    of_pass = (rows.passes_of([brand_id]), rows.kept_holds_of(brand_id))
    found = query_pipelined(connection, *locks, *of_pass, *asked)
    locked_at = time.monotonic()
    *locked, passes_now, kept = found[: len(locks) + len(of_pass)]
    brands = brands_of(chain.from_iterable(locked))
    pending = rows.pending_in(passes_now).get(brand_id)
    if pending is None:
        return PassPart([], "", left=None)
    if brand_id not in brands:
        rows.end(connection, brand_id)
        return PassPart([], pending.cause, left=None)
    at = clock.now()
    wanted = _queries(brand_id, PassState(pending.current, brands[brand_id]), at, max_campaigns)
    answers = found[-len(asked) :] if wanted == asked else query_pipelined(connection, *wanted)
    facts = facts_in(brands, at, *answers)
    changes = decide_rows(facts.campaigns, at)
    is_restarted = not rows.has_kept(kept, facts.budget_holds[brand_id])
    ids = sorted(chain.from_iterable(shared.campaign_ids for shared in facts.campaigns))
    current = pending.current.after_part(ids, max_campaigns, begins_again=is_restarted)
    written = [rows.keep_holds_query(facts.budget_holds, of_all=True)] if is_restarted else []
    if current is None:
        written.append(rows.end_query(brand_id))
    else:
        current = _with_toggles({brand_id: current}, changes)[brand_id]
        written.append(rows.keep_query({brand_id: current}, pending.cause, at, is_new=False))
    apply(connection, changes, at, pending.cause, written)
    left = None if current is None else PassState(current, brands[brand_id])
    return PassPart(changes, pending.cause, left, locked_at)


def _queries(brand_id: int, state: PassState | None, at: datetime, most: int) -> tuple[Query, ...]:
    """The queries for the facts of the next part; none if the state of the pass is unknown."""
    return () if state is None else queries_of_part(brand_id, state.brand, state.current, at, most)


def continue_pass(brand_id: int) -> int:
    """Works through the remaining parts of the brand's pass; returns how many campaigns it toggled.

    Stops after LONGEST_SECONDS and enqueues another message. Raises the error of a part, such as a DBAPIError after a
    lock timeout; the parts before it stay committed.
    """
    committed(partial(rows.count_campaigns, brand_id=brand_id))
    ends_at = time.monotonic() + LONGEST_SECONDS
    with frequent_switches():
        toggles = sum(side_by_side(_announced, _parts(brand_id, ends_at), 1))
    if time.monotonic() > ends_at:
        _enqueue_passes([brand_id])
    return toggles


def _parts(brand_id: int, ends_at: float) -> Iterator[PassPart]:
    """Commits parts of the pass until it ends or until `ends_at` (monotonic seconds), and yields each part.

    Each part has as many campaigns as fit into PART_SECONDS at the speed of the part before, from LEAST_A_PART to
    MOST_A_PART. Uses the long lock timeout of connections, since mostly transactions that count spend hold the lock.
    """
    most = min(MOST_A_PART, CAMPAIGNS_A_PART)
    max_campaigns, left = most, None
    while time.monotonic() <= ends_at:
        part = committed(partial(next_part, brand_id=brand_id, max_campaigns=max_campaigns, expected=left))
        seconds = time.monotonic() - part.locked_at
        yield part
        left = part.left
        if left is None:
            break
        wanted = int(max_campaigns * PART_SECONDS / max(seconds, PART_SECONDS / 2))
        max_campaigns = min(max(wanted, LEAST_A_PART), most)


def _announced(part: PassPart) -> int:
    """Logs the toggles of a committed part and wakes the actors that carry them out; returns the number of toggles."""
    announce(part.changes, part.cause)
    return count_toggles(part.changes)


def continue_passes(brand_ids: Sequence[int]) -> int:
    """Works through the passes of those brands that have one; returns how many campaigns they toggled.

    Each pass takes LONGEST_SECONDS at most. Raises the first error, such as a DBAPIError after a lock timeout.
    """
    with transaction() as connection:
        pending = rows.pending(connection, brand_ids)
    return sum(map(continue_pass, sorted(pending)))


def continue_all_passes() -> int:
    """Continues every pass; returns how many campaigns they toggled. Logs and skips brands that fail or are locked."""
    with transaction() as connection:
        brand_ids = rows.waiting(connection)
    return sum(side_by_side(_continue_or_log, brand_ids, AT_ONCE))


def _continue_or_log(brand_id: int) -> int:
    try:
        return continue_pass(brand_id)
    except (DBAPIError, *TRANSIENT_ERRORS, ArithmeticError, ValueError) as error:
        if is_transient(error):
            log.warning("enforcement.postponed", brand_id=brand_id, error=type(error).__name__)
        else:
            log.exception("enforcement.failed", brand_id=brand_id)
        return 0


def _enqueue_passes(brand_ids: Collection[int]) -> None:
    """Enqueues a message for each brand's pass; if the queue is unreachable, the minute's tick continues the pass."""
    for brand_id in brand_ids:
        try:
            send("continue_enforcement", brand_id)
        except (DramatiqError, SettingsError, OSError) as error:
            log.warning("enforcement.postponed", brand_id=brand_id, error=type(error).__name__)
