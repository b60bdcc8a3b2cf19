"""Spend comes in: read, judged, counted once and enforced, in one commit."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import dramatiq
import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db.engine import Stale, committed, sql_state
from db.repository import ledger, rejected, search, spend
from db.repository.accounts import accounts
from db.repository.enforcement import Applied, lock_brands
from db.repository.zones import readable_zones
from domain.periods import local_day
from domain.spend import (
    MAX_EVENTS_PER_MESSAGE,
    Account,
    AgeBounds,
    Reason,
    Rejection,
    SpendDraft,
    SpendEvent,
    TotalDraft,
    judge_event,
    judge_total,
    read_event,
    read_total,
)
from runtime import clock
from runtime.settings import settings
from workers.broker import broker
from workers.enforcement import Cause, announce, chunks, enforce

log = structlog.get_logger()

DATA_EXCEPTIONS = "22"
OUT_OF_RANGE = "22003"
IDS_LOGGED = 20

Good = TypeVar("Good")


class Counted(NamedTuple):
    """What became of a batch: taken anew, known already (or older), and rejected, each with its reason."""

    taken: int = 0
    known: int = 0
    rejections: tuple[Rejection, ...] = ()
    changes: tuple[Applied, ...] = ()
    brand_ids: frozenset[int] = frozenset()
    campaign_ids: frozenset[int] = frozenset()


@dramatiq.actor(broker=broker, queue_name="spend")
def ingest_spend(*args: object, **kwargs: object) -> None:
    """`events`: a list of spend events, as the README describes them; `only_brand_id`: whose the sender knows."""
    only_brand_id = _brand_limit(kwargs)
    for events in chunks(_listed("events", args, kwargs), MAX_EVENTS_PER_MESSAGE):
        report("spend.ingested", count_events(events, only_brand_id), Cause.SPEND)


@dramatiq.actor(broker=broker, queue_name="spend")
def ingest_reported_totals(*args: object, **kwargs: object) -> None:
    """`totals`: a list of cumulative day totals, as the README describes them; `only_brand_id` as above."""
    only_brand_id = _brand_limit(kwargs)
    for totals in chunks(_listed("totals", args, kwargs), MAX_EVENTS_PER_MESSAGE):
        report("totals.ingested", count_totals(totals, only_brand_id), Cause.REPORTED_TOTAL)


def _brand_limit(kwargs: dict[str, object]) -> int | None:
    """Takes `only_brand_id` out of a message's arguments; anything but an id limits to no brand that there is."""
    limit = kwargs.pop("only_brand_id", None)
    return limit if limit is None or type(limit) is int else 0


def _listed(name: str, args: Sequence[object], kwargs: dict[str, object]) -> Sequence[object]:
    """The batch in a message's arguments; a message of another shape is a batch of one bad input: itself."""
    given = kwargs[name] if name in kwargs else args[0] if len(args) == 1 else None
    return given if isinstance(given, list) else [{"args": list(args), **kwargs} if given is None else given]


def count_events(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Counts each event once and enforces the brands it may have moved over a limit, either way.

    `only_brand_id`: the brand whose campaigns the sender knows; None knows all.
    """
    drafts, rejections = _parted(map(read_event, payloads))
    return _split_on_bad_data(drafts, rejections, partial(_count_events, only_brand_id))


def count_totals(payloads: Sequence[object], only_brand_id: int | None = None) -> Counted:
    """Turns day totals into events for their differences, and counts and enforces those."""
    drafts, rejections = _parted(map(read_total, payloads))
    return _split_on_bad_data(drafts, rejections, partial(_count_totals, only_brand_id))


Draft = TypeVar("Draft", SpendDraft, TotalDraft)


def _split_on_bad_data(
    drafts: list[Draft],
    rejections: list[Rejection],
    work: Callable[[list[Draft], list[Rejection], Connection], Counted],
) -> Counted:
    """Commits the batch; where Postgres cannot hold a value or a sum, halves it until the one at fault stands alone."""
    try:
        return committed(partial(work, drafts, rejections))
    except (DBAPIError, psycopg.Error) as error:
        state = sql_state(error) or ""
        if not state.startswith(DATA_EXCEPTIONS) or not drafts:
            raise
    if len(drafts) == 1:
        return committed(partial(work, [], [*rejections, _unstorable(drafts[0], state)]))
    half = len(drafts) // 2
    first = _split_on_bad_data(drafts[:half], rejections, work)
    second = _split_on_bad_data(drafts[half:], [], work)
    return Counted(
        first.taken + second.taken,
        first.known + second.known,
        first.rejections + second.rejections,
        first.changes + second.changes,
        first.brand_ids | second.brand_ids,
        first.campaign_ids | second.campaign_ids,
    )


def _unstorable(draft: SpendDraft | TotalDraft, state: str) -> Rejection:
    if state == OUT_OF_RANGE:
        detail = "with it the day's spend would leave the range of a bigint"
        return Rejection(Reason.AMOUNT_OUT_OF_RANGE, detail, draft.payload)
    return Rejection(Reason.MALFORMED, f"Postgres cannot hold it ({state})", draft.payload)


def _count_events(
    only_brand_id: int | None, drafts: list[SpendDraft], rejections: list[Rejection], connection: Connection
) -> Counted:
    at = clock.now()
    within = bounds(settings().max_event_age, at)
    known = accounts(connection, {draft.campaign for draft in drafts}, only_brand_id)
    events, refused = _parted(judge_event(draft, known, at, within) for draft in drafts)
    recorded = spend.record(connection, events, at)
    rejections = [*rejections, *refused, *recorded.conflicts]
    rejected.keep(connection, rejected.SPEND_EVENT, rejections, at, only_brand_id)
    changes = _enforce_crossed(connection, recorded.new, known.values(), Cause.SPEND)
    return Counted(len(recorded.new), recorded.duplicates, tuple(rejections), tuple(changes), *_touched(recorded.new))


def _count_totals(
    only_brand_id: int | None, drafts: list[TotalDraft], rejections: list[Rejection], connection: Connection
) -> Counted:
    at = clock.now()
    within = bounds(settings().max_total_age, at)
    known = accounts(connection, {draft.campaign for draft in drafts}, only_brand_id)
    totals, refused = _parted(judge_total(draft, known, at, within) for draft in drafts)
    restated = spend.restate(connection, totals)
    recorded = spend.record(connection, restated.differences, at, also_days=restated.first_days)
    rejections = [*rejections, *refused, *restated.conflicts]
    rejected.keep(connection, rejected.REPORTED_TOTAL, rejections, at, only_brand_id)
    changes = _enforce_crossed(connection, recorded.new, known.values(), Cause.REPORTED_TOTAL)
    taken = len(totals) - restated.nothing_new - len(restated.conflicts)
    return Counted(taken, restated.nothing_new, tuple(rejections), tuple(changes), *_touched(recorded.new))


def _touched(events: Sequence[SpendEvent]) -> tuple[frozenset[int], frozenset[int]]:
    return frozenset(event.brand_id for event in events), frozenset(event.campaign_id for event in events)


def bounds(oldest: timedelta | None, at: datetime) -> AgeBounds:
    """The bounds that are set, and never an age that the ledger does not retain."""
    retention = settings().ledger_retention_months
    retained = None if retention is None else at - ledger.floor(at, retention)
    ages = [age for age in (oldest, retained) if age is not None]
    return AgeBounds(min(ages, default=None), settings().max_event_ahead)


def _enforce_crossed(
    connection: Connection, events: Sequence[SpendEvent], judged_by: Iterable[Account], cause: Cause
) -> list[Applied]:
    """Enforces the brands on which the events moved a budget over its limit, either way.

    The brands are locked before their limits are read, so that a limit lowered meanwhile either waits for these
    counters or is seen here. Raises Stale where a brand's zone or currency is not what the events were judged by.
    """
    brand_ids = sorted({event.brand_id for event in events})
    if not brand_ids:
        return []
    locked = lock_brands(connection, brand_ids)
    judged = {account.brand_id: (account.time_zone.key, account.currency) for account in judged_by}
    if any(judged[brand_id] != found for brand_id, found in locked.items()):
        raise Stale("a brand's time zone or currency changed before its first spend")
    zones = {brand_id: zone for brand_id, (zone, _) in locked.items()}
    at = clock.now()
    campaign_ids = sorted({event.campaign_id for event in events})
    crossed = search.crossed(connection, set(zones.values()), at, brand_ids=brand_ids, campaign_ids=campaign_ids)
    ahead = _brands_ahead(events, zones, at)
    return enforce(connection, {*crossed, *ahead}, cause, at) if crossed or ahead else []


def _brands_ahead(events: Sequence[SpendEvent], zones: dict[int, str], at: datetime) -> set[int]:
    """The brands with spend dated on a day that has not begun: midnight may exhaust a budget with it."""
    today = {name: local_day(at, zone) for name, zone in readable_zones(set(zones.values())).items()}
    return {event.brand_id for event in events if event.day > today[zones[event.brand_id]]}


def _parted(read: Iterable[Good | Rejection]) -> tuple[list[Good], list[Rejection]]:
    good: list[Good] = []
    rejections: list[Rejection] = []
    for item in read:
        if isinstance(item, Rejection):
            rejections.append(item)
        else:
            good.append(item)
    return good, rejections


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
