"""Lists attempts of webhook deliveries, for people and programs."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, text

ATTEMPTS = text("""
    SELECT webhook_attempts.id, delivery_id, type, campaign_id, state, attempted_at, status, duration_ms, answer, error
    FROM webhook_attempts JOIN webhook_deliveries ON webhook_deliveries.id = delivery_id
    WHERE endpoint_id = :endpoint_id
        AND (CAST(:delivery_id AS bigint) IS NULL OR delivery_id = :delivery_id)
        AND (CAST(:before AS bigint) IS NULL OR webhook_attempts.id < :before)
    ORDER BY webhook_attempts.id DESC LIMIT :limit
""")

# The last :each attempts of each endpoint.
LAST_ATTEMPTS = text("""
    SELECT endpoint_id, tried.* FROM unnest(CAST(:endpoint_ids AS bigint[])) AS asked (endpoint_id)
    CROSS JOIN LATERAL (
        SELECT webhook_attempts.id, delivery_id, type, campaign_id, attempted_at, status, duration_ms, answer, error
        FROM webhook_attempts JOIN webhook_deliveries ON webhook_deliveries.id = delivery_id
        WHERE webhook_deliveries.endpoint_id = asked.endpoint_id
        ORDER BY webhook_attempts.id DESC LIMIT :each
    ) AS tried
    ORDER BY endpoint_id, tried.id DESC
""")


def attempts(
    connection: Connection,
    endpoint_id: int,
    *,
    delivery_id: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """At most `limit` attempts of the endpoint with an id below `before` (None: any), newest first.

    `delivery_id`: only attempts of this delivery; None: of all deliveries.
    """
    values = {"endpoint_id": endpoint_id, "delivery_id": delivery_id, "before": before, "limit": limit}
    return [dict(row) for row in connection.execute(ATTEMPTS, values).mappings()]


def last_attempts(connection: Connection, endpoint_ids: Iterable[int], each: int) -> dict[int, list[dict[str, Any]]]:
    """At most `each` last attempts of each endpoint, newest first, by endpoint id; without attempts it is left out."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    values = {"endpoint_ids": list(endpoint_ids), "each": each}
    for row in connection.execute(LAST_ATTEMPTS, values).mappings():
        found[row["endpoint_id"]].append(dict(row))
    return found
