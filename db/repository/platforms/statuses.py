"""Campaigns on their platforms: the desired status, the one confirmed there, and the last change sent."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

# The account's campaigns with the newest desired status, and the memory of the platform's.
CAMPAIGNS = text("""
    SELECT campaigns.brand_id, campaigns.id, external_id, effective_status,
        'platform_paused' = ANY(set_holds) AS is_held_there, change.id, change.changed_at,
        COALESCE(status.confirmed, 'unknown'), status.confirmed_at, COALESCE(status.paused_by_us, false),
        status.paused_change_id, status.sent, status.sent_at, COALESCE(status.may_be_applied, false),
        status.unconfirmed_since, COALESCE(status.attempts, 0), COALESCE(status.repaused_at, '{}'), status.last_error
    FROM campaigns
    LEFT JOIN platform_statuses AS status ON status.brand_id = campaigns.brand_id AND campaign_id = campaigns.id
    LEFT JOIN LATERAL (
        SELECT id, changed_at FROM status_changes WHERE campaign_id = campaigns.id ORDER BY id DESC LIMIT 1
    ) AS change ON true
    WHERE campaigns.platform_account_id = :account AND external_id IS NOT NULL AND enforced_at IS NOT NULL
    ORDER BY campaigns.brand_id, campaigns.id
""")

KEEP = text("""
    INSERT INTO platform_statuses AS known (brand_id, campaign_id, platform_account_id, desired, desired_change_id,
        desired_at, confirmed, confirmed_at, paused_by_us, paused_change_id, sent, sent_at, may_be_applied,
        unconfirmed_since, attempts, repaused_at, last_error)
    VALUES (:brand_id, :campaign_id, :account, :desired, :desired_change_id, :desired_at, :confirmed, :confirmed_at,
        :paused_by_us, :paused_change_id, :sent, :sent_at, :may_be_applied, :unconfirmed_since, :attempts,
        CAST(:repaused_at AS timestamptz[]), :last_error)
    ON CONFLICT (brand_id, campaign_id) DO UPDATE
    SET platform_account_id = excluded.platform_account_id, desired = excluded.desired,
        desired_change_id = excluded.desired_change_id, desired_at = excluded.desired_at,
        confirmed = excluded.confirmed, confirmed_at = excluded.confirmed_at, paused_by_us = excluded.paused_by_us,
        paused_change_id = excluded.paused_change_id, sent = excluded.sent, sent_at = excluded.sent_at,
        may_be_applied = excluded.may_be_applied, unconfirmed_since = excluded.unconfirmed_since,
        attempts = excluded.attempts, repaused_at = excluded.repaused_at, last_error = excluded.last_error
""")

SET_HOLD = text("SELECT set_platform_hold(:campaign_id, :is_held, :by, :at)")

STATUS_OF = text("""
    SELECT platform, mode, desired, desired_at, confirmed, confirmed_at, paused_by_us, unconfirmed_since, attempts,
        platform_statuses.last_error, statuses_read_at
    FROM platform_statuses
    JOIN platform_connections USING (platform_account_id)
    JOIN platform_accounts ON platform_accounts.id = platform_account_id
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id
""")


class StoredStatus(NamedTuple):
    """A campaign's newest desired status and the memory of its platform's. See db/models/platforms.py."""

    brand_id: int
    campaign_id: int
    external_id: str
    desired: str
    is_held_there: bool
    desired_change_id: int | None
    desired_at: datetime | None
    confirmed: str
    confirmed_at: datetime | None
    paused_by_us: bool
    paused_change_id: int | None
    sent: str | None
    sent_at: datetime | None
    may_be_applied: bool
    unconfirmed_since: datetime | None
    attempts: int
    repaused_at: Sequence[datetime]
    last_error: str | None


def of_account(connection: Connection, account: int) -> list[StoredStatus]:
    """The account's campaigns that enforcement has decided, by brand and id."""
    return [StoredStatus(*row) for row in connection.execute(CAMPAIGNS, {"account": account})]


def keep(connection: Connection, account: int, statuses: Iterable[StoredStatus]) -> None:
    """Stores the statuses, in key order so that two transactions cannot deadlock."""
    rows = [status._asdict() | {"account": account, "repaused_at": list(status.repaused_at)} for status in statuses]
    if rows:
        connection.execute(KEEP, sorted(rows, key=lambda row: (row["brand_id"], row["campaign_id"])))


def set_hold(connection: Connection, campaign_id: int, by: str, at: datetime, *, is_held: bool) -> bool:
    """Sets or lifts the hold `platform_paused` with an audit entry; returns whether that changed the campaign.

    The caller has locked the brand and enforces the campaign in the same commit.
    """
    values = {"campaign_id": campaign_id, "is_held": is_held, "by": by, "at": at}
    return bool(connection.execute(SET_HOLD, values).scalar_one())


def status_of(connection: Connection, brand_id: int, campaign_id: int) -> dict[str, Any] | None:
    """The campaign's desired and confirmed status; None if its account is not connected or was never read."""
    row = connection.execute(STATUS_OF, {"brand_id": brand_id, "campaign_id": campaign_id}).mappings().first()
    return None if row is None else dict(row)
