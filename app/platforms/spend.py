"""Pulls spend from connected accounts: a complete answer for a range of days becomes reported totals."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import structlog
from more_itertools import chunked

from app.ingest.ingest import TOTALS, count_totals, log_counted
from app.platforms import bounds, pace, quota, visits
from app.platforms.owners import Owners
from app.platforms.protocol import Account, Platform, Refused, TooLarge
from app.platforms.readings import Days, HourReader, Plan, Reading, halves, planned, spans
from app.platforms.registry import account_of, adapter_of
from db.engine import committed, transaction
from db.repository.platforms import connections, reads
from db.repository.platforms import spend as rows
from db.repository.platforms.connections import StoredConnection
from db.repository.platforms.limits import AccountLimit
from db.repository.platforms.spend import AccountCampaign
from db.repository.shared.zones import readable_zones
from domain.hours import HOURS_A_DAY
from domain.inputs.values import MAX_EVENTS_PER_MESSAGE
from domain.periods import ONE_DAY, local_day
from domain.platform_reads import spend_interval
from runtime import clock

log = structlog.get_logger()

HISTORY_DAYS: Final = 28
"""Days before today that are read once a day, because platforms restate spend for weeks."""

ROWS_A_READ: Final = 200_000
"""Campaign-days, or campaign-hours, up to which days share one request: about 30 MB in an answer of Google.

The adapters refuse an answer of over 64 MiB.
"""

DESCRIBED_FOR: Final = timedelta(days=1)
"""An account's time zone and currency are read again after this time."""


def pull(account_id: int) -> None:
    """Reads the spend of the account, if it is due and no other worker reads it, and counts it.

    A failed request is stored, logged and not raised. Raises errors of the database, such as BrandsTimedOut if a brand
    stays locked: the message is then delivered again.
    """
    stored = visits.stored_connection(account_id)
    claim = None if stored is None else _Claim.made(stored, clock.now())
    if stored is None or claim is None:
        return
    try:
        _pull(stored, claim)
    except BaseException:
        claim.end()
        raise


@dataclass(slots=True)
class _Claim:
    """The claim of one worker to read an account's spend. `until`: the moment at which the claim ends."""

    account: int
    until: datetime

    @classmethod
    def made(cls, stored: StoredConnection, at: datetime) -> "_Claim | None":
        """Claims the read from `at` on; None if the account is not due, may not be read, or another worker reads it."""
        until = at + pace.reading_time()
        is_made = committed(partial(reads.claim, account=stored.id, at=at, until=until))
        return cls(stored.id, until) if is_made else None

    def prolong(self) -> bool:
        """Moves the end of the claim so that one more read fits in; returns whether the account may still be read."""
        at = clock.now()
        until = at + pace.reading_time()
        prolong = partial(reads.prolong, account=self.account, claimed=self.until, until=until, at=at)
        may_read = committed(prolong)
        if may_read:
            self.until = until
        return may_read

    def end(self) -> None:
        """Ends the claim and makes the account due again at once; does nothing if the claim was lost."""
        committed(partial(reads.end_claim, account=self.account, claimed=self.until, at=clock.now()))


def _pull(stored: StoredConnection, claim: _Claim) -> None:
    opened = visits.attempted(stored, lambda: (adapter_of(stored.platform), account_of(stored)), is_of_spend=True)
    if opened is None:
        return
    described = _described(stored, *opened, clock.now())
    if described is not None and _pull_days(described, *opened, claim):
        bounds.measure(described, clock.now())


def _described(stored: StoredConnection, platform: Platform, account: Account, at: datetime) -> StoredConnection | None:
    """Returns the connection with the account's zone and currency; None if they could not be read.

    If they are older than DESCRIBED_FOR, first reads them from the platform and stores them.
    """
    if stored.described_at is not None and stored.described_at > at - DESCRIBED_FOR:
        return stored
    if not _reserved(stored):
        return None
    facts = visits.attempted(stored, lambda: platform.describe(account), is_of_spend=True)
    if facts is None:
        return None
    zone, currency = facts.time_zone, facts.currency
    committed(partial(connections.note_description, account=stored.id, time_zone=zone, currency=currency, at=at))
    return stored._replace(time_zone=zone, currency=currency, described_at=at)


def _reserved(stored: StoredConnection) -> bool:
    """Books one read; if the quota is used up, stores and logs that and returns False."""
    if quota.reserve(stored.platform, 1):
        return True
    error = "the platform's quota of 24 hours is used up, except the part kept for pauses"
    visits.store_failure(stored, error, clock.now(), stops_changes=False, is_of_spend=True)
    log.warning("platform.quota_used_up", platform=stored.platform, platform_account_id=stored.id)
    return False


@dataclass
class _Tally:
    """The reads of one visit: how many rows they had and totals they gave, and the external ids with spend."""

    campaign_days: int = 0
    totals: int = 0
    campaigns: set[str] = field(default_factory=set)


def _pull_days(stored: StoredConnection, platform: Platform, account: Account, claim: _Claim) -> bool:
    """Reads the due days and counts their spend as of the time before the requests.

    Returns whether it read all HISTORY_DAYS: False after a failure too. Otherwise reads today and the day before.
    """
    zone = readable_zones({stored.time_zone or ""}).get(stored.time_zone or "")
    if zone is None:
        unknown = Refused(f"the account's time zone {stored.time_zone} is unknown to Spendgate")
        visits.note_failure(stored, unknown, is_of_spend=True)
        return False
    as_of = clock.now()
    today = local_day(as_of, zone)
    is_history = stored.history_read_at is None or local_day(stored.history_read_at, zone) < today
    days_back = HISTORY_DAYS if is_history else 1
    days = (today - days_back * ONE_DAY, today)
    with transaction() as connection:
        owners = rows.campaigns_of_account(connection, stored.platform, stored.id)
        before = pace.limits_now(connection, stored.id, owners, as_of)
    plan = planned(owners, zone, stored.currency, days, has_hours=platform.has_hours)
    tally = _Tally()
    reads_left = deque(_reads(plan, platform, account, zone, days, as_of))
    while reads_left:
        if not claim.prolong() or not _reserved(stored):
            return False
        answer = visits.attempted(stored, partial(_answer, reads_left.popleft()), is_of_spend=True)
        if answer is None:
            return False
        _count(stored, answer.readings, as_of, tally)
        reads_left.extendleft(reversed(answer.instead))
    next_read_at, limit_at = _next_read(stored, owners, before, as_of)
    noted = partial(reads.note_spend_read, account=stored.id, at=as_of, is_history=is_history)
    problem = "; ".join(plan.problems) or None
    committed(partial(noted, claimed=claim.until, next_read_at=next_read_at, limit_at=limit_at, problem=problem))
    if plan.problems:
        log.warning("platform.brand_refused", platform_account_id=stored.id, reasons=list(plan.problems))
    log.info(
        "platform.spend_read",
        platform=stored.platform,
        platform_account_id=stored.id,
        campaign_days=tally.campaign_days,
        totals=tally.totals,
        unknown_campaigns=len(tally.campaigns - {one.external_id for one in owners}),
    )
    return is_history


class _Read(NamedTuple):
    """A request for a range of days."""

    days: Days
    request: Callable[[Days], list[Reading]]


class _Answer(NamedTuple):
    """The result of a request, or the requests to make `instead`, because the answer was too large."""

    readings: Sequence[Reading]
    instead: Sequence[_Read] = ()


def _reads(
    plan: Plan, platform: Platform, account: Account, zone: ZoneInfo, days: Days, as_of: datetime
) -> Iterator[_Read]:
    """The requests to make, one after the other: of the account's days, and of hours for brands with other days.

    Each answer has at most about ROWS_A_READ rows, so that its size and this process's memory stay bounded.
    """
    if plan.by_days or not plan.by_hours:

        def read_days(some: Days) -> list[Reading]:
            return [Reading(plan.by_days, some, platform.read_spend(account, *some))]

        for some in spans(days, ROWS_A_READ // max(len(plan.by_days), 1)):
            yield _Read(some, read_days)
    if plan.by_hours:
        reader = HourReader(plan, platform, account, zone, as_of, (days[1] - days[0]).days)
        campaigns = sum(map(len, plan.by_hours.values()))
        for some in spans(reader.days, ROWS_A_READ // (HOURS_A_DAY * max(campaigns, 1))):
            yield _Read(some, reader.read)


def _answer(read: _Read) -> _Answer:
    """Makes the request; returns its readings, or requests for both halves of its days if the answer is too large.

    An answer that is too slow counts as too large. Raises TooLarge if the request is for one day.
    """
    try:
        return _Answer(read.request(read.days))
    except TooLarge:
        parts = halves(read.days)
        if not parts:
            raise
        return _Answer([], [read._replace(days=part) for part in parts])


def _count(stored: StoredConnection, readings: Sequence[Reading], as_of: datetime, tally: _Tally) -> None:
    """Counts the totals of the readings as of `as_of`, and adds numbers of rows and totals, and ids, to `tally`."""
    for reading in readings:
        for some in chunked(_totals(stored, reading, as_of), MAX_EVENTS_PER_MESSAGE):
            log_counted(TOTALS.event, count_totals(some), TOTALS.cause)
            tally.totals += len(some)
        tally.campaign_days += len(reading.spend)
        tally.campaigns |= {row.external_id for row in reading.spend}


def _next_read(
    stored: StoredConnection, owners: Sequence[AccountCampaign], before: Sequence[AccountLimit], as_of: datetime
) -> tuple[datetime, datetime | None]:
    """When the account is read next, and when its spend reaches the nearest limit (None if that is not in sight).

    `before`: its limits before the spend that was read at `as_of` was counted.
    """
    with transaction() as connection:
        after = pace.limits_now(connection, stored.id, owners, as_of)
    limit_at = pace.limit_at(before, after, stored.last_read_at, as_of)
    left = None if limit_at is None else limit_at - as_of
    return as_of + spend_interval(left, pace.longest_interval()), limit_at


def _totals(stored: StoredConnection, reading: Reading, as_of: datetime) -> Iterator[dict[str, Any]]:
    """The totals to count: those of the answer, and zero for days with a stored total that the answer lacks.

    An answer for a range of days is complete: platforms leave out days without cost. Days on which a campaign owns no
    id in this account are left as they are. Figures that add up with another account's have a source of their own.
    """
    common = {"as_of": as_of.isoformat(), "currency": stored.currency}
    sources = {False: stored.platform, True: added_source(stored)}
    owners = Owners(reading.owners)
    answered = set()
    for campaign_id, day, some in owners.spend(reading.spend):
        source = sources[owners.adds(campaign_id, day)]
        answered.add((source, campaign_id, day))
        named: dict[str, Any] = {"campaign_id": campaign_id}
        if len(some) == 1:
            named = {"platform": stored.platform, "external_id": some[0].external_id, "account": stored.account_id}
        total = sum(row.micros for row in some)
        yield {**common, **named, "source": source, "day": day.isoformat(), "total_micros": total}
    for is_added, source in sources.items():
        with transaction() as connection:
            with_spend = rows.days_with_spend(connection, source, owners.campaign_ids, *reading.days)
        for campaign_id, day in with_spend:
            is_known = (source, campaign_id, day) in answered or day in reading.left_out
            is_of_source = owners.adds(campaign_id, day) is is_added
            if not is_known and is_of_source and (is_added or owners.reports(campaign_id, day)):
                named = {"source": source, "campaign_id": campaign_id}
                yield {**common, **named, "day": day.isoformat(), "total_micros": 0}


def added_source(stored: StoredConnection) -> str:
    """The source of the account's figures on days for which another account of the platform also reports spend."""
    return f"{stored.platform}:{stored.account_id}"
