"""Reads the webhook deliveries to send next, with the facts of their bodies, and stores their outcomes."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from db.repository.notices.delivery_facts import FACTS, SPREAD
from db.repository.shared.arrays import array_of
from db.repository.shared.deletions import ROWS_A_BATCH

ONE = text(f"{SPREAD.format(condition='delivery.id = :id')} {FACTS} WHERE delivery.id = :id")

_PENDING = """
    endpoint_id = :endpoint_id AND state = 'pending'
        AND (CAST(:is_probe AS boolean) OR next_attempt_at <= :at)
        AND delivery.id <> ALL(CAST(:in_flight AS bigint[]))
        AND (delivery.campaign_id IS NULL OR delivery.campaign_id <> ALL(CAST(:campaigns_in_flight AS bigint[])))
"""

_ORDER = "ORDER BY CASE WHEN CAST(:is_probe AS boolean) THEN attempts END, urgency, delivery.id"

# The deliveries that Citus looks at, in case replaced ones come first; those are superseded soon.
_LOOKED_AT = f"{_PENDING} {_ORDER} LIMIT 20 * :limit"

# Pending deliveries in the order of sending. A status that a newer change has replaced is left out, also if no delivery
# of the newer one was made yet: nobody gets an older state.
TAKE = text(f"""
    {SPREAD.format(condition=_LOOKED_AT)}
    {FACTS}
    WHERE {_PENDING} /*citus AND delivery.id IN (SELECT id FROM due) */
        AND (delivery.type NOT IN ('campaign.paused', 'campaign.activated') OR NOT EXISTS (
            SELECT FROM status_changes AS newer
            WHERE newer.campaign_id = delivery.campaign_id AND newer.id > delivery.status_change_id
        ))
    {_ORDER} LIMIT :limit
""")  # noqa: S608 - a constant, put together once

ADD_ATTEMPT = text("""
    INSERT INTO webhook_attempts (delivery_id, attempted_at, status, duration_ms, answer, error)
    SELECT id, :at, :status, :duration_ms, :answer, :error FROM webhook_deliveries WHERE id = :delivery_id
""")

# A superseded delivery that was in flight and arrived counts as delivered; one that failed stays superseded.
SETTLE = text("""
    UPDATE webhook_deliveries
    SET state = CAST(:state AS text), attempts = :attempts,
        next_attempt_at = COALESCE(CAST(:next_attempt_at AS timestamptz), next_attempt_at),
        settled_at = CASE WHEN CAST(:state AS text) <> 'pending' THEN CAST(:at AS timestamptz) END
    WHERE id = :delivery_id AND (state = 'pending' OR CAST(:state AS text) = 'delivered')
""")

# After a recovery nothing waits for its own retry.
RETRY_NOW = text("""
    UPDATE webhook_deliveries SET next_attempt_at = :at
    WHERE endpoint_id = :endpoint_id AND state = 'pending' AND next_attempt_at > :at
""")

FAIL_ALL = text("""
    UPDATE webhook_deliveries SET state = 'failed', settled_at = :at
    WHERE endpoint_id = :endpoint_id AND state = 'pending'
""")

# A test message is sent at once and never by a worker: it counts as failed until its answer is known.
ADD_TEST = text("""
    INSERT INTO webhook_deliveries
        (endpoint_id, type, brand_id, body, state, attempts, next_attempt_at, created_at, settled_at)
    VALUES (:endpoint_id, 'endpoint.test', :brand_id, '{}', 'failed', 1, :at, :at, :at)
    RETURNING id
""")

# Deliveries with their last attempt, newest first.
DELIVERIES = text("""
    SELECT delivery.id, endpoint_id, message_id, type, brand_id, campaign_id, status_change_id, notice_id, state,
        attempts, CASE WHEN state = 'pending' THEN next_attempt_at END AS next_attempt_at, delivery.created_at,
        settled_at, last.attempted_at, last.status, last.duration_ms, last.error
    FROM webhook_deliveries AS delivery
    LEFT JOIN LATERAL (
        SELECT attempted_at, status, duration_ms, error FROM webhook_attempts
        WHERE delivery_id = delivery.id ORDER BY id DESC LIMIT 1
    ) AS last ON true
    WHERE endpoint_id = :endpoint_id
        AND (CAST(:state AS text) IS NULL OR state = :state)
        AND (CAST(:before AS bigint) IS NULL OR delivery.id < :before)
    ORDER BY delivery.id DESC LIMIT :limit
""")

PRUNE = text("""
    DELETE FROM webhook_deliveries
    WHERE id IN (SELECT id FROM webhook_deliveries WHERE settled_at < :before LIMIT :limit)
""")

# Figures for metrics: deliveries by state, at most :most that wait and the latest :most that are settled; the oldest
# pause that is not delivered, which is the first of its endpoint; and endpoints that fail.
COUNTS_UP_TO = text("""
    SELECT state, count(*) FROM (
        (SELECT state FROM webhook_deliveries WHERE state = 'pending' LIMIT :most)
        UNION ALL
        (SELECT state FROM webhook_deliveries WHERE settled_at IS NOT NULL ORDER BY settled_at DESC LIMIT :most)
    ) AS some_of_them
    GROUP BY state
""")

OLDEST_PAUSE = text("""
    SELECT min(first.created_at) FROM webhook_endpoints CROSS JOIN LATERAL (
        SELECT created_at FROM webhook_deliveries
        WHERE endpoint_id = webhook_endpoints.id AND state = 'pending' AND urgency = 0 ORDER BY id LIMIT 1
    ) AS first
    WHERE enabled
""")

FAILING = text("SELECT count(*) FROM webhook_endpoints WHERE enabled AND failing_since IS NOT NULL")


STATES: Final = ("pending", "delivered", "superseded", "failed")


class Taken(NamedTuple):
    """A delivery to send, with the facts of its body: of its status change, its campaign and its brand, or its notice.

    `noticed_at`: when the notice was added, or else the delivery. `change_id` to `details` are None in a delivery
    without a status change, and fields of the campaign or brand in one without a campaign or brand.
    """

    id: int
    message_id: UUID
    type: str
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    brand_id: int | None
    campaign_id: int | None
    notice_id: int | None
    body: dict[str, Any] | None
    noticed_at: datetime
    change_id: int | None
    changed_at: datetime | None
    from_status: str | None
    to_status: str | None
    holds_before: list[str] | None
    holds_after: list[str] | None
    cause: str | None
    details: dict[str, Any] | None
    brand: str | None
    currency: str | None
    time_zone: str | None
    campaign: str | None
    platform: str | None
    external_id: str | None
    account: str | None
    starts_on: date | None
    ends_on: date | None
    configured_status: str | None
    effective_status: str | None
    holds: list[str] | None
    next_change_at: datetime | None


class Attempt(NamedTuple):
    """One HTTP request of a delivery. `status`: None if the endpoint did not answer. `error`: None after a 2xx.

    `answer`: the first 1,024 bytes of the response body as text, empty without an answer.
    """

    at: datetime
    status: int | None
    duration_ms: int
    answer: str
    error: str | None


def take(
    connection: Connection,
    endpoint_id: int,
    at: datetime,
    limit: int,
    in_flight: Collection[Taken] = (),
    *,
    is_probe: bool = False,
) -> list[Taken]:
    """The endpoint's next deliveries to send, at most `limit`, pauses first.

    Leaves out the deliveries `in_flight`, other deliveries of their campaigns, and statuses that a newer change has
    replaced. `is_probe`: also returns deliveries that are not due, and sorts by fewest attempts, then pauses first.
    """
    values = {
        "endpoint_id": endpoint_id,
        "at": at,
        "limit": limit,
        "in_flight": array_of(one.id for one in in_flight),
        "campaigns_in_flight": array_of(one.campaign_id for one in in_flight if one.campaign_id is not None),
        "is_probe": is_probe,
    }
    return [Taken(*row) for row in connection.execute(TAKE, values)]


def taken(connection: Connection, delivery_id: int) -> Taken:
    """The delivery with this id, whatever its state. Raises NoResultFound if there is none."""
    return Taken(*connection.execute(ONE, {"id": delivery_id}).one())


def note_attempt(connection: Connection, delivery_id: int, attempt: Attempt) -> None:
    """Stores one attempt, unless the delivery was removed."""
    connection.execute(ADD_ATTEMPT, attempt._asdict() | {"delivery_id": delivery_id})


def settle(
    connection: Connection,
    delivery_id: int,
    state: str,
    attempts: int,
    at: datetime,
    next_attempt_at: datetime | None = None,
) -> None:
    """Stores the delivery's state after an attempt.

    A delivery that is not pending any more can only become `delivered`. `attempts`: how many were made.
    `next_attempt_at`: the time of the next one for state `pending`, else None.
    """
    values = {"delivery_id": delivery_id, "state": state, "attempts": attempts, "at": at}
    connection.execute(SETTLE, values | {"next_attempt_at": next_attempt_at})


def retry_now(connection: Connection, endpoint_id: int, at: datetime) -> None:
    """Makes all pending deliveries of the endpoint due."""
    connection.execute(RETRY_NOW, {"endpoint_id": endpoint_id, "at": at})


def fail_all(connection: Connection, endpoint_id: int, at: datetime) -> None:
    """Marks the endpoint's pending deliveries as failed."""
    connection.execute(FAIL_ALL, {"endpoint_id": endpoint_id, "at": at})


def add_test(connection: Connection, endpoint_id: int, brand_id: int | None, at: datetime) -> int:
    """Stores a test message as failed until its answer is known, and returns its id.

    `brand_id`: the only brand of the endpoint; None: it gets webhooks of all brands.
    """
    return int(connection.execute(ADD_TEST, {"endpoint_id": endpoint_id, "brand_id": brand_id, "at": at}).scalar_one())


def deliveries(
    connection: Connection, endpoint_id: int, *, state: str | None = None, before: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """The endpoint's deliveries with an id below `before` (None: any), newest first, each with its last attempt.

    `state`: the only state; None: all states. Returns at most `limit`.
    """
    values = {"endpoint_id": endpoint_id, "state": state, "before": before, "limit": limit}
    return [dict(row) for row in connection.execute(DELIVERIES, values).mappings()]


def prune(connection: Connection, before: datetime) -> int:
    """Deletes at most ROWS_A_BATCH deliveries settled before that moment, with their attempts; returns how many."""
    return connection.execute(PRUNE, {"before": before, "limit": ROWS_A_BATCH}).rowcount


def counts_up_to(connection: Connection, most: int) -> dict[str, int]:
    """The number of deliveries by state, among at most `most` pending ones and the `most` that were settled last."""
    return {str(state): int(count) for state, count in connection.execute(COUNTS_UP_TO, {"most": most})}


def oldest_pause(connection: Connection) -> datetime | None:
    """When the oldest pending delivery of a pause to an enabled endpoint was made; None if there is none."""
    found: datetime | None = connection.scalar(OLDEST_PAUSE)
    return found


def failing(connection: Connection) -> int:
    """The number of enabled endpoints with a failed attempt since their last success."""
    return int(connection.execute(FAILING).scalar_one())
