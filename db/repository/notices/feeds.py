"""Reads status changes and notices for an endpoint, and makes its deliveries."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.repository.notices.endpoints import Endpoint
from db.repository.shared.arrays import array_of

# The next status changes after the endpoint's position, in commit order.
CHANGES = text("""
    SELECT id, brand_id, campaign_id, to_status, holds_before, holds_after,
        CASE WHEN CAST(:needs_details AS boolean) THEN details END
    FROM status_changes
    WHERE id > :after AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
    ORDER BY id LIMIT :limit
""")

SUPERSEDE = text("""
    UPDATE webhook_deliveries SET state = 'superseded', settled_at = :at
    WHERE endpoint_id = :endpoint_id AND state = 'pending' AND type IN ('campaign.paused', 'campaign.activated')
        AND (CAST(:campaign_ids AS bigint[]) IS NULL OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))
""")

ADD_STATUSES = text("""
    INSERT INTO webhook_deliveries
        (endpoint_id, type, brand_id, campaign_id, status_change_id, urgency, next_attempt_at, created_at)
    SELECT CAST(:endpoint_id AS bigint), type, brand_id, campaign_id, change_id, urgency,
        CAST(:at AS timestamptz), CAST(:at AS timestamptz)
    FROM unnest(
        CAST(:types AS text[]), CAST(:brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]),
        CAST(:change_ids AS bigint[]), CAST(:urgencies AS smallint[])
    ) AS one(type, brand_id, campaign_id, change_id, urgency)
    ORDER BY change_id
    ON CONFLICT (endpoint_id, campaign_id)
        WHERE state = 'pending' AND type IN ('campaign.paused', 'campaign.activated') DO NOTHING
""")

ADD_ONCE = text("""
    INSERT INTO webhook_deliveries
        (endpoint_id, type, brand_id, campaign_id, status_change_id, key, body, next_attempt_at, created_at)
    VALUES (:endpoint_id, :type, :brand_id, :campaign_id, :status_change_id, :key, CAST(:body AS jsonb), :at, :at)
    ON CONFLICT (endpoint_id, key) DO NOTHING
""")

# Deliveries of the notices after the endpoint's position. No endpoint gets a notice about itself.
ADD_NOTICES = text("""
    INSERT INTO webhook_deliveries (endpoint_id, type, brand_id, notice_id, next_attempt_at, created_at)
    SELECT CAST(:endpoint_id AS bigint), kind, brand_id, id, CAST(:at AS timestamptz), CAST(:at AS timestamptz)
    FROM notices
    WHERE id > :after AND id <= :last AND kind = ANY(CAST(:types AS text[]))
        AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
        AND NOT (kind = 'endpoint.failing' AND body -> 'endpoint_id' = to_jsonb(CAST(:endpoint_id AS bigint)))
    ORDER BY id
""")

LAST_NOTICE = text("SELECT COALESCE(max(id), 0) FROM notices")

MOVE = text("""
    UPDATE webhook_endpoints
    SET after_change_id = :change_id, after_notice_id = :notice_id, feed_epoch = :epoch WHERE id = :id
""")


class Change(NamedTuple):
    """A status change to deliver. `details`: its figures; None if they were not asked for."""

    id: int
    brand_id: int
    campaign_id: int
    to_status: str
    holds_before: list[str]
    holds_after: list[str]
    details: dict[str, Any] | None


class Status(NamedTuple):
    """A delivery to make of a campaign's newest status change. `urgency`: 0 for pauses, which are sent first; or 1."""

    type: str
    urgency: int
    change: Change


def changes(connection: Connection, endpoint: Endpoint, limit: int, *, needs_details: bool) -> list[Change]:
    """At most `limit` status changes after the last one read for the endpoint, of its brands, in commit order.

    `needs_details`: reads the figures behind each change too, else they are None.
    """
    values = {"after": endpoint.after_change_id, "brand_id": endpoint.brand_id, "limit": limit}
    return [Change(*row) for row in connection.execute(CHANGES, values | {"needs_details": needs_details})]


def supersede(connection: Connection, endpoint_id: int, campaign_ids: Collection[int] | None, at: datetime) -> None:
    """Marks the pending deliveries of these campaigns' statuses as superseded.

    `campaign_ids` None: the pending status deliveries of all campaigns to the endpoint.
    """
    ids = None if campaign_ids is None else array_of(campaign_ids)
    connection.execute(SUPERSEDE, {"endpoint_id": endpoint_id, "campaign_ids": ids, "at": at})


def add_statuses(connection: Connection, endpoint_id: int, statuses: Sequence[Status], at: datetime) -> None:
    """Makes the deliveries, one for each campaign, in the order of their changes.

    Leaves out a campaign that has a pending delivery of its status.
    """
    changed = [status.change for status in statuses]
    values = {
        "endpoint_id": endpoint_id,
        "at": at,
        "types": array_of(status.type for status in statuses),
        "urgencies": array_of(status.urgency for status in statuses),
        "brand_ids": array_of(change.brand_id for change in changed),
        "campaign_ids": array_of(change.campaign_id for change in changed),
        "change_ids": array_of(change.id for change in changed),
    }
    connection.execute(ADD_STATUSES, values)


def add_once(
    connection: Connection,
    endpoint_id: int,
    message_type: str,
    key: str,
    change: Change,
    body: Mapping[str, Any],
    at: datetime,
) -> None:
    """Makes a delivery of `body`, unless the endpoint has or had one with this `key`.

    `change`: the status change that led to it.
    """
    values = {
        "endpoint_id": endpoint_id,
        "type": message_type,
        "key": key,
        "brand_id": change.brand_id,
        "campaign_id": body.get("campaign_id"),
        "status_change_id": change.id,
        "body": json.dumps(body),
        "at": at,
    }
    connection.execute(ADD_ONCE, values)


def add_notices(connection: Connection, endpoint: Endpoint, last: int, at: datetime) -> None:
    """Makes deliveries of the endpoint's next notices: after the last one read for it, up to the id `last`.

    Leaves out notices of types that the endpoint does not get, and notices about the endpoint itself.
    """
    values = {
        "last": last,
        "endpoint_id": endpoint.id,
        "after": endpoint.after_notice_id,
        "types": endpoint.types,
        "brand_id": endpoint.brand_id,
        "at": at,
    }
    connection.execute(ADD_NOTICES, values)


def last_notice(connection: Connection) -> int:
    """The largest id of a notice, 0 if there is none. Ids rise in commit order."""
    return int(connection.execute(LAST_NOTICE).scalar_one())


def move(connection: Connection, endpoint_id: int, change_id: int, notice_id: int, epoch: str | None) -> None:
    """Stores the ids of the last status change and the last notice that were read for the endpoint.

    `epoch`: the feed's epoch to which the id of the status change belongs; it changes when these ids start again, such
    as after a restored backup.
    """
    values = {"id": endpoint_id, "change_id": change_id, "notice_id": notice_id, "epoch": epoch}
    connection.execute(MOVE, values)
