"""Reads endpoints of webhooks and which have something to send; stores which worker sends, and how requests went."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from domain.errors import NotFound
from domain.notices.retries import OPEN_AFTER

FIELDS: Final = """
    id, brand_id, url, types, description, secret, previous_secret, previous_secret_until, enabled, disabled_because,
    after_change_id, feed_epoch, after_notice_id, failures, failing_since, wait_until, created_at
"""

ENDPOINT = text(f"SELECT {FIELDS} FROM webhook_endpoints WHERE id = :id")  # noqa: S608 - a constant

LOCKED = text(f"SELECT {FIELDS} FROM webhook_endpoints WHERE id = :id FOR NO KEY UPDATE")  # noqa: S608 - a constant

ENDPOINTS = text(f"""
    SELECT {FIELDS} FROM webhook_endpoints
    WHERE id > :after AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
    ORDER BY id LIMIT :limit
""")  # noqa: S608 - a constant, put together once

# Citus first reads the newest status change of each brand with an endpoint, and of all. Its time counts as long ago.
_NEWEST_CHANGES: Final = """
    /*citus WITH of_brands AS MATERIALIZED (
        SELECT brands.id AS brand_id, newest.id FROM brands CROSS JOIN LATERAL (
            SELECT id FROM status_changes WHERE status_changes.brand_id = brands.id ORDER BY id DESC LIMIT 1
        ) AS newest
        WHERE brands.id IN (SELECT brand_id FROM webhook_endpoints WHERE enabled)
    ), status_changes AS MATERIALIZED (
        SELECT brand_id, id, CAST('-infinity' AS timestamptz) AS changed_at FROM of_brands
        UNION ALL
        SELECT NULL, max(id), CAST('-infinity' AS timestamptz) FROM status_changes
    ) */
"""

# Free endpoints that may get a request and have a delivery to send, or status changes or notices still to read. The
# endpoint of a quiet brand has an old position: CASE lets an index find that brand's changes alone.
DUE = text(f"""
    {_NEWEST_CHANGES}
    SELECT endpoint.id FROM webhook_endpoints AS endpoint
    WHERE enabled AND COALESCE(claimed_until, '-infinity') <= :at AND COALESCE(wait_until, '-infinity') <= :at
        AND (CAST(:id AS bigint) IS NULL OR endpoint.id = :id) AND (
            EXISTS (
                SELECT FROM webhook_deliveries
                WHERE endpoint_id = endpoint.id AND state = 'pending'
                    AND (next_attempt_at <= :at OR failures >= :open_after)
            )
            OR feed_epoch IS NULL
            OR types && CAST(:of_changes AS text[]) AND CASE
                WHEN endpoint.brand_id IS NULL
                THEN EXISTS (SELECT FROM status_changes WHERE status_changes.id > after_change_id)
                ELSE EXISTS (
                    SELECT FROM status_changes
                    WHERE status_changes.brand_id = endpoint.brand_id AND status_changes.id > after_change_id
                )
            END
            OR EXISTS (
                SELECT FROM notices
                WHERE notices.id > after_notice_id AND kind = ANY(types)
                    AND (endpoint.brand_id IS NULL OR notices.brand_id = endpoint.brand_id)
            )
        )
    ORDER BY failures, endpoint.id
""")  # noqa: S608 - a constant, put together once

# Endpoints that no worker has claimed, and that get no request before a later moment or whose next status change is
# older than :unread_since, because workers are busy. Over several servers, any change that is not read counts.
WAITING = text(f"""
    {_NEWEST_CHANGES}
    SELECT endpoint.id FROM webhook_endpoints AS endpoint
    WHERE enabled AND COALESCE(claimed_until, '-infinity') <= :at AND (
        wait_until > :at
        OR types && CAST(:of_changes AS text[]) AND CASE
            WHEN endpoint.brand_id IS NULL
            THEN (SELECT changed_at FROM status_changes WHERE id > after_change_id ORDER BY id LIMIT 1)
            ELSE (
                SELECT changed_at FROM status_changes
                WHERE status_changes.brand_id = endpoint.brand_id AND status_changes.id > after_change_id
                ORDER BY status_changes.id LIMIT 1
            )
        END <= :unread_since
    )
    ORDER BY endpoint.id
""")  # noqa: S608 - a constant, put together once

BRANDS_WITH_ENDPOINTS = text("""
    SELECT DISTINCT brand_id FROM webhook_endpoints WHERE enabled AND types && CAST(:of_changes AS text[])
""")

# The next moment at which a pending delivery of the endpoint may be sent.
NEXT_DUE = text("""
    SELECT greatest(
        wait_until,
        CASE WHEN failures < :open_after THEN (
            SELECT min(next_attempt_at) FROM webhook_deliveries WHERE endpoint_id = :id AND state = 'pending'
        ) END
    )
    FROM webhook_endpoints
    WHERE id = :id AND enabled
        AND EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = :id AND state = 'pending')
""")

CLAIM = text(f"""
    UPDATE webhook_endpoints SET claimed_by = :by, claimed_until = :until
    WHERE id = :id AND enabled AND COALESCE(claimed_until, '-infinity') <= :at
        AND COALESCE(wait_until, '-infinity') <= :at
    RETURNING {FIELDS}
""")  # noqa: S608 - a constant, put together once

# Locks the row, so that no other worker claims the endpoint before this transaction ends.
PROLONG = text(f"""
    UPDATE webhook_endpoints SET claimed_until = :until WHERE id = :id AND claimed_by = :by AND enabled
    RETURNING {FIELDS}
""")  # noqa: S608 - a constant, put together once

END_CLAIM = text("""
    UPDATE webhook_endpoints SET claimed_by = NULL, claimed_until = NULL WHERE id = :id AND claimed_by = :by
""")

NOTE_SUCCESS = text("""
    UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, wait_until = NULL
    WHERE id = :id AND (failures > 0 OR wait_until IS NOT NULL)
""")

NOTE_FAILURE = text("""
    UPDATE webhook_endpoints
    SET failures = failures + 1, failing_since = COALESCE(failing_since, CAST(:at AS timestamptz))
    WHERE id = :id RETURNING failures
""")

WAIT = text("""
    UPDATE webhook_endpoints SET wait_until = greatest(wait_until, CAST(:until AS timestamptz)) WHERE id = :id
""")

DISABLE = text("""
    UPDATE webhook_endpoints
    SET enabled = false, disabled_because = :because, failures = greatest(failures, 1),
        failing_since = COALESCE(failing_since, CAST(:at AS timestamptz))
    WHERE id = :id AND enabled
""")

# Endpoints with a pause that was decided before :before and is not delivered, without a report of it yet.
UNREPORTED = text("""
    SELECT endpoint.id, endpoint.brand_id, description, failing_since, oldest.campaign_id,
        oldest.brand_id AS of_brand_id, oldest.status_change_id, oldest.created_at AS undelivered_since
    FROM webhook_endpoints AS endpoint
    CROSS JOIN LATERAL (
        SELECT campaign_id, webhook_deliveries.brand_id, status_change_id, created_at FROM webhook_deliveries
        WHERE endpoint_id = endpoint.id AND state = 'pending' AND urgency = 0 AND created_at <= :before
        ORDER BY id LIMIT 1
    ) AS oldest
    WHERE enabled AND told_failing_at IS NULL
    ORDER BY endpoint.id
    FOR NO KEY UPDATE OF endpoint SKIP LOCKED
""")

NOTE_REPORTED = text("UPDATE webhook_endpoints SET told_failing_at = :at WHERE id = :id")

# Endpoints that took their last message, and whose overdue pauses are all settled, may be reported again.
FORGET_REPORTED = text("""
    UPDATE webhook_endpoints SET told_failing_at = NULL
    WHERE told_failing_at IS NOT NULL AND failing_since IS NULL AND NOT EXISTS (
        SELECT FROM webhook_deliveries
        WHERE endpoint_id = webhook_endpoints.id AND state = 'pending' AND urgency = 0 AND created_at <= :before
    )
""")


class Endpoint(NamedTuple):
    """An endpoint's row, as `WebhookEndpoint` of db/models/webhooks.py describes it. Its secrets are encrypted.

    `brand_id` None: it gets the messages of all brands.
    """

    id: int
    brand_id: int | None
    url: str
    types: list[str]
    description: str
    secret: str
    previous_secret: str | None
    previous_secret_until: datetime | None
    enabled: bool
    disabled_because: str | None
    after_change_id: int
    feed_epoch: str | None
    after_notice_id: int
    failures: int
    failing_since: datetime | None
    wait_until: datetime | None
    created_at: datetime


class Undelivered(NamedTuple):
    """An endpoint's oldest pause that is not delivered.

    `id`, `brand_id`: of the endpoint; `brand_id` None: it gets messages of all brands. `of_brand_id`: of the campaign.
    `failing_since` None: no request has failed since the last success.
    """

    id: int
    brand_id: int | None
    description: str
    failing_since: datetime | None
    campaign_id: int
    of_brand_id: int
    status_change_id: int
    undelivered_since: datetime


def endpoint_of(connection: Connection, endpoint_id: int) -> Endpoint | None:
    """The endpoint with this id; None if there is none."""
    row = connection.execute(ENDPOINT, {"id": endpoint_id}).first()
    return None if row is None else Endpoint(*row)


def locked(connection: Connection, endpoint_id: int) -> Endpoint | None:
    """Locks the endpoint's row until the transaction ends and returns the endpoint; None if there is none."""
    row = connection.execute(LOCKED, {"id": endpoint_id}).first()
    return None if row is None else Endpoint(*row)


def required_endpoint(
    connection: Connection, endpoint_id: int, only_brand_id: int | None = None, *, locks: bool = False
) -> Endpoint:
    """The endpoint with this id. Raises InvalidValue for an unknown one, and for one that is not of `only_brand_id`.

    `locks`: locks its row until the transaction ends. `only_brand_id` None: of any brand.
    """
    found = (locked if locks else endpoint_of)(connection, endpoint_id)
    if found is None or only_brand_id not in {None, found.brand_id}:
        raise NotFound("webhook", f"there is no webhook endpoint {endpoint_id}")
    return found


def endpoints(
    connection: Connection, *, after: int = 0, limit: int = 1_000, only_brand_id: int | None = None
) -> list[Endpoint]:
    """One page of endpoints in id order. `only_brand_id`: only endpoints of this brand; None: all."""
    values = {"after": after, "limit": limit, "only_brand_id": only_brand_id}
    return [Endpoint(*row) for row in connection.execute(ENDPOINTS, values)]


def due(connection: Connection, of_changes: list[str], at: datetime, endpoint_id: int | None = None) -> list[int]:
    """The ids of endpoints without a worker's claim that may get a request at `at`, the fewest failures first.

    Each has a delivery to send, or status changes or notices of which no deliveries were made yet. `of_changes`: the
    message types made from status changes. `endpoint_id`: only this endpoint; None: all.
    """
    values = {"of_changes": of_changes, "at": at, "open_after": OPEN_AFTER, "id": endpoint_id}
    return list(connection.scalars(DUE, values))


def waiting(connection: Connection, of_changes: list[str], at: datetime, unread_since: datetime) -> list[int]:
    """The ids, in order, of enabled endpoints without a worker's claim that have to wait at `at`.

    They may get no request yet, after failures or by their Retry-After; or all workers are busy, so that a status
    change made before `unread_since` was not read for them. `of_changes`: the message types made from status changes.
    """
    return list(connection.scalars(WAITING, {"of_changes": of_changes, "at": at, "unread_since": unread_since}))


def brands_with_endpoints(connection: Connection, of_changes: list[str]) -> frozenset[int | None]:
    """The ids of brands whose status changes enabled endpoints get, with None if an endpoint gets those of all brands.

    `of_changes`: the message types made from status changes.
    """
    return frozenset(connection.scalars(BRANDS_WITH_ENDPOINTS, {"of_changes": of_changes}))


def next_due(connection: Connection, endpoint_id: int) -> datetime | None:
    """When the endpoint's next pending delivery may be sent; None if it has none or is disabled."""
    found: datetime | None = connection.scalar(NEXT_DUE, {"id": endpoint_id, "open_after": OPEN_AFTER})
    return found


def claim(connection: Connection, endpoint_id: int, by: UUID, at: datetime, until: datetime) -> Endpoint | None:
    """Claims the endpoint for the worker `by` until `until` and returns it.

    None if another worker's claim is in force at `at`, or the endpoint is disabled or may get no request then.
    """
    row = connection.execute(CLAIM, {"id": endpoint_id, "by": by, "at": at, "until": until}).first()
    return None if row is None else Endpoint(*row)


def prolong(connection: Connection, endpoint_id: int, by: UUID, until: datetime) -> Endpoint | None:
    """Moves the end of the claim of the worker `by` to `until`, locks the endpoint and returns it.

    None if the claim was lost or the endpoint was disabled.
    """
    row = connection.execute(PROLONG, {"id": endpoint_id, "by": by, "until": until}).first()
    return None if row is None else Endpoint(*row)


def end_claim(connection: Connection, endpoint_id: int, by: UUID) -> None:
    """Ends the claim of the worker `by` to the endpoint; does nothing if another worker has claimed it since."""
    connection.execute(END_CLAIM, {"id": endpoint_id, "by": by})


def note_success(connection: Connection, endpoint_id: int) -> None:
    """Sets the endpoint's failures to 0, which closes its circuit, and lets it get requests at once."""
    connection.execute(NOTE_SUCCESS, {"id": endpoint_id})


def note_failure(connection: Connection, endpoint_id: int, at: datetime) -> int:
    """Counts a failed first attempt of a delivery, or a failed probe, and stores since when the endpoint fails.

    Returns the failures since the last success; 0 if the endpoint is gone.
    """
    return int(connection.scalar(NOTE_FAILURE, {"id": endpoint_id, "at": at}) or 0)


def wait(connection: Connection, endpoint_id: int, until: datetime) -> None:
    """Stores that the endpoint gets no request before `until`, or before a later time stored already."""
    connection.execute(WAIT, {"id": endpoint_id, "until": until})


def disable(connection: Connection, endpoint_id: int, because: str, at: datetime) -> bool:
    """Disables an enabled endpoint for this reason at `at`; returns whether it was enabled."""
    return connection.execute(DISABLE, {"id": endpoint_id, "because": because, "at": at}).rowcount > 0


def unreported(connection: Connection, before: datetime) -> list[Undelivered]:
    """Locks and returns enabled endpoints with a pause that is undelivered since `before` or longer.

    Leaves out endpoints whose failing was reported already, and endpoints whose row another transaction has locked.
    """
    return [Undelivered(*row) for row in connection.execute(UNREPORTED, {"before": before})]


def note_reported(connection: Connection, endpoint_id: int, at: datetime) -> None:
    """Stores when people were told that the endpoint fails, so that they are told once."""
    connection.execute(NOTE_REPORTED, {"id": endpoint_id, "at": at})


def forget_reported(connection: Connection, before: datetime) -> None:
    """Clears the report of endpoints whose last request succeeded and that have no pause undelivered since `before`.

    The next undelivered pause of such an endpoint is then reported again.
    """
    connection.execute(FORGET_REPORTED, {"before": before})
