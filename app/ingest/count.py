"""The one transaction in which spend is judged, counted once and enforced."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import chain
from typing import NamedTuple, TypeVar

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.ingest.batches import Batch, TotalsBatch, parted
from app.ingest.enforce_crossed import count_and_enforce
from db.engine import StaleRead
from db.repository.enforcement.enforcement import DecidedChange
from db.repository.ledger import ledger, rejected, sequences, spend, totals
from db.repository.ledger.accounts import clear_campaign_cache, find_campaigns, find_campaigns_cached
from db.repository.ledger.spend import ClassifiedEvents, LockTimeouts
from domain.causes import Cause
from domain.columns import EventColumns, judge_columns
from domain.inputs import AgeBounds, CampaignKey, CampaignMatch, Reason, Rejection
from domain.periods import FIRST_INSTANT
from domain.sequences import runs_of
from domain.spend import judge_events, read_event
from domain.totals import ReportedTotal, judge_total
from runtime import clock
from runtime.settings import settings

Result = TypeVar("Result")


class Left(NamedTuple):
    """A good input that was not counted, because its brand was excluded."""

    brand_id: int
    payload: object


@dataclass
class Attempt:
    """One transaction of spend: which brands it leaves out, how long it waits, and what it came to write."""

    excluded: frozenset[int] = frozenset()
    patience: LockTimeouts | None = None
    brand_ids: set[int] = field(default_factory=set)
    days: set[date] = field(default_factory=set)

    def without_excluded(self, events: EventColumns) -> tuple[EventColumns, tuple[Left, ...]]:
        """The events of the other brands, whose rows the transaction will write, and those left out."""
        left: tuple[Left, ...] = ()
        if self.excluded and not self.excluded.isdisjoint(events.brand_ids):
            places = [place for place, brand_id in enumerate(events.brand_ids) if brand_id in self.excluded]
            left = tuple(Left(events.brand_ids[place], events.payloads[place]) for place in places)
            events = events.without(*places)
        self.writes(events.brand_ids, events.days)
        return events, left

    def writes(self, brand_ids: Iterable[int], days: Iterable[date]) -> None:
        """Notes whose rows, of which days, the transaction will write."""
        self.brand_ids.update(brand_ids)
        self.days.update(days)


class Judged(NamedTuple):
    """What is taken of a batch, what is not, and what is left for later."""

    events: EventColumns
    rejections: Sequence[Rejection] = ()
    left: tuple[Left, ...] = ()


class Counted(NamedTuple):
    """What became of a batch: taken anew, known already (or older), rejected with its reason, or left for later."""

    taken: int = 0
    known: int = 0
    rejections: tuple[Rejection, ...] = ()
    changes: tuple[DecidedChange, ...] = ()
    brand_ids: frozenset[int] = frozenset()
    campaign_ids: frozenset[int] = frozenset()
    left: tuple[Left, ...] = ()


def sum_of(counted: Sequence[Counted]) -> Counted:
    """What became of several batches, as of one."""
    return Counted(
        sum(one.taken for one in counted),
        sum(one.known for one in counted),
        tuple(rejection for one in counted for rejection in one.rejections),
        tuple(change for one in counted for change in one.changes),
        frozenset().union(*(one.brand_ids for one in counted)),
        frozenset().union(*(one.campaign_ids for one in counted)),
        tuple(chain.from_iterable(one.left for one in counted)),
    )


def optimistic(count: Callable[[Connection, bool], Result]) -> Callable[[Connection], Result]:
    """Lets `count` write without a look at the ledger, and take campaigns and months as remembered, the first time.

    The transaction that fails for it is done again, by `committed`, and knows better.
    """
    checks_ledger = has_looked_again = False

    def counted(connection: Connection) -> Result:
        nonlocal checks_ledger, has_looked_again
        try:
            return count(connection, checks_ledger)
        except spend.SomeAlreadyStored as error:
            checks_ledger = True
            raise StaleRead("the ledger has some of it already") from error
        except (IntegrityError, psycopg.IntegrityError) as error:
            clear_campaign_cache()
            ledger.clear_ledger_cache()
            if has_looked_again:
                raise
            has_looked_again = True
            raise StaleRead("a campaign or a month of the ledger is not what it was") from error

    return counted


def count_batches(
    connection: Connection,
    checks_ledger: bool,
    *,
    batches: Sequence[Batch],
    only_brand_id: int | None,
    attempt: Attempt | None = None,
) -> list[Counted]:
    """Judges the batches' events, counts each once, and enforces brands that they moved across a limit.

    `only_brand_id`: the brand whose campaigns the senders know; None knows all. The first batch carries the toggles of
    all. Raises spend.SomeAlreadyStored, StaleRead.
    """
    at = clock.now()
    attempt = attempt or Attempt()
    known, judged = _judged(connection, batches, only_brand_id, at)
    judged = [
        those._replace(events=events, left=left)
        for those in judged
        for events, left in [attempt.without_excluded(those.events)]
    ]
    sequences.append(connection, runs_of(chain.from_iterable(batch.numbers() for batch in batches)), at, only_brand_id)
    events = EventColumns.joined([those.events for those in judged])
    sifted = spend.find_new_events(connection, events, checks_ledger=checks_ledger)
    counted = _told_by_batch(judged, sifted)
    refused = [rejection for one in counted for rejection in one.rejections]
    rejected.keep(connection, rejected.SPEND_EVENT, refused, at, only_brand_id)
    changes = count_and_enforce(
        connection, sifted, known, at, Cause.SPEND, only_brand_id=only_brand_id, patience=attempt.patience
    )
    return [counted[0]._replace(changes=tuple(changes)), *counted[1:]]


def _judged(
    connection: Connection, batches: Sequence[Batch], only_brand_id: int | None, at: datetime
) -> tuple[Mapping[CampaignKey, CampaignMatch], list[Judged]]:
    """Each batch, judged by accounts that are remembered; by what the tables say before an event is rejected."""
    keys = set[CampaignKey]().union(*(batch.campaigns() for batch in batches))
    within = bounds(connection, settings().max_event_age, at)
    if only_brand_id is None:
        known = find_campaigns_cached(connection, keys)
        judged = [_judge(batch, known, at, within) for batch in batches]
        if not any(len(those.rejections) > len(batch.rejections) for those, batch in zip(judged, batches, strict=True)):
            return known, judged
    known = find_campaigns(connection, keys, only_brand_id)
    return known, [_judge(batch, known, at, within) for batch in batches]


def _judge(batch: Batch, known: Mapping[CampaignKey, CampaignMatch], at: datetime, within: AgeBounds) -> Judged:
    if batch.plain is not None:
        events = judge_columns(batch.plain, known, at, within)
        if events is not None:
            return Judged(events)
        batch = Batch(None, *parted(map(read_event, batch.plain.payloads)))
    good, refused = parted(judge_events(batch.drafts, known, at, within))
    return Judged(EventColumns.of(good), (*batch.rejections, *refused))


def _told_by_batch(judged: Sequence[Judged], sifted: ClassifiedEvents) -> list[Counted]:
    counted, first = [], 0
    for events, rejections, left in judged:
        last = first + len(events.event_ids)
        known = [place - first for place in sifted.known if first <= place < last]
        conflicts = [place - first for place in sifted.conflicts if first <= place < last]
        counted.append(_told(events, rejections, known, conflicts)._replace(left=left))
        first = last
    return counted


def _told(
    events: EventColumns, rejections: Sequence[Rejection], known: Sequence[int], conflicts: Sequence[int]
) -> Counted:
    new = events.without(*known, *conflicts)
    return Counted(
        taken=len(new.event_ids),
        known=len(known),
        rejections=(*rejections, *_contradictions(events, conflicts)),
        brand_ids=frozenset(new.brand_ids),
        campaign_ids=frozenset(new.campaign_ids),
    )


def _contradictions(events: EventColumns, places: Sequence[int]) -> list[Rejection]:
    detail = "{} is already known with other content"
    return [
        Rejection(Reason.CONFLICTING_DUPLICATE, detail.format(events.event_ids[place]), events.payloads[place])
        for place in places
    ]


def count_totals(
    connection: Connection,
    checks_ledger: bool,
    *,
    batches: Sequence[TotalsBatch],
    only_brand_id: int | None,
    attempt: Attempt | None = None,
) -> list[Counted]:
    """Turns the day totals of one batch into events for their differences, and counts and enforces those.

    Raises as `count_batches`.
    """
    (batch,) = batches
    at = clock.now()
    attempt = attempt or Attempt()
    within = bounds(connection, settings().max_total_age, at)
    known = find_campaigns(connection, {draft.campaign for draft in batch.drafts}, only_brand_id)
    judged, refused = parted(judge_total(draft, known, at, within) for draft in batch.drafts)
    reported, left = _without_excluded(judged, attempt)
    restated = totals.restate(connection, reported)
    events = EventColumns.of(restated.differences)
    sifted = spend.find_new_events(connection, events, restated.first_days, checks_ledger=checks_ledger)
    bad = (*batch.rejections, *refused, *restated.conflicts, *_contradictions(events, sifted.conflicts))
    rejected.keep(connection, rejected.REPORTED_TOTAL, bad, at, only_brand_id)
    changes = count_and_enforce(
        connection, sifted, known, at, Cause.REPORTED_TOTAL, only_brand_id=only_brand_id, patience=attempt.patience
    )
    return [
        Counted(
            taken=len(reported) - restated.nothing_new - len(restated.conflicts),
            known=restated.nothing_new,
            rejections=bad,
            changes=tuple(changes),
            brand_ids=frozenset(sifted.added.brand_of.values()),
            campaign_ids=frozenset(sifted.added.brand_of),
            left=left,
        )
    ]


def _without_excluded(
    judged: Sequence[ReportedTotal], attempt: Attempt
) -> tuple[list[ReportedTotal], tuple[Left, ...]]:
    reported = [total for total in judged if total.brand_id not in attempt.excluded]
    left = tuple(Left(total.brand_id, total.payload) for total in judged if total.brand_id in attempt.excluded)
    attempt.writes({total.brand_id for total in reported}, {total.day for total in reported})
    return reported, left


def bounds(connection: Connection, oldest: timedelta | None, at: datetime) -> AgeBounds:
    """The bounds that are set, and nothing that the ledger let go or is about to.

    What was dropped stays so whatever is set now: but for the current month, beyond which only a clock that was ahead
    can have gone.
    """
    retention = settings().ledger_retention_months
    stored = ledger.stored_floor(connection)
    floors = [] if stored is None else [min(stored, ledger.floor(at, 0))]
    if retention is not None:
        floors.append(ledger.floor(at, retention))
    return AgeBounds(oldest, settings().max_event_ahead, max(floors, default=FIRST_INSTANT))
