"""The one transaction in which spend is judged, counted once and enforced."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from db.engine import Stale
from db.repository import ledger, rejected, sequences, spend, totals
from db.repository.accounts import accounts, forget_accounts, remembered_accounts
from db.repository.enforcement import Applied
from db.repository.spend import Sifted
from domain.columns import Events, PlainDrafts, judged_plain, plain_drafts
from domain.inputs import Account, AgeBounds, CampaignKey, Reason, Rejection
from domain.sequences import runs_of
from domain.spend import SpendDraft, judge_events, read_event, sequence_of
from domain.totals import TotalDraft, judge_total
from runtime import clock
from runtime.settings import settings
from workers.crossing import count_and_enforce
from workers.enforcement import Cause

Good = TypeVar("Good")
Result = TypeVar("Result")


class Batch(NamedTuple):
    """Spend events as they were read: in columns where all are plainly well-formed, else one by one."""

    plain: PlainDrafts | None
    drafts: Sequence[SpendDraft] = ()
    rejections: Sequence[Rejection] = ()

    @classmethod
    def read(cls, payloads: Sequence[object]) -> "Batch":
        """The events in decoded JSON values."""
        plain = plain_drafts(payloads)
        return cls(None, *parted(map(read_event, payloads))) if plain is None else cls(plain)

    @classmethod
    def of_several(cls, messages: Sequence[Sequence[object]]) -> "list[Batch]":
        """The same of one message or several: one batch where all of it is plain, else one for each."""
        plain = plain_drafts(list(chain.from_iterable(messages))) if len(messages) > 1 else None
        return [cls.read(payloads) for payloads in messages] if plain is None else [cls(plain)]

    @property
    def size(self) -> int:
        """How many events it is."""
        return len(self.drafts) + len(self.rejections) if self.plain is None else len(self.plain.event_ids)

    def campaigns(self) -> set[CampaignKey]:
        """How upstream names the campaigns of the well-formed ones."""
        return {draft.campaign for draft in self.drafts} if self.plain is None else set(self.plain.campaign_ids)

    def numbers(self) -> Iterable[tuple[str, int]]:
        """Those that sources gave their events, good or bad."""
        if self.plain is not None:
            return self.plain.numbers
        good = ((draft.source, draft.sequence) for draft in self.drafts if draft.sequence is not None)
        bad = (sequence_of(rejection.payload) for rejection in self.rejections)
        return chain(good, filter(None, bad))


class Judged(NamedTuple):
    """What is taken of a batch, and what is not."""

    events: Events
    rejections: Sequence[Rejection] = ()


class Counted(NamedTuple):
    """What became of a batch: taken anew, known already (or older), and rejected, each with its reason."""

    taken: int = 0
    known: int = 0
    rejections: tuple[Rejection, ...] = ()
    changes: tuple[Applied, ...] = ()
    brand_ids: frozenset[int] = frozenset()
    campaign_ids: frozenset[int] = frozenset()


def sum_of(counted: Sequence[Counted]) -> Counted:
    """What became of several batches, as of one."""
    return Counted(
        sum(one.taken for one in counted),
        sum(one.known for one in counted),
        tuple(rejection for one in counted for rejection in one.rejections),
        tuple(change for one in counted for change in one.changes),
        frozenset().union(*(one.brand_ids for one in counted)),
        frozenset().union(*(one.campaign_ids for one in counted)),
    )


def optimistic(count: Callable[[Connection, bool], Result]) -> Callable[[Connection], Result]:
    """Lets `count` write without a look at the ledger, and take campaigns for what they were, the first time.

    The transaction that fails for it is done again, by `committed`, and knows better.
    """
    looks_first = has_looked_again = False

    def counted(connection: Connection) -> Result:
        nonlocal looks_first, has_looked_again
        try:
            return count(connection, looks_first)
        except spend.KnownInPart as error:
            looks_first = True
            raise Stale("the ledger has some of it already") from error
        except IntegrityError as error:
            forget_accounts()
            if has_looked_again:
                raise
            has_looked_again = True
            raise Stale("a campaign is not what it was") from error

    return counted


def count_batches(
    connection: Connection, looks_first: bool, *, batches: Sequence[Batch], only_brand_id: int | None
) -> list[Counted]:
    """Judges the batches' events, counts each once, and enforces what they may have moved over a limit, either way.

    `only_brand_id`: the brand whose campaigns the senders know; None knows all. The toggles are told with the first
    batch. Raises spend.KnownInPart, Stale.
    """
    at = clock.now()
    known, judged = _judged(connection, batches, only_brand_id, at)
    sequences.append(connection, runs_of(chain.from_iterable(batch.numbers() for batch in batches)), at)
    events = Events.joined([those.events for those in judged])
    sifted = spend.sift(connection, events, looks_first=looks_first)
    counted = _told_by_batch(judged, sifted)
    refused = [rejection for one in counted for rejection in one.rejections]
    rejected.keep(connection, rejected.SPEND_EVENT, refused, at, only_brand_id)
    changes = count_and_enforce(connection, sifted, known, at, Cause.SPEND)
    return [counted[0]._replace(changes=tuple(changes)), *counted[1:]]


def _judged(
    connection: Connection, batches: Sequence[Batch], only_brand_id: int | None, at: datetime
) -> tuple[Mapping[CampaignKey, Account], list[Judged]]:
    """Each batch, judged by accounts that are remembered; by what the tables say before an event is rejected."""
    keys = set[CampaignKey]().union(*(batch.campaigns() for batch in batches))
    within = bounds(settings().max_event_age, at)
    if only_brand_id is None:
        known = remembered_accounts(connection, keys)
        judged = [_judge(batch, known, at, within) for batch in batches]
        if not any(len(those.rejections) > len(batch.rejections) for those, batch in zip(judged, batches, strict=True)):
            return known, judged
    known = accounts(connection, keys, only_brand_id)
    return known, [_judge(batch, known, at, within) for batch in batches]


def _judge(batch: Batch, known: Mapping[CampaignKey, Account], at: datetime, within: AgeBounds) -> Judged:
    if batch.plain is not None:
        events = judged_plain(batch.plain, known, at, within)
        if events is not None:
            return Judged(events)
        batch = Batch(None, *parted(map(read_event, batch.plain.payloads)))
    good, refused = parted(judge_events(batch.drafts, known, at, within))
    return Judged(Events.of(good), (*batch.rejections, *refused))


def _told_by_batch(judged: Sequence[Judged], sifted: Sifted) -> list[Counted]:
    counted, first = [], 0
    for events, rejections in judged:
        last = first + len(events.event_ids)
        known = [place - first for place in sifted.known if first <= place < last]
        conflicts = [place - first for place in sifted.conflicts if first <= place < last]
        counted.append(_told(events, rejections, known, conflicts))
        first = last
    return counted


def _told(events: Events, rejections: Sequence[Rejection], known: Sequence[int], conflicts: Sequence[int]) -> Counted:
    new = events.without(*known, *conflicts)
    return Counted(
        taken=len(new.event_ids),
        known=len(known),
        rejections=(*rejections, *_contradictions(events, conflicts)),
        brand_ids=frozenset(new.brand_ids),
        campaign_ids=frozenset(new.campaign_ids),
    )


def _contradictions(events: Events, places: Sequence[int]) -> list[Rejection]:
    detail = "{} is already known with other content"
    return [
        Rejection(Reason.CONFLICTING_DUPLICATE, detail.format(events.event_ids[place]), events.payloads[place])
        for place in places
    ]


def count_day_totals(
    connection: Connection,
    looks_first: bool,
    *,
    drafts: Sequence[TotalDraft],
    rejections: Sequence[Rejection],
    only_brand_id: int | None,
) -> Counted:
    """Turns day totals into events for their differences, and counts and enforces those. Raises as `count_batches`."""
    at = clock.now()
    within = bounds(settings().max_total_age, at)
    known = accounts(connection, {draft.campaign for draft in drafts}, only_brand_id)
    reported, refused = parted(judge_total(draft, known, at, within) for draft in drafts)
    restated = totals.restate(connection, reported)
    events = Events.of(restated.differences)
    sifted = spend.sift(connection, events, restated.first_days, looks_first=looks_first)
    bad = (*rejections, *refused, *restated.conflicts, *_contradictions(events, sifted.conflicts))
    rejected.keep(connection, rejected.REPORTED_TOTAL, bad, at, only_brand_id)
    changes = count_and_enforce(connection, sifted, known, at, Cause.REPORTED_TOTAL)
    return Counted(
        taken=len(reported) - restated.nothing_new - len(restated.conflicts),
        known=restated.nothing_new,
        rejections=bad,
        changes=tuple(changes),
        brand_ids=frozenset(sifted.added.brand_of.values()),
        campaign_ids=frozenset(sifted.added.brand_of),
    )


def bounds(oldest: timedelta | None, at: datetime) -> AgeBounds:
    """The bounds that are set, and never an age that the ledger does not retain."""
    retention = settings().ledger_retention_months
    retained = None if retention is None else at - ledger.floor(at, retention)
    ages = [age for age in (oldest, retained) if age is not None]
    return AgeBounds(min(ages, default=None), settings().max_event_ahead)


def parted(read: Iterable[Good | Rejection]) -> tuple[list[Good], list[Rejection]]:
    """What is good, and what is rejected."""
    good: list[Good] = []
    rejections: list[Rejection] = []
    for item in read:
        if isinstance(item, Rejection):
            rejections.append(item)
        else:
            good.append(item)
    return good, rejections
