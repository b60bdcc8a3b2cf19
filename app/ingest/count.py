"""The transaction that validates spend, counts each event once and enforces brands."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple, TypeVar

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, NotSupportedError

from app.ingest.attempts import UNKNOWN_BRAND, Attempt, UncountedInput
from app.ingest.batches import Batch, TotalsBatch, partition
from app.ingest.enforce_crossed import count_and_enforce
from db.failures import StaleRead
from db.local_settings import has_citus
from db.repository.enforcement.changes import DecidedChange
from db.repository.ledger import directory_checks, ledger, new_events, rejected, sequences, spend, totals
from db.repository.ledger.named_campaigns import clear_campaign_cache, find_campaigns, find_campaigns_cached
from db.repository.ledger.new_events import ClassifiedEvents
from db.repository.spread.shards import clear_shard_cache
from domain.causes import Cause
from domain.inputs.ages import AgeBounds
from domain.inputs.campaign_names import CampaignKey, CampaignMatch, campaigns_of
from domain.inputs.columns import EventColumns, judge_columns
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.sequences import runs_of_numbers
from domain.inputs.spend import judge_events, read_event
from domain.inputs.totals import ReportedTotal, judge_total
from domain.periods import FIRST_INSTANT
from runtime import clock
from runtime.settings import settings

Result = TypeVar("Result")


class Judged(NamedTuple):
    """A validated batch: events to count, rejections, and inputs of excluded brands."""

    events: EventColumns
    rejections: Sequence[Rejection] = ()
    uncounted: tuple[UncountedInput, ...] = ()


class Counted(NamedTuple):
    """The result of a batch.

    `taken`: the number of new inputs that were counted. `known`: the number of duplicates, or of totals that changed
    nothing. `changes`: changed holds and statuses. `brand_ids`, `campaign_ids`: the brands and campaigns of the new
    inputs. `uncounted`: inputs of excluded brands. `oldest_at`: the moment of the oldest new event; None without one,
    and for totals.
    """

    taken: int = 0
    known: int = 0
    rejections: tuple[Rejection, ...] = ()
    changes: tuple[DecidedChange, ...] = ()
    brand_ids: frozenset[int] = frozenset()
    campaign_ids: frozenset[int] = frozenset()
    uncounted: tuple[UncountedInput, ...] = ()
    oldest_at: datetime | None = None


def sum_of(counted: Sequence[Counted]) -> Counted:
    """The results of several batches, added up to one."""
    return Counted(
        sum(one.taken for one in counted),
        sum(one.known for one in counted),
        tuple(rejection for one in counted for rejection in one.rejections),
        tuple(change for one in counted for change in one.changes),
        frozenset().union(*(one.brand_ids for one in counted)),
        frozenset().union(*(one.campaign_ids for one in counted)),
        tuple(chain.from_iterable(one.uncounted for one in counted)),
        min((one.oldest_at for one in counted if one.oldest_at is not None), default=None),
    )


def optimistic(count: Callable[[Connection, bool], Result]) -> Callable[[Connection], Result]:
    """Wraps `count` for `committed`: the first try skips the check for duplicates and uses the caches.

    If that fails, raises StaleRead, so that `committed` repeats the transaction, which then checks the ledger or reads
    the campaigns and partitions again. A second integrity error is raised as it is.
    """
    checks_ledger = has_retried = False

    def counted(connection: Connection) -> Result:
        nonlocal checks_ledger, has_retried
        try:
            return count(connection, checks_ledger)
        except spend.SomeAlreadyStored as error:
            if checks_ledger:  # outdated partitions hide the stored event from the check
                ledger.clear_ledger_cache()
            checks_ledger = True
            raise StaleRead("the ledger has some of it already") from error
        except (IntegrityError, psycopg.IntegrityError, NotSupportedError) as error:
            clear_campaign_cache()
            ledger.clear_ledger_cache()
            clear_shard_cache()
            if has_retried:
                raise
            has_retried = True
            raise StaleRead("a cached campaign, shard or partition of the ledger has changed") from error

    return counted


def count_batches(
    connection: Connection,
    checks_ledger: bool,
    *,
    batches: Sequence[Batch],
    only_brand_id: int | None,
    attempt: Attempt | None = None,
) -> list[Counted]:
    """Validates the batches' events, counts each once, and enforces brands that they moved across a limit.

    Returns a result for each batch; the first one has the changes of all. `checks_ledger`: whether to look for
    duplicates in the ledger first. `only_brand_id`: the only brand whose campaigns the senders may name; None: all
    brands. `attempt`: the brands to leave out and the lock timeouts; it notes the brands written. None: leaves out
    none. Raises spend.SomeAlreadyStored, and StaleRead if the transaction must be repeated.
    """
    at = clock.now()
    attempt = attempt or Attempt()
    known, judged = _judge_batches(connection, batches, only_brand_id, at, everywhere=attempt.finds_everywhere)
    brand_ids = list(chain.from_iterable(one.events.brand_ids for one in judged))
    # The locks of one shard are held while the next is counted, so only a short transaction counts several.
    choose = attempt.choose_server if len(brand_ids) <= spend.FEW_EVENTS else attempt.choose_shard
    choose(connection, brand_ids)
    judged = [
        one._replace(events=events, uncounted=(*one.uncounted, *uncounted))
        for one in judged
        for events, uncounted in [attempt.without_left_out(one.events)]
    ]
    sequences.append(
        connection, runs_of_numbers(chain.from_iterable(batch.numbers() for batch in batches)), at, only_brand_id
    )
    events = EventColumns.joined([one.events for one in judged])
    classified = new_events.find_new_events(connection, events, checks_ledger=checks_ledger)
    counted = _counted_by_batch(judged, classified)
    changes = count_and_enforce(
        connection,
        classified,
        known,
        at,
        Cause.SPEND,
        only_brand_id=only_brand_id,
        lock_timeouts=attempt.lock_timeouts,
    )
    invalid = [rejection for one in counted for rejection in one.rejections]
    rejected.keep(connection, rejected.SPEND_EVENT, invalid, at, only_brand_id)
    return [counted[0]._replace(changes=tuple(changes)), *counted[1:]]


def _judge_batches(
    connection: Connection, batches: Sequence[Batch], only_brand_id: int | None, at: datetime, *, everywhere: bool
) -> tuple[Mapping[CampaignKey, CampaignMatch], list[Judged]]:
    """Validates each batch with cached campaigns, and again with stored ones if an event would be rejected.

    Returns the campaigns found, by campaign key, and each batch's result. With `only_brand_id` validates with stored
    campaigns alone. Without `everywhere`, an event that a server which does not answer may accept is left uncounted.
    """
    keys = set[CampaignKey]().union(*(batch.campaigns() for batch in batches))
    within = bounds(connection, settings().max_event_age, at)
    if only_brand_id is None:
        known = find_campaigns_cached(connection, keys, everywhere=everywhere)
        judged = [_judge(batch, known, at, within) for batch in batches]
        if not any(len(one.rejections) > len(batch.rejections) for one, batch in zip(judged, batches, strict=True)):
            return known, judged
    known = find_campaigns(connection, keys, only_brand_id, everywhere=everywhere)
    judged = [_judge(batch, known, at, within) for batch in batches]
    if not everywhere:
        return known, list(map(_without_unsure, judged))
    check_currencies(connection, chain.from_iterable(one.rejections for one in judged), known)
    return known, judged


def check_currencies(
    connection: Connection, rejections: Iterable[Rejection], judged_by: Mapping[CampaignKey, CampaignMatch]
) -> None:
    """Raises StaleRead if an input is rejected for its currency and the directory is outdated.

    The directory lists the campaigns and brands of several servers; the next try finds it corrected. Without several
    servers does nothing.
    """
    if has_citus(connection) and any(one.reason is Reason.WRONG_CURRENCY for one in rejections):
        directory_checks.check_brands(connection, campaigns_of(judged_by.values()))


def _without_unsure(judged: Judged) -> Judged:
    """The batch with its rejections for an unknown campaign or a wrong currency moved to `uncounted`.

    A server that does not answer may know the campaign.
    """
    rejections, uncounted = _split_unsure(judged.rejections)
    return judged._replace(rejections=rejections, uncounted=uncounted)


def _split_unsure(rejections: Sequence[Rejection]) -> tuple[list[Rejection], tuple[UncountedInput, ...]]:
    """Splits rejections into the certain ones, and the inputs that are uncounted because a server does not answer.

    That server may accept inputs whose campaign is not found, or whose currency is wrong by the directory, which may be
    outdated.
    """
    unsure = {Reason.UNKNOWN_CAMPAIGN, Reason.WRONG_CURRENCY}
    uncounted = tuple(UncountedInput(UNKNOWN_BRAND, one.payload) for one in rejections if one.reason in unsure)
    return [one for one in rejections if one.reason not in unsure], uncounted


def _judge(batch: Batch, known: Mapping[CampaignKey, CampaignMatch], at: datetime, within: AgeBounds) -> Judged:
    if batch.plain is not None:
        events = judge_columns(batch.plain, known, at, within)
        if events is not None:
            return Judged(events)
        batch = Batch(None, *partition(map(read_event, batch.plain.payloads)))
    good, invalid = partition(judge_events(batch.drafts, known, at, within))
    return Judged(EventColumns.of(good), (*batch.rejections, *invalid))


def _counted_by_batch(judged: Sequence[Judged], classified: ClassifiedEvents) -> list[Counted]:
    counted, first = [], 0
    for events, rejections, uncounted in judged:
        last = first + len(events.event_ids)
        known = [place - first for place in classified.known if first <= place < last]
        conflicts = [place - first for place in classified.conflicts if first <= place < last]
        counted.append(_counted_of(events, rejections, known, conflicts)._replace(uncounted=uncounted))
        first = last
    return counted


def _counted_of(
    events: EventColumns, rejections: Sequence[Rejection], known: Sequence[int], conflicts: Sequence[int]
) -> Counted:
    new = events.without(*known, *conflicts)
    return Counted(
        taken=len(new.event_ids),
        known=len(known),
        rejections=(*rejections, *_conflicts(events, conflicts)),
        brand_ids=frozenset(new.brand_ids),
        campaign_ids=frozenset(new.campaign_ids),
        oldest_at=min(new.occurred_at, default=None),
    )


def _conflicts(events: EventColumns, places: Sequence[int]) -> list[Rejection]:
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
    """Turns the reported totals of the only batch into events for their differences, counts and enforces them.

    Returns one result. `checks_ledger`: whether to look for duplicates in the ledger first. `only_brand_id`: the only
    brand whose campaigns the senders may name; None: all brands. `attempt`: the brands to leave out and the lock
    timeouts; it notes the brands written. None: leaves out none. Raises spend.SomeAlreadyStored, and StaleRead if the
    transaction must be repeated.
    """
    (batch,) = batches
    at = clock.now()
    attempt = attempt or Attempt()
    keys = {draft.campaign for draft in batch.drafts}
    known = find_campaigns(connection, keys, only_brand_id, everywhere=attempt.finds_everywhere)
    judged, rejections = _judge_totals(connection, batch, known, at)
    unsure: tuple[UncountedInput, ...] = ()
    if attempt.finds_everywhere:
        check_currencies(connection, rejections, known)
    else:
        rejections, unsure = _split_unsure(rejections)
    attempt.choose_shard(connection, (total.brand_id for total in judged))
    reported, uncounted = _without_excluded_totals(judged, attempt)
    restated = totals.restate(connection, reported)
    events = EventColumns.of(restated.differences)
    classified = new_events.find_new_events(connection, events, restated.first_days, checks_ledger=checks_ledger)
    bad = (*rejections, *restated.conflicts, *_conflicts(events, classified.conflicts))
    timeouts, cause = attempt.lock_timeouts, Cause.REPORTED_TOTAL
    changes = count_and_enforce(
        connection, classified, known, at, cause, only_brand_id=only_brand_id, lock_timeouts=timeouts
    )
    rejected.keep(connection, rejected.REPORTED_TOTAL, bad, at, only_brand_id)
    taken = len(reported) - restated.nothing_new - len(restated.conflicts)
    brand_of = classified.added.brand_of
    ids = frozenset(brand_of.values()), frozenset(brand_of)
    return [Counted(taken, restated.nothing_new, bad, tuple(changes), *ids, (*unsure, *uncounted))]


def _judge_totals(
    connection: Connection, batch: TotalsBatch, known: Mapping[CampaignKey, CampaignMatch], at: datetime
) -> tuple[list[ReportedTotal], Sequence[Rejection]]:
    """The batch's valid totals, and the rejections of the other totals."""
    within = bounds(connection, settings().max_total_age, at)
    judged, invalid = partition(judge_total(draft, known, at, within) for draft in batch.drafts)
    return judged, (*batch.rejections, *invalid)


def _without_excluded_totals(
    judged: Sequence[ReportedTotal], attempt: Attempt
) -> tuple[list[ReportedTotal], tuple[UncountedInput, ...]]:
    left_out = attempt.left_out
    reported = [total for total in judged if total.brand_id not in left_out]
    uncounted = tuple(UncountedInput(total.brand_id, total.payload) for total in judged if total.brand_id in left_out)
    attempt.writes({total.brand_id for total in reported}, {total.day for total in reported})
    return reported, uncounted


def bounds(connection: Connection, oldest: timedelta | None, at: datetime) -> AgeBounds:
    """The allowed ages of inputs at `at`: `oldest`, the setting for the future, and the first day of the ledger.

    Days that were dropped stay refused even if retention is set longer now. The current month is always allowed,
    since only a clock that was ahead can have set the ledger's floor after it. `oldest` None: no limit of the past but
    the ledger's.
    """
    read = settings()
    stored = ledger.stored_floor(connection)
    floors = [] if stored is None else [min(stored, ledger.floor(at, 0))]
    kept_from = ledger.retention_floor(at, read.ledger_retention_months, read.ledger_retention_days)
    if kept_from is not None:
        floors.append(kept_from)
    return AgeBounds(oldest, read.max_event_ahead, max(floors, default=FIRST_INSTANT))
