"""Asks a platform who changed campaigns on it: for new holds, alerts and doubtful pauses, within the quota."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from more_itertools import chunked
from sqlalchemy import Connection

from app.platforms import claims, quota, steps, visits
from app.platforms.claims import Visit
from app.platforms.protocol import Change, Changed, Limited, PlatformError
from db.repository.platforms import statuses as rows
from db.repository.platforms.statuses import StoredStatus
from domain.errors import InvalidValue
from domain.reconcile import OVERRIDDEN, REPAUSE_WINDOW, Confirmed
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

LONGEST_HISTORY: Final = timedelta(days=28)
"""Age up to which platforms are asked for the authors of changes.

They report changes of at least the last 30 days; the two days less allow for their time zones.
"""

NAME_LENGTH: Final = 200

EARLIER: Final = timedelta(minutes=1)
"""Time by which questions about changes begin before the stored time of a read, which may be later than the read."""

QUESTIONS_A_REQUEST: Final = 500
"""Campaigns about which one request to the platform asks, at most."""


def who_changed(visit: Visit, changes: Sequence[Change], since: datetime | None, at: datetime) -> Mapping[str, Changed]:
    """Asks the platform who brought campaigns to these statuses after `since`, and when.

    Returns the changes that the platform reports, by its id of the campaign. Empty if the quota allows no request or
    the platform does not answer, which is logged and not raised. `since` None: LONGEST_HISTORY ago.
    """
    return (_reported(visit, changes, since, at) or {}) if changes else {}


def _reported(
    visit: Visit, changes: Sequence[Change], since: datetime | None, at: datetime
) -> Mapping[str, Changed] | None:
    """Asks the platform who brought campaigns to these statuses after `since` (None: LONGEST_HISTORY ago).

    Returns the changes that it reports, by its id of the campaign; None if the quota allows no request or the platform
    does not answer.
    """
    if not quota.reserve(visit.stored.platform, 1):
        return None
    earliest = max(since or at - LONGEST_HISTORY, at - LONGEST_HISTORY)
    try:
        found = visit.platform.who_changed(visit.account, changes, earliest)
    except Limited as error:
        visits.note_failure(visit.stored, error)
        return None
    except (PlatformError, InvalidValue) as error:
        named = {"platform": visit.stored.platform, "platform_account_id": visit.stored.id}
        log.warning("platform.failed", error=str(error), **named)
        return None
    return {external_id: Changed(_printable(one.by), one.at) for external_id, one in found.items()}


def cleared_up(visit: Visit, page: Sequence[StoredStatus], at: datetime) -> Sequence[StoredStatus]:
    """Asks the platform about pauses of the page that may be a person's or Spendgate's, and stores the answers.

    Returns the campaigns of the page as they are stored then. Asks only about a pause that was sent
    SPENDGATE_PLATFORM_HISTORY_SECONDS ago or longer, because the platform's history is late.
    """
    sent_before = at - clock.passed(settings().platform_history_seconds)
    doubtful = [row for row in page if steps.is_to_be_cleared_up(row) and row.sent_at and row.sent_at <= sent_before]
    cleared: dict[int, StoredStatus] = {}
    for some in chunked(doubtful, QUESTIONS_A_REQUEST):
        changes = [Change(row.external_id, Confirmed.PAUSED) for row in some]
        since = min(row.enabled_at for row in some if row.enabled_at is not None) - EARLIER
        answer = _reported(visit, changes, since, at)
        told = answer or {}
        moments = {row.campaign_id: told[row.external_id].at if row.external_id in told else None for row in some}
        clear_up = partial(_clear_up, visit=visit, moments=moments, at=at, is_answered=answer is not None)
        cleared |= claims.committed_by(visit, clear_up)
    return [cleared.get(row.campaign_id, row) for row in page]


def judged_after_a_gap(visit: Visit, page: Sequence[StoredStatus], at: datetime) -> Sequence[StoredStatus] | None:
    """Asks the platform who paused the campaigns of the page that Spendgate had paused before a gap in its reads.

    In the gap a person may have enabled and paused them. If the account was never read, or the gap began more than
    LONGEST_HISTORY ago, asks nothing: all these pauses count as a person's. Stores the result, and returns the
    campaigns of the page with it; None if the quota allows no request or the platform does not answer.
    """
    since = visit.stored.statuses_read_at
    ours = [row for row in page if row.paused_by_us and row.confirmed == Confirmed.PAUSED and row.enabled_at is None]
    judged: dict[int, StoredStatus] = {}
    for some in chunked(ours, QUESTIONS_A_REQUEST):
        moments: dict[int, datetime | None] = {row.campaign_id: at for row in some}
        if since is not None and since > at - LONGEST_HISTORY:
            changes = [Change(row.external_id, Confirmed.PAUSED) for row in some]
            told = _reported(visit, changes, since - EARLIER, at)
            if told is None:
                return None
            moments = {row.campaign_id: told[row.external_id].at for row in some if row.external_id in told}
        clear_up = partial(_clear_up, visit=visit, moments=moments, at=at, is_answered=True)
        judged |= claims.committed_by(visit, clear_up)
    return [judged.get(row.campaign_id, row) for row in page]


def _clear_up(
    connection: Connection, visit: Visit, moments: Mapping[int, datetime | None], at: datetime, *, is_answered: bool
) -> dict[int, StoredStatus]:
    current = rows.of_campaigns(connection, visit.stored.id, list(moments), at)
    within = clock.passed(claims.request_seconds())
    cleared = {
        name: steps.cleared_up(row, moments[name], within, is_answered=is_answered) for name, row in current.items()
    }
    rows.keep(connection, visit.stored.id, [row for name, row in cleared.items() if row != current[name]])
    return cleared


def name_overriders(visit: Visit, alerts: Sequence[StoredStatus], at: datetime) -> None:
    """Asks the platform who keeps enabling campaigns with a new alert; logs each campaign and stores the names."""
    changes = [Change(row.external_id, Confirmed.ENABLED) for row in alerts]
    names = names_in(who_changed(visit, changes, at - REPAUSE_WINDOW, at))
    for row in alerts:
        named = {"platform": visit.stored.platform, "brand_id": row.brand_id, "campaign_id": row.campaign_id}
        log.error("platform.overridden", by=names.get(row.external_id), **named)
    told = {row.campaign_id: names[row.external_id] for row in alerts if row.external_id in names}
    if told:
        claims.committed_by(visit, partial(_note_overriders, account=visit.stored.id, names=told, at=at))


def _note_overriders(connection: Connection, account: int, names: Mapping[int, str], at: datetime) -> None:
    current = rows.of_campaigns(connection, account, list(names), at)
    rows.keep(
        connection,
        account,
        [row._replace(last_error=f"{OVERRIDDEN}: {names[campaign_id]}") for campaign_id, row in current.items()],
    )


def names_in(changed: Mapping[str, Changed]) -> dict[str, str]:
    """The names of the people or programs that changed campaigns, by the platform's id of the campaign."""
    return {external_id: one.by for external_id, one in changed.items()}


def _printable(name: str) -> str:
    """The name as one line of at most NAME_LENGTH characters: platforms return texts that people typed."""
    return "".join(character for character in name if character.isprintable()).strip()[:NAME_LENGTH]
