"""Sends due changes of statuses to a platform and stores the outcomes: pauses first, many campaigns a request."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog
from sqlalchemy import Connection

from app.platforms import claims, quota, steps, visits
from app.platforms.claims import Visit
from app.platforms.kept_steps import keep_steps
from app.platforms.protocol import Change, Limited, LoginFailed, Outcomes, PlatformError, Refused, Unanswered
from db.repository.platforms import statuses as rows
from db.repository.platforms.statuses import StoredStatus
from domain.errors import InvalidValue
from domain.reconcile import TRIES, Action, Confirmed, Desired, reconcile
from runtime import clock

log = structlog.get_logger()

STATUSES_BEFORE = {
    Action.PAUSE: (Desired.INACTIVE, Confirmed.ENABLED),
    Action.ENABLE: (Desired.ACTIVE, Confirmed.PAUSED),
}
"""By action: the desired and the confirmed status of the campaigns that it is sent for."""

NO_OUTCOME: Final = Unanswered("the platform answered without a result for this campaign", may_be_applied=True)

FRESH_SECONDS: Final = 60
"""Seconds after a read of the statuses within which a change counts as the cause of a pause seen after it.

A pause seen after a change that was sent later may be a person's.
"""

Refusals = set[tuple[int, int | None]]
"""Changes that failed in this visit and are not sent again in it: (campaign id, id of the status change)."""


class Batch(NamedTuple):
    """The campaigns of one request, as they were before it."""

    action: Action
    before: Sequence[StoredStatus]


class _QuotaUsedUp(PlatformError):
    """The count of operations allows no further request within the quota."""


def send_changes(visit: Visit, *, may_enable: bool) -> None:
    """Sends due changes until none is left or a request fails. Raises ClaimLost if another worker has the account.

    `may_enable`: enables campaigns too; only after the platform was read. Selects pauses before each request, so that a
    pause that is decided while campaigns are enabled is sent next.
    """
    refusals: Refusals = set()
    actions = (Action.PAUSE, Action.ENABLE) if may_enable else (Action.PAUSE,)
    while True:
        marked = (_marked(visit, action, refusals, is_unread=not may_enable) for action in actions)
        batch = next(filter(None, marked), None)
        if batch is None or not _sent(visit, batch, refusals):
            return


def _marked(visit: Visit, action: Action, refusals: Refusals, *, is_unread: bool) -> Batch | None:
    """Selects the next campaigns to change and stores that they are about to be sent; returns them as they were before.

    None if there are none, or the platform allows no such change now. `is_unread`: the platform was not read, so that
    outcomes of earlier changes stay unknown.
    """
    at = clock.now()
    until = visit.stored.pauses_wait_until if action is Action.PAUSE else visit.stored.wait_until
    if until is not None and until > at:
        return None
    most = quota.changes_left(
        visit.stored.platform, visit.platform.changes_a_request, for_pauses=action is Action.PAUSE
    )
    retries = quota.changes_left(visit.stored.platform, most, for_pauses=False)
    mark = partial(_mark, visit=visit, action=action, refusals=refusals, most=(max(most, 1), retries), at=at)
    before = claims.committed_by(visit, partial(mark, is_unread=is_unread))
    return Batch(action, before) if before else None


def _mark(
    connection: Connection,
    visit: Visit,
    action: Action,
    refusals: Refusals,
    most: tuple[int, int],
    at: datetime,
    *,
    is_unread: bool,
) -> list[StoredStatus]:
    """Stores which campaigns are about to be sent; returns their rows as they were before.

    `most`: how many at most, and how many of them may be retries of refused changes, which use no reserve for pauses.
    `is_unread`: the platform was not read, so that outcomes of earlier changes stay unknown.
    """
    due = (
        row
        for row in rows.with_statuses(connection, visit.stored.id, *STATUSES_BEFORE[action], at, is_unread=is_unread)
        if (row.campaign_id, row.desired_change_id) not in refusals
        and reconcile(steps.facts_of(row, visit.stored.mode, at, is_unread=is_unread)) is action
        and steps.may_be_sent(row, at)
    )
    before = list(_some_of(due, *most))
    if not before or not claims.may_send(connection, visit, at, for_pauses=action is Action.PAUSE):
        return []
    rows.keep(connection, visit.stored.id, [steps.sending(row, action, _unread_since(visit, at), at) for row in before])
    return before


def _some_of(due: Iterable[StoredStatus], most: int, most_retries: int) -> Iterator[StoredStatus]:
    """Yields the first `most` campaigns, of them at most `most_retries` that were tried TRIES times or more."""
    for row in due:
        if most == 0:
            return
        if row.attempts >= TRIES:
            if most_retries == 0:
                continue
            most_retries -= 1
        most -= 1
        yield row


def _unread_since(visit: Visit, at: datetime) -> datetime | None:
    """When the platform was read last; None if never, or so lately that a pause which follows is Spendgate's."""
    is_fresh = visit.read_at is None or at - visit.read_at <= clock.passed(FRESH_SECONDS)
    return None if is_fresh else visit.read_at


def _sent(visit: Visit, batch: Batch, refusals: Refusals) -> bool:
    """Sends one request and stores its outcomes; returns whether another may follow."""
    changes = [Change(row.external_id, steps.SENT[batch.action]) for row in batch.before]
    try:
        if not quota.reserve_changes(visit.stored.platform, len(changes), for_pauses=batch.action is Action.PAUSE):
            raise _QuotaUsedUp("the platform's quota of 24 hours is used up")
        outcomes = visit.platform.set_status(visit.account, changes)
        quota.note_usage(visit.stored)
    except (PlatformError, InvalidValue) as error:
        if not _is_counted(error):
            quota.give_back(visit.stored.platform, len(changes))
        visits.note_failure(visit.stored, error, for_pauses=True)
        claims.committed_by(visit, partial(_note_failed, visit=visit, before=batch.before, error=error))
        return False
    limits = [error for error in outcomes.values() if isinstance(error, Limited)]
    for limited in limits[:1]:
        visits.note_failure(visit.stored, limited, for_pauses=True)
    refusals.update(claims.committed_by(visit, partial(_note_outcomes, visit=visit, batch=batch, outcomes=outcomes)))
    return not limits


def _is_counted(error: Exception) -> bool:
    """Whether the operations booked for a failed request stay booked.

    They do unless the request certainly did not reach the platform.
    """
    is_unsent = isinstance(error, Unanswered) and not error.may_be_applied
    return not (is_unsent or isinstance(error, LoginFailed | InvalidValue))


def _note_failed(connection: Connection, visit: Visit, before: Sequence[StoredStatus], error: Exception) -> None:
    current = _current(connection, visit, before, clock.now())
    kept = [_failed(current[row.campaign_id], row, error) for row in before if row.campaign_id in current]
    rows.keep(connection, visit.stored.id, kept)


def _failed(now: StoredStatus, before: StoredStatus, error: Exception) -> StoredStatus:
    if isinstance(error, PlatformError) and error.may_be_applied:
        return steps.unanswered(now, str(error))
    return steps.not_done(now, before, str(error), is_refused=isinstance(error, Refused))


def _current(
    connection: Connection, visit: Visit, before: Sequence[StoredStatus], at: datetime
) -> dict[int, StoredStatus]:
    """The rows of the sent campaigns at `at`, by campaign id.

    Leaves out campaigns that were deleted meanwhile, and those that have another external id now.
    """
    present = rows.of_campaigns(connection, visit.stored.id, [row.campaign_id for row in before], at)
    sent = {row.campaign_id: row.external_id for row in before}
    return {name: row for name, row in present.items() if row.external_id == sent[name]}


def _note_outcomes(connection: Connection, visit: Visit, batch: Batch, outcomes: Outcomes) -> Refusals:
    """Stores the outcome of each change; returns the changes that failed or have no outcome."""
    at = clock.now()
    current = _current(connection, visit, batch.before, at)
    kept: list[tuple[StoredStatus, StoredStatus]] = []
    refusals = set()
    for row in batch.before:
        error = outcomes.get(row.external_id, NO_OUTCOME)
        now = current.get(row.campaign_id)
        if now is None:
            continue
        named = {"platform": visit.stored.platform, "brand_id": row.brand_id, "campaign_id": row.campaign_id}
        fields = named | {"action": str(batch.action)}
        if error is None:
            kept.append((now, steps.seen(now, steps.SENT[batch.action], at, is_answer=True)))
            since = row.unconfirmed_since or row.desired_at
            log.info("platform.confirmed", delay_seconds=since and (at - since).total_seconds(), **fields)
        else:
            kept.append((now, _failed(now, row, error)))
            refusals.add((row.campaign_id, row.desired_change_id))
            log.warning("platform.refused", error=str(error), **fields)
    keep_steps(connection, visit.stored.id, kept, at)
    return refusals
