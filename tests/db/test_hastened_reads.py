"""The search for accounts whose limits or campaigns changed, each minute, reads no whole history of a brand."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from db.repository.platforms.reads import HASTEN
from tests.citus import Limit
from tests.world import World

FILL = (
    "INSERT INTO brands (name) SELECT 'Brand ' || number FROM generate_series(1, 20) AS number",
    "INSERT INTO platform_accounts (platform, account_id) SELECT 'google_ads', id::text FROM brands",
    """
    INSERT INTO platform_account_brands (platform_account_id, brand_id)
    SELECT id, account_id::bigint FROM platform_accounts
    """,
    """
    INSERT INTO platform_connections (platform_account_id, mode, credentials, last_read_at, next_read_at)
    SELECT id, 'full', 'env:KEY', now(), now() + interval '1 hour' FROM platform_accounts
    """,
    """
    INSERT INTO campaigns (brand_id, name, platform, external_id)
    SELECT 1 + mod(number, 20), 'c', 'google_ads', number::text FROM generate_series(1, 2000) AS number
    """,
    """
    INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
    SELECT brand_id, id, 'daily', number, now() - number * interval '1 hour'
    FROM campaigns CROSS JOIN generate_series(1, 20) AS number
    """,
)


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_search_for_changed_limits_reads_those_since_the_last_read_alone(world: World) -> None:
    from db.engine import transaction  # noqa: PLC0415 - after the environment is set
    from runtime import clock  # noqa: PLC0415

    for statement in FILL:
        world.execute(statement)
    world.execute("ANALYZE")
    at = clock.now()
    moments = {"changed_before": at, "soon": at, "retry_at": at, "limit_at": at + timedelta(minutes=5)}
    with transaction() as connection:
        explain = text(f"EXPLAIN {HASTEN.text}")
        plan = "\n".join(connection.scalars(explain, {"platform": "google_ads", "at": at, **moments}))
    assert "ix_budget_limits_brand_id_changed_at" in plan
