"""Pure functions: a campaign's row after each step of a reconciliation: read, about to be sent, confirmed, failed."""

from datetime import datetime, timedelta
from typing import Final

from db.repository.platforms.statuses import StoredStatus
from domain.reconcile import (
    DOUBTFUL,
    TRIES,
    Action,
    Confirmed,
    Desired,
    Mode,
    StatusFacts,
    paused_by_us_after,
    recent_repauses,
    refused_wait,
)

SENT: dict[Action, Confirmed] = {Action.PAUSE: Confirmed.PAUSED, Action.ENABLE: Confirmed.ENABLED}
"""By action that is sent, the status that it sets on the platform."""

CLOCKS_DIFFER: Final = timedelta(seconds=2)
"""Time by which a platform's clock and this machine's may differ: a pause is Spendgate's if it is not further off."""


def facts_of(row: StoredStatus, mode: str, at: datetime, *, is_unread: bool = False) -> StatusFacts:
    """The facts about the campaign for the rules. `is_unread`: the platform cannot be read now."""
    return StatusFacts(
        desired=Desired(row.desired),
        confirmed=Confirmed(row.confirmed),
        paused_by_us=row.paused_by_us,
        mode=Mode(mode),
        is_repause=_is_repause(row),
        repauses=len(recent_repauses(row.repaused_at, at)),
        may_be_applied=row.may_be_applied,
        is_doubtful=row.enabled_at is not None,
        is_unread=is_unread,
    )


def _is_repause(row: StoredStatus) -> bool:
    return row.desired_change_id is not None and row.paused_change_id == row.desired_change_id


def _is_reached(row: StoredStatus) -> bool:
    """Whether the platform's status is the desired one. A removed campaign spends nothing."""
    if row.desired == Desired.INACTIVE:
        return row.confirmed in {Confirmed.PAUSED, Confirmed.REMOVED}
    return row.confirmed == Confirmed.ENABLED


def _settled(row: StoredStatus, at: datetime) -> StoredStatus:
    """The row with those fields renewed that follow from its desired and confirmed status."""
    is_reached = _is_reached(row)
    paused_for = row.paused_change_id
    if row.desired == Desired.INACTIVE and row.confirmed == Confirmed.PAUSED and row.paused_by_us:
        paused_for = row.desired_change_id
    return row._replace(
        paused_change_id=paused_for,
        unconfirmed_since=None if is_reached else row.unconfirmed_since or row.desired_at or at,
        attempts=0 if is_reached else row.attempts,
        last_error=None if is_reached else row.last_error,
    )


def seen(row: StoredStatus, status: Confirmed, at: datetime, *, is_answer: bool = False) -> StoredStatus:
    """The row after the platform reported `status`, by a read or (`is_answer`) by the answer to a change."""
    return _settled(
        row._replace(
            confirmed=status.value,
            confirmed_at=row.confirmed_at if status == row.confirmed else at,
            paused_by_us=paused_by_us_after(status, paused_by_us=row.paused_by_us),
            may_be_applied=False,
            enabled_at=_doubtful_since(row, status, is_answer=is_answer),
        ),
        at,
    )


def _doubtful_since(row: StoredStatus, status: Confirmed, *, is_answer: bool) -> datetime | None:
    """Since when a person may have paused the campaign, after the platform reported `status`; None: no doubt.

    A change without an answer may have been lost, or applied: before or after it a person may have paused the campaign.
    `is_answer`: the platform reported the status in the answer to that change, which leaves no such doubt.
    """
    if status is Confirmed.ENABLED:
        return None
    if row.may_be_applied and not is_answer and status is Confirmed.PAUSED and row.paused_by_us:
        return row.enabled_at or row.sent_at
    return row.enabled_at


def is_newly_confirmed(before: StoredStatus, row: StoredStatus, at: datetime) -> bool:
    """Whether the platform's status became the desired one at `at`, after a decision; not so at the first read."""
    is_decided = row.desired_change_id is not None and row.desired_at is not None and row.desired_at <= at
    was_known = before.confirmed != Confirmed.UNKNOWN
    return is_decided and was_known and row.confirmed_at == at and _is_reached(row)


def unread(row: StoredStatus, at: datetime) -> StoredStatus:
    """The row after a visit without a read of the platform; its desired status may be new."""
    return _settled(row, at)


def sending(row: StoredStatus, action: Action, unread_since: datetime | None, at: datetime) -> StoredStatus:
    """The row to commit before `action` is sent: from then on it may be applied, whatever happens to this process.

    `unread_since`: when the platform was read last, if that is so long ago that a person may have paused the campaign
    since; else None. A pause that is sent again without an answer to the first keeps the time of the first, which is
    the likelier one to have paused the campaign.
    """
    is_again = row.may_be_applied and row.sent == SENT[action]
    repauses = recent_repauses(row.repaused_at, at)
    if action is Action.PAUSE and _is_repause(row) and not is_again:
        repauses.append(at)
    return row._replace(
        sent=SENT[action].value,
        sent_at=row.sent_at if is_again else at,
        may_be_applied=True,
        paused_by_us=row.paused_by_us or action is Action.PAUSE,
        attempts=row.attempts + 1,
        repaused_at=repauses,
        enabled_at=unread_since if action is Action.PAUSE else None,
    )


def is_to_be_cleared_up(row: StoredStatus) -> bool:
    """Whether a person may have paused the campaign before Spendgate did, and the platform's history may show it."""
    return row.enabled_at is not None and row.confirmed == Confirmed.PAUSED and not row.may_be_applied


def cleared_up(
    row: StoredStatus, paused_at: datetime | None, answered_within: timedelta, *, is_answered: bool = True
) -> StoredStatus:
    """The row after the platform reported when the campaign was paused on it: `paused_at`; None: it reported no pause.

    After a request to enable whose outcome is unknown, the pause is Spendgate's earlier one, unless the platform
    reports a pause since that request. `is_answered`: the platform answered the question.

    If Spendgate pauses a campaign that is paused already, the platform's history does not show it. So the pause is
    Spendgate's if it happened while Spendgate's request was on its way, `answered_within` from its start at most.
    """
    if row.sent == Confirmed.ENABLED and row.sent_at is not None and is_answered:
        is_ours = paused_at is None or paused_at < row.sent_at - CLOCKS_DIFFER
        return row._replace(enabled_at=None, paused_by_us=row.paused_by_us and is_ours)
    if paused_at is None or row.sent_at is None:
        return row._replace(last_error=row.last_error if _is_reached(row) else DOUBTFUL)
    is_ours = row.sent_at - CLOCKS_DIFFER <= paused_at <= row.sent_at + answered_within + CLOCKS_DIFFER
    return row._replace(enabled_at=None, paused_by_us=row.paused_by_us and is_ours)


def may_be_sent(row: StoredStatus, at: datetime) -> bool:
    """Whether a change that was refused before may be sent again at `at`."""
    return row.attempts < TRIES or row.sent_at is None or row.sent_at + refused_wait(row.attempts) <= at


def not_done(row: StoredStatus, before: StoredStatus, error: str, *, is_refused: bool) -> StoredStatus:
    """The row after a change was not carried out. `before`: the row before it was sent.

    `is_refused`: by the platform, for a reason that stays; else the request did not count as an attempt. The outcome of
    an earlier change without an answer stays unknown.
    """
    is_unknown = before.may_be_applied
    return row._replace(
        sent=before.sent if is_unknown else row.sent,
        sent_at=before.sent_at if is_unknown else row.sent_at,
        may_be_applied=is_unknown,
        paused_by_us=before.paused_by_us,
        enabled_at=before.enabled_at,
        last_error=error,
        attempts=row.attempts if is_refused else before.attempts,
    )


def unanswered(row: StoredStatus, error: str) -> StoredStatus:
    """The row after a change whose outcome is unknown until the platform is read.

    Changes without an answer are tried again as often as the account allows, unlike refused ones.
    """
    return row._replace(last_error=error, attempts=min(row.attempts, TRIES))
