"""Reconciles an account: reads its statuses, stores people's pauses as holds, and has due changes sent."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog
from more_itertools import chunked
from sqlalchemy import Connection

from app.decisions import announce
from app.enforcement import enforce
from app.platforms import change_authors, claims, quota, sending, steps, visits
from app.platforms.claims import ClaimLost, Visit
from app.platforms.kept_steps import keep_steps
from app.platforms.protocol import Change
from app.platforms.registry import account_of, adapter_of
from db.engine import transaction
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import lock_brands
from db.repository.platforms import connections, epochs
from db.repository.platforms import statuses as rows
from db.repository.platforms.connections import StoredConnection
from db.repository.platforms.statuses import StoredStatus
from domain.causes import Cause
from domain.errors import InvalidValue
from domain.reconcile import OVERRIDDEN, Action, Confirmed, HoldChange, platform_hold_change, reconcile, would_do
from runtime import clock

log = structlog.get_logger()

CAMPAIGNS_A_PAGE: Final = 2_000
"""Campaigns that one transaction compares with the platform's answer, at most."""

HOLDS_A_TRANSACTION: Final = 500
"""Campaigns whose hold is set or lifted in one transaction, at most."""

VISITS_A_MESSAGE: Final = 5
"""Visits (runs for one account) for one message, at most, while new decisions keep coming.

The next message, or the next minute, does the rest.
"""


class Page(NamedTuple):
    """Campaigns as compared with the platform's answer, and the ones with a new alert: somebody keeps enabling them."""

    rows: Sequence[StoredStatus]
    alerts: Sequence[StoredStatus]


class Planned(NamedTuple):
    """The action that mode `full` would take for a campaign, and the statuses behind it."""

    campaign_id: int
    external_id: str
    desired: str
    confirmed: str
    action: Action


def reconcile_account(account_id: int) -> None:
    """Brings the account's campaigns to their desired statuses. A failed request is stored, logged and not raised.

    Only one worker at a time does so for an account; the claim of a worker that died ends by itself. A decision that
    comes meanwhile is carried out by another visit right after.
    """
    for _ in range(VISITS_A_MESSAGE):
        stored = visits.stored_connection(account_id)
        visit = None if stored is None else claims.claimed(stored)
        if stored is None or visit is None:
            return
        try:
            _run(visit)
        except ClaimLost:
            log.info("platform.claim_lost", platform=stored.platform, platform_account_id=account_id)
        finally:
            is_wanted = claims.end(visit)
        if not is_wanted:
            return


def plan(account_id: int) -> list[Planned]:
    """Reads the account's statuses and returns the actions that mode `full` would take; changes nothing.

    Raises PlatformError, and InvalidValue if the account is not connected, its credentials cannot be read, or the quota
    allows no read.
    """
    with transaction() as connection:
        stored = connections.required_connection(connection, account_id)
    if not quota.reserve(stored.platform, 1):
        raise InvalidValue(
            "quota", "the quota of 24 hours is used up, except the part kept for pauses: try again later"
        )
    read = adapter_of(stored.platform).read_statuses(account_of(stored))
    at = clock.now()
    with transaction() as connection:
        found = [_observed(row, read, at) for row in rows.of_account(connection, account_id, at)]
    return [
        Planned(row.campaign_id, row.external_id, row.desired, row.confirmed, would_do(steps.facts_of(row, "full", at)))
        for row in found
    ]


def _run(visit: Visit) -> None:
    """Reads the account's statuses, sets and lifts holds, then sends pauses and enables.

    If the platform does not answer, sends only pauses, by the statuses read before. After a gap in the reads, enables
    nothing until the platform has reported who paused campaigns in the gap.
    """
    asked_at = clock.now()
    read = _read(visit)
    at = clock.now()
    if read is not None:
        visit.read_at = asked_at
    has_gap = read is not None and not _is_continued(visit)
    may_enable = read is not None
    for page in _compared_pages(visit, read, at):
        if read is not None:
            told = change_authors.cleared_up(visit, page.rows, at)
            after_gap = change_authors.judged_after_a_gap(visit, told, at) if has_gap else told
            may_enable = may_enable and after_gap is not None
            _respect_people(visit, told if after_gap is None else after_gap, at)
        change_authors.name_overriders(visit, page.alerts, at)
    if may_enable:
        claims.committed_by(visit, partial(_note_read, visit=visit, at=at))
    sending.send_changes(visit, may_enable=may_enable)


def _is_continued(visit: Visit) -> bool:
    """Whether the stored facts of the account are those of its last read: no restored backup, no mode `off` since."""
    with transaction() as connection:
        return epochs.is_continued(connection, visit.stored.id)


def _note_read(connection: Connection, visit: Visit, at: datetime) -> None:
    connections.note_statuses_read(connection, visit.stored.id, at)
    epochs.keep(connection, visit.stored.id)


def _read(visit: Visit) -> Mapping[str, Confirmed] | None:
    """Reads the statuses on the platform, by its ids of campaigns.

    None if the platform or the quota allows no read, or the read failed.
    """
    until = visit.stored.wait_until
    if (until is not None and until > clock.now()) or not _reserved(visit.stored):
        return None
    return visits.attempted(visit.stored, lambda: visit.platform.read_statuses(visit.account))


def _reserved(stored: StoredConnection) -> bool:
    """Books one read; returns whether the quota allows it.

    If the outcome of a pause is unknown, may use the part of the quota that is kept for pauses.
    """
    if quota.reserve(stored.platform, 1):
        return True
    with transaction() as connection:
        is_for_pause = rows.has_unanswered_pause(connection, stored.id)
    return is_for_pause and quota.reserve_of_pauses(stored.platform)


def _compared_pages(visit: Visit, read: Mapping[str, Confirmed] | None, at: datetime) -> Iterator[Page]:
    """Compares the account's campaigns with the platform's answer, stores those that differ, and yields all by pages.

    Commits each page. `read`: the answer, by the platform's ids; None: the platform was not read.
    """
    after = rows.FIRST
    while True:
        page = claims.committed_by(visit, partial(_compare, visit=visit, read=read, after=after, at=at))
        if page.rows:
            yield page
            after = page.rows[-1].key
        if len(page.rows) < CAMPAIGNS_A_PAGE:
            return


def _compare(
    connection: Connection, visit: Visit, read: Mapping[str, Confirmed] | None, after: tuple[int, int], at: datetime
) -> Page:
    found = rows.page(connection, visit.stored.id, at, after, CAMPAIGNS_A_PAGE)
    observed = [_observed(row, read, at) for row in found]
    alerts = [row._replace(last_error=OVERRIDDEN) for row in observed if _is_overridden(visit, row, at)]
    alerted = {row.key: row for row in alerts}
    compared = [alerted.get(row.key, row) for row in observed]
    changed = [(old, new) for old, new in zip(found, compared, strict=True) if new != old or not old.is_stored]
    keep_steps(connection, visit.stored.id, changed, at)
    return Page(compared, alerts)


def _observed(row: StoredStatus, read: Mapping[str, Confirmed] | None, at: datetime) -> StoredStatus:
    if read is None:
        return steps.unread(row, at)
    return steps.seen(row, read.get(row.external_id, Confirmed.REMOVED), at)


def _is_overridden(visit: Visit, row: StoredStatus, at: datetime) -> bool:
    """Whether somebody keeps enabling the campaign on the platform, and no alert says so yet."""
    is_alert = reconcile(steps.facts_of(row, visit.stored.mode, at)) is Action.ALERT
    return is_alert and not (row.last_error or "").startswith(OVERRIDDEN)


def _respect_people(visit: Visit, page: Sequence[StoredStatus], at: datetime) -> None:
    """Sets the hold `platform_paused` on campaigns that a person paused on the platform; lifts it if they are enabled.

    Before, asks the platform who made these changes.
    """
    for wanted in chunked(_holds_to_change(visit, page, at), HOLDS_A_TRANSACTION):
        asked = [Change(row.external_id, Confirmed.PAUSED if is_held else Confirmed.ENABLED) for row, is_held in wanted]
        names = change_authors.names_in(change_authors.who_changed(visit, asked, visit.stored.statuses_read_at, at))
        changes = claims.committed_by(visit, partial(_change_holds, visit=visit, wanted=wanted, names=names, at=at))
        announce(changes, Cause.PLATFORM)


def _holds_to_change(visit: Visit, page: Sequence[StoredStatus], at: datetime) -> Iterator[tuple[StoredStatus, bool]]:
    """The campaigns whose hold must change, each with whether it must be set."""
    for row in page:
        wanted = platform_hold_change(steps.facts_of(row, visit.stored.mode, at))
        if wanted is not HoldChange.NONE and (wanted is HoldChange.SET_HOLD) != row.is_held_there:
            yield row, wanted is HoldChange.SET_HOLD


def _change_holds(
    connection: Connection,
    visit: Visit,
    wanted: Sequence[tuple[StoredStatus, bool]],
    names: Mapping[str, str],
    at: datetime,
) -> list[DecidedChange]:
    """Changes the holds under the brands' locks and enforces the campaigns, in one transaction; returns the changes.

    Changes nothing if the account's mode changed since the visit began, and leaves out campaigns that have another
    external id now. `names`: who changed each campaign, by the platform's id of the campaign.
    """
    brand_ids = sorted({row.brand_id for row, _ in wanted})
    if not claims.keeps_mode(connection, visit):
        return []
    lock_brands(connection, brand_ids)
    present = rows.of_campaigns(connection, visit.stored.id, [row.campaign_id for row, _ in wanted], at)
    same = [
        (row, is_held)
        for row, is_held in wanted
        if row.campaign_id in present and present[row.campaign_id].external_id == row.external_id
    ]
    for row, is_held in sorted(same, key=lambda one: one[0].campaign_id):
        by = ":".join(filter(None, ("platform", visit.stored.platform, names.get(row.external_id))))
        if rows.set_hold(connection, row.brand_id, row.campaign_id, by, at, is_held=is_held):
            named = {"platform": visit.stored.platform, "brand_id": row.brand_id, "campaign_id": row.campaign_id}
            log.info("platform.hand", is_held=is_held, by=names.get(row.external_id), **named)
    return enforce(connection, brand_ids, Cause.PLATFORM, campaign_ids=[row.campaign_id for row, _ in wanted])
