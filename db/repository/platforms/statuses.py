"""Reads and stores campaigns' statuses on their platforms: the desired one, the confirmed one, the one sent last."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.local_settings import has_citus
from db.repository.platforms.wanted import FORMER_OWNER, WANTED
from db.repository.spread import platform_holds

NO_LIMIT: Final = 2**62
"""The value of the parameter `limit` that reads all rows."""

ROWS_A_PAGE: Final = 1_000
"""Rows that one query of `with_statuses` reads, at most."""

# Some of the account's campaigns, with the newest desired status and the memory of the platform's.
CAMPAIGNS = f"""
    SELECT campaign.brand_id, campaign.campaign_id, external_id, effective_status, is_held_there,
        COALESCE(former_change_id, own.id), COALESCE(former_changed_at, own.changed_at),
        COALESCE(confirmed, 'unknown'), confirmed_at, COALESCE(paused_by_us, false),
        paused_change_id, sent, sent_at, COALESCE(may_be_applied, false), unconfirmed_since,
        CASE WHEN desired_change_id IS NOT DISTINCT FROM COALESCE(former_change_id, own.id)
            THEN COALESCE(attempts, 0) ELSE 0 END,
        COALESCE(repaused_at, '{{{{}}}}'), last_error, enabled_at,
        COALESCE(desired = effective_status AND platform_account_id = :account
            AND desired_change_id IS NOT DISTINCT FROM COALESCE(former_change_id, own.id), false) AS is_stored
    FROM (
        SELECT campaigns.brand_id, campaigns.id AS campaign_id, external_id,
            {WANTED} AS effective_status, former_owner.campaign_id AS former_id,
            former_owner.change_id AS former_change_id, former_owner.changed_at AS former_changed_at,
            'platform_paused' = ANY(set_holds) AS is_held_there, status.platform_account_id, desired, desired_change_id,
            confirmed, confirmed_at, paused_by_us, paused_change_id, sent, sent_at, may_be_applied, unconfirmed_since,
            attempts, repaused_at, last_error, enabled_at
        FROM campaigns
        LEFT JOIN platform_statuses AS status
            ON status.brand_id = campaigns.brand_id AND status.campaign_id = campaigns.id
        {FORMER_OWNER}
        WHERE campaigns.platform_account_id = :account AND external_id IS NOT NULL AND enforced_at IS NOT NULL
            AND {{condition}}
        /*plain*/ ORDER BY campaigns.brand_id, campaigns.id LIMIT :limit /*end*/
    ) AS campaign
    LEFT JOIN LATERAL (
        SELECT id, changed_at FROM status_changes
        WHERE status_changes.campaign_id = campaign.campaign_id
            /*citus AND status_changes.brand_id = campaign.brand_id */
        ORDER BY id DESC LIMIT 1
    ) AS own ON former_id IS NULL
    ORDER BY campaign.brand_id, campaign.campaign_id /*citus LIMIT :limit */
"""  # noqa: S608 - a constant, put together once

AFTER = "(campaigns.brand_id, campaigns.id) > (:after_brand, :after_campaign)"

PAGE = text(CAMPAIGNS.format(condition=AFTER))

OF_CAMPAIGNS = text(CAMPAIGNS.format(condition="campaigns.id = ANY(CAST(:campaign_ids AS bigint[]))"))

# Campaigns with this desired and this confirmed status. Those whose last answer is unknown are left out, unless the
# platform cannot be read.
WITH_STATUSES = text(
    CAMPAIGNS.format(
        condition=f"{AFTER} AND {WANTED} = :desired"
        " AND (confirmed = :confirmed AND NOT may_be_applied OR may_be_applied AND CAST(:is_unread AS boolean))"
    )
)

# Writes nothing if the campaign has another external id meanwhile, because the row is the memory of the old id.
# The lock makes an edit of the id wait for this transaction, and this statement wait for such an edit.
KEEP = text("""
    INSERT INTO platform_statuses AS known (brand_id, campaign_id, platform_account_id, desired, desired_change_id,
        desired_at, confirmed, confirmed_at, paused_by_us, paused_change_id, sent, sent_at, may_be_applied,
        unconfirmed_since, attempts, repaused_at, last_error, enabled_at)
    SELECT brand_id, id, platform_account_id, :desired, CAST(:desired_change_id AS bigint),
        CAST(:desired_at AS timestamptz), :confirmed, CAST(:confirmed_at AS timestamptz), :paused_by_us,
        CAST(:paused_change_id AS bigint), CAST(:sent AS text), CAST(:sent_at AS timestamptz), :may_be_applied,
        CAST(:unconfirmed_since AS timestamptz), CAST(:attempts AS integer), CAST(:repaused_at AS timestamptz[]),
        CAST(:last_error AS text), CAST(:enabled_at AS timestamptz)
    FROM campaigns
    WHERE brand_id = :brand_id AND id = :campaign_id AND platform_account_id = :account AND external_id = :external_id
    FOR KEY SHARE
    ON CONFLICT (brand_id, campaign_id) DO UPDATE
    SET platform_account_id = excluded.platform_account_id, desired = excluded.desired,
        desired_change_id = excluded.desired_change_id, desired_at = excluded.desired_at,
        confirmed = excluded.confirmed, confirmed_at = excluded.confirmed_at, paused_by_us = excluded.paused_by_us,
        paused_change_id = excluded.paused_change_id, sent = excluded.sent, sent_at = excluded.sent_at,
        may_be_applied = excluded.may_be_applied, unconfirmed_since = excluded.unconfirmed_since,
        attempts = excluded.attempts, repaused_at = excluded.repaused_at, last_error = excluded.last_error,
        enabled_at = excluded.enabled_at
""")

UNANSWERED_PAUSE = text("""
    SELECT FROM platform_statuses
    WHERE platform_account_id = :account AND may_be_applied AND sent = 'paused' LIMIT 1
""")

# Whether Spendgate paused the campaign on its platform, or may have.
PAUSED_BY_US = text("""
    SELECT paused_by_us AND (confirmed = 'paused' OR may_be_applied) FROM platform_statuses
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id
""")

SET_HOLD = text("SELECT set_platform_hold(:campaign_id, :is_held, :by, :at)")


class StoredStatus(NamedTuple):
    """A campaign's newest desired status, and its row of `platform_statuses`, described in db/models/platforms.py.

    `is_held_there`: the campaign has the hold `platform_paused`. `is_stored`: the row exists, for this account, and has
    this desired status and its change.
    """

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
    enabled_at: datetime | None
    is_stored: bool

    @property
    def key(self) -> tuple[int, int]:
        """(brand id, campaign id): the order of campaigns in pages."""
        return self.brand_id, self.campaign_id


FIRST: Final = (0, 0)
"""A (brand id, campaign id) below that of every campaign: with it, the first page is read."""


def page(connection: Connection, account: int, at: datetime, after: tuple[int, int], limit: int) -> list[StoredStatus]:
    """One page of the account's enforced campaigns with an external id: at most `limit`, in order, keys above `after`.

    The keys are (brand id, campaign id). `at`: the present time; a campaign that owns the external id until a later day
    decides the desired status.
    """
    values = {"account": account, "at": at, "after_brand": after[0], "after_campaign": after[1], "limit": limit}
    return [StoredStatus(*row) for row in connection.execute(PAGE, values)]


def of_account(connection: Connection, account: int, at: datetime) -> list[StoredStatus]:
    """All enforced campaigns of the account with an external id, in the order of brand ids and campaign ids.

    `at`: the present time; a campaign that owns the external id until a later day decides the desired status.
    """
    return page(connection, account, at, FIRST, NO_LIMIT)


def of_campaigns(
    connection: Connection, account: int, campaign_ids: Sequence[int], at: datetime
) -> dict[int, StoredStatus]:
    """The statuses of the campaigns among these ids that are in the account, by campaign id.

    `at`: the present time; a campaign that owns the external id until a later day decides the desired status. Leaves
    out campaigns without an external id and campaigns that were never enforced.
    """
    values = {"account": account, "at": at, "campaign_ids": list(campaign_ids), "limit": NO_LIMIT}
    rows = (StoredStatus(*row) for row in connection.execute(OF_CAMPAIGNS, values))
    return {row.campaign_id: row for row in rows}


def with_statuses(
    connection: Connection, account: int, desired: str, confirmed: str, at: datetime, *, is_unread: bool = False
) -> Iterator[StoredStatus]:
    """Yields the account's enforced campaigns with this desired and this confirmed status, by brand id and campaign id.

    `at`: the present time; a campaign that owns the external id until a later day decides the desired status. Leaves
    out campaigns whose last sent change has an unknown outcome. With `is_unread` (the platform cannot be read) yields
    these campaigns too, if they have this desired status, with any confirmed status.
    """
    after: tuple[int, int] | None = FIRST
    wanted = {"account": account, "at": at, "desired": desired, "confirmed": confirmed, "is_unread": is_unread}
    while after is not None:
        values = wanted | {"after_brand": after[0], "after_campaign": after[1], "limit": ROWS_A_PAGE}
        found = connection.execute(WITH_STATUSES, values).all()
        rows = [StoredStatus(*row) for row in found]
        yield from rows
        after = rows[-1].key if len(rows) == ROWS_A_PAGE else None


def keep(connection: Connection, account: int, statuses: Iterable[StoredStatus]) -> None:
    """Stores the statuses, in key order so that two transactions cannot deadlock.

    Leaves out campaigns that no longer have the external id of their status.
    """
    rows = [status._asdict() | {"account": account, "repaused_at": list(status.repaused_at)} for status in statuses]
    if rows:
        connection.execute(KEEP, sorted(rows, key=lambda row: (row["brand_id"], row["campaign_id"])))


def has_unanswered_pause(connection: Connection, account: int) -> bool:
    """Whether the outcome of a pause in the account is unknown."""
    return connection.execute(UNANSWERED_PAUSE, {"account": account}).first() is not None


def carry(connection: Connection, account: int, known: StoredStatus | None, brand_id: int, campaign_id: int) -> None:
    """Copies the stored status of an external id to the campaign that it moved to.

    `known`: the former campaign's status, read before the move; stores nothing if it is None, or if its status on the
    platform is unknown and no change was ever sent.
    """
    if known is not None and (known.confirmed != "unknown" or known.sent is not None):
        keep(connection, account, [known._replace(brand_id=brand_id, campaign_id=campaign_id)])


def is_paused_by_us(connection: Connection, brand_id: int, campaign_id: int) -> bool:
    """Whether a pause sent by Spendgate is in force for the campaign on its platform, or may be."""
    return bool(connection.scalar(PAUSED_BY_US, {"brand_id": brand_id, "campaign_id": campaign_id}))


def set_hold(connection: Connection, brand_id: int, campaign_id: int, by: str, at: datetime, *, is_held: bool) -> bool:
    """Sets (`is_held`) or lifts the hold `platform_paused` with an audit entry; returns whether the campaign changed.

    The caller has locked the brand and enforces the campaign in the same commit. `by`: such as `platform:meta`;
    DBAPIError is raised if it does not begin with `platform:`. The entry has the database's time, not `at`. If the
    campaign has no row in `platform_statuses`, DBAPIError is raised; on Citus nothing is changed.
    """
    if has_citus(connection):
        return platform_holds.set_hold(connection, brand_id, campaign_id, by, at, is_held=is_held)
    values = {"campaign_id": campaign_id, "is_held": is_held, "by": by, "at": at}
    return bool(connection.execute(SET_HOLD, values).scalar_one())
