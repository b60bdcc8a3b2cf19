"""Reconciles an account: reads statuses, respects what people changed there, sends and confirms what must change."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

import structlog
from sqlalchemy import Connection

from app.decisions import announce
from app.enforcement import enforce
from app.platforms import quota, steps, visits
from app.platforms.protocol import Account, Change, Limited, Outcomes, Platform, PlatformError, Unanswered
from app.platforms.registry import account_of, adapter_of
from db.engine import committed, transaction
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import lock_brands
from db.repository.platforms import connections
from db.repository.platforms import statuses as rows
from db.repository.platforms.connections import StoredConnection
from db.repository.platforms.statuses import StoredStatus
from domain.causes import Cause
from domain.errors import InvalidValue
from domain.reconcile import Action, Confirmed, Hand, hand, reconcile, would_do
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

SPARE: Final = timedelta(seconds=5)
"""Time of a claim beyond that of its requests."""

HOLDS_A_TRANSACTION: Final = 500
"""Campaigns whose hold is set or lifted in one transaction; the next run does the others."""

NO_OUTCOME: Final = Unanswered("the platform returned no result", may_be_applied=True)
ALERT: Final = "another program or a person keeps enabling it on the platform"


class Visit(NamedTuple):
    """One run for one account."""

    stored: StoredConnection
    platform: Platform
    account: Account


class Planned(NamedTuple):
    """The action that mode `full` would take for a campaign, and the statuses behind it."""

    campaign_id: int
    external_id: str
    desired: str
    confirmed: str
    action: Action


def reconcile_account(account_id: int) -> None:
    """Brings the account's campaigns to their desired statuses. A failure is stored, logged and not raised.

    Only one worker at a time does so for an account; the claim of a worker that died ends by itself.
    """
    stored = visits.stored_connection(account_id)
    at = clock.now()
    if stored is None or not committed(partial(connections.claim, account=account_id, at=at, until=_claim_end(at))):
        return
    try:
        opened = visits.attempted(stored, lambda: Visit(stored, adapter_of(stored.platform), account_of(stored)))
        if opened is not None:
            _run(opened)
    finally:
        committed(partial(connections.prolong, account=account_id, until=clock.now()))


def _claim_end(at: datetime) -> datetime:
    """The end of a claim made at `at`: after a login, one more request and SPARE. Each request prolongs it."""
    return at + 2 * timedelta(seconds=settings().platform_deadline_seconds) + SPARE


def plan(account_id: int) -> list[Planned]:
    """Reads the account's statuses and returns what mode `full` would do; changes nothing.

    Raises PlatformError, and InvalidValue if the account is not connected.
    """
    with transaction() as connection:
        stored = connections.required_connection(connection, account_id)
    if not quota.reserve(stored.platform, 1):
        raise InvalidValue("quota", "the operations of 24 hours are used up but for pauses")
    read = adapter_of(stored.platform).read_statuses(account_of(stored))
    at = clock.now()
    with transaction() as connection:
        found = [_observed(row, read, at) for row in rows.of_account(connection, account_id)]
    return [
        Planned(row.campaign_id, row.external_id, row.desired, row.confirmed, would_do(steps.facts_of(row, "full", at)))
        for row in found
    ]


def _run(visit: Visit) -> None:
    """Reads, sets holds, then sends pauses before releases."""
    read = _read(visit)
    at = clock.now()
    committed(partial(_note_seen, account=visit.stored.id, read=read, at=at))
    if read is not None:
        _respect_people(visit, at)
    for action in (Action.PAUSE, Action.ENABLE):
        while _send_some(visit, action):
            pass
    _alert(visit)


def _read(visit: Visit) -> Mapping[str, Confirmed] | None:
    """The statuses on the platform; None if the platform or the quota allows no read, or the read failed."""
    until = visit.stored.wait_until
    if (until is not None and until > clock.now()) or not quota.reserve(visit.stored.platform, 1):
        return None
    return visits.attempted(visit.stored, lambda: visit.platform.read_statuses(visit.account))


def _note_seen(connection: Connection, account: int, read: Mapping[str, Confirmed] | None, at: datetime) -> None:
    found = rows.of_account(connection, account)
    rows.keep(connection, account, [_observed(row, read, at) for row in found])
    if read is not None:
        connections.note_statuses_read(connection, account, at)


def _observed(row: StoredStatus, read: Mapping[str, Confirmed] | None, at: datetime) -> StoredStatus:
    if read is None:
        return steps.unread(row, at)
    return steps.seen(row, read.get(row.external_id, Confirmed.REMOVED), at)


def _respect_people(visit: Visit, at: datetime) -> None:
    """Sets the hold `platform_paused` on campaigns that a person paused there, and lifts it from enabled ones."""
    with transaction() as connection:
        wanted = list(_holds_to_change(visit, rows.of_account(connection, visit.stored.id), at))
    if not wanted:
        return
    changes = committed(partial(_change_holds, visit=visit, wanted=wanted[:HOLDS_A_TRANSACTION], at=at))
    announce(changes, Cause.PLATFORM)


def _holds_to_change(visit: Visit, found: Sequence[StoredStatus], at: datetime) -> Iterator[tuple[StoredStatus, bool]]:
    """The campaigns whose hold must change, each with whether it must be set."""
    for row in found:
        wanted = hand(steps.facts_of(row, visit.stored.mode, at))
        if wanted is not Hand.NONE and (wanted is Hand.SET_HOLD) != row.is_held_there:
            yield row, wanted is Hand.SET_HOLD


def _change_holds(
    connection: Connection, visit: Visit, wanted: Sequence[tuple[StoredStatus, bool]], at: datetime
) -> list[DecidedChange]:
    """Changes the holds under the brands' locks and enforces the campaigns in the same transaction."""
    brand_ids = sorted({row.brand_id for row, _ in wanted})
    lock_brands(connection, brand_ids)
    by = f"platform:{visit.stored.platform}"
    for row, is_held in sorted(wanted, key=lambda one: one[0].campaign_id):
        if rows.set_hold(connection, row.campaign_id, by, at, is_held=is_held):
            log.info("platform.hand", campaign_id=row.campaign_id, brand_id=row.brand_id, is_held=is_held)
    return enforce(connection, brand_ids, Cause.PLATFORM, campaign_ids=[row.campaign_id for row, _ in wanted])


def _send_some(visit: Visit, action: Action) -> bool:
    """Sends one request of this action; returns whether another may follow. Decides from rows read right before."""
    at = clock.now()
    until = visit.stored.pauses_wait_until if action is Action.PAUSE else visit.stored.wait_until
    if until is not None and until > at:
        return False
    before = committed(partial(_mark, visit=visit, action=action, at=at))
    if not before:
        return False
    committed(partial(connections.prolong, account=visit.stored.id, until=_claim_end(at)))
    changes = [Change(row.external_id, steps.SENT[action]) for row in before]
    try:
        if not quota.reserve(visit.stored.platform, len(changes), for_pauses=action is Action.PAUSE):
            raise _QuotaUsedUp("the quota of 24 hours is used up")
        outcomes = visit.platform.set_status(visit.account, changes)
    except (PlatformError, InvalidValue) as error:
        committed(partial(_note_failed, visit=visit, before=before, error=error))
        visits.note_failure(visit.stored, error, for_pauses=True)
        return False
    committed(partial(_note_outcomes, visit=visit, before=before, outcomes=outcomes, action=action))
    for limited in [error for error in outcomes.values() if isinstance(error, Limited)][:1]:
        visits.note_failure(visit.stored, limited, for_pauses=True)
    return len(before) == visit.platform.changes_a_request and not any(outcomes.values())


class _QuotaUsedUp(PlatformError):
    """The ledger of operations allows no further request."""


def _mark(connection: Connection, visit: Visit, action: Action, at: datetime) -> list[StoredStatus]:
    """Stores that the campaigns to change are about to be sent; returns their rows as they were before."""
    mode = visit.stored.mode
    due = [
        row
        for row in rows.of_account(connection, visit.stored.id)
        if reconcile(steps.facts_of(row, mode, at)) is action
    ][: visit.platform.changes_a_request]
    rows.keep(connection, visit.stored.id, [steps.sending(row, action, at) for row in due])
    return due


def _current(connection: Connection, visit: Visit, before: Sequence[StoredStatus]) -> dict[int, StoredStatus]:
    """The present rows of the sent campaigns, by campaign id; one that was deleted meanwhile is left out."""
    sent = {row.campaign_id for row in before}
    return {row.campaign_id: row for row in rows.of_account(connection, visit.stored.id) if row.campaign_id in sent}


def _note_failed(connection: Connection, visit: Visit, before: Sequence[StoredStatus], error: Exception) -> None:
    current = _current(connection, visit, before)
    kept = [_failed(current[row.campaign_id], row, error) for row in before if row.campaign_id in current]
    rows.keep(connection, visit.stored.id, kept)


def _failed(now: StoredStatus, before: StoredStatus, error: Exception) -> StoredStatus:
    if isinstance(error, PlatformError) and error.may_be_applied:
        return steps.unanswered(now, str(error))
    return steps.not_done(now, before, str(error))


def _note_outcomes(
    connection: Connection,
    visit: Visit,
    before: Sequence[StoredStatus],
    outcomes: Outcomes,
    action: Action,
) -> None:
    at = clock.now()
    current = _current(connection, visit, before)
    kept = []
    for row in before:
        error = outcomes.get(row.external_id, NO_OUTCOME)
        now = current.get(row.campaign_id)
        if now is None:
            continue
        fields = {"brand_id": row.brand_id, "campaign_id": row.campaign_id, "action": str(action)}
        if error is None:
            kept.append(steps.seen(now, steps.SENT[action], at))
            since = row.unconfirmed_since
            log.info("platform.confirmed", delay_seconds=since and (at - since).total_seconds(), **fields)
        else:
            kept.append(_failed(now, row, error))
            log.warning("platform.refused", error=str(error), **fields)
    rows.keep(connection, visit.stored.id, kept)


def _alert(visit: Visit) -> None:
    """Logs, once for each, campaigns that somebody keeps enabling there."""
    at = clock.now()
    with transaction() as connection:
        found = rows.of_account(connection, visit.stored.id)
    new = [
        row._replace(last_error=ALERT)
        for row in found
        if row.last_error != ALERT and reconcile(steps.facts_of(row, visit.stored.mode, at)) is Action.ALERT
    ]
    for row in new:
        log.error("platform.overridden", brand_id=row.brand_id, campaign_id=row.campaign_id)
    if new:
        committed(partial(rows.keep, account=visit.stored.id, statuses=new))
