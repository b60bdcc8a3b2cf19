"""The search for unconfirmed pauses, each minute, reads neither all campaigns nor all statuses of platforms."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from db.repository.alerts import troubles
from tests.citus import Limit
from tests.world import World

FILL = (
    "INSERT INTO brands (name) SELECT 'Brand ' || number FROM generate_series(1, 20) AS number",
    "INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '1')",
    "INSERT INTO platform_account_brands (platform_account_id, brand_id) SELECT 1, id FROM brands",
    """
    INSERT INTO platform_connections (platform_account_id, mode, credentials, statuses_read_at)
    VALUES (1, 'full', 'env:KEY', now())
    """,
    """
    INSERT INTO campaigns (brand_id, name, enforced_at, platform, external_id, platform_account_id, holds,
        effective_status)
    SELECT 1 + mod(number, 20), 'c', now(), 'google_ads', number::text, 1,
        CASE WHEN mod(number, 2) = 0 THEN '{}' ELSE '{user_paused}'::text[] END,
        CASE WHEN mod(number, 2) = 0 THEN 'active' ELSE 'inactive' END
    FROM generate_series(1, 20000) AS number
    """,
    """
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause)
    SELECT brand_id, id, now() - CASE id WHEN 4713 THEN interval '2 minutes' ELSE interval '1 hour' END,
        'active', 'inactive', '{}', '{user_paused}', 'edit'
    FROM campaigns WHERE effective_status = 'inactive'
    """,
    """
    INSERT INTO platform_statuses (brand_id, campaign_id, platform_account_id, desired, confirmed)
    SELECT brand_id, id, 1, effective_status, CASE effective_status WHEN 'active' THEN 'enabled' ELSE 'paused' END
    FROM campaigns
    """,
)
UNCONFIRMED = 4_711
UNSEEN = 4_713


@pytest.fixture
def many(world: World) -> World:
    """Half of the campaigns are stopped; of one the platform says otherwise, and one was stopped after the read."""
    for statement in FILL:
        world.execute(statement)
    world.execute("UPDATE platform_statuses SET confirmed = 'enabled' WHERE campaign_id = %s", UNCONFIRMED)
    unseen = "UPDATE platform_statuses SET desired = 'active', confirmed = 'enabled' WHERE campaign_id = %s"
    world.execute(unseen, UNSEEN)
    world.execute("ANALYZE")
    return world


def test_pauses_that_no_platform_confirmed_are_found_whether_or_not_they_were_reconciled(many: World) -> None:
    from db.engine import transaction  # noqa: PLC0415 - after the environment is set
    from runtime import clock  # noqa: PLC0415

    with transaction() as connection:
        found = {one.campaign_id for one in troubles.unconfirmed_pauses(connection, clock.now())}
        assert found == {UNCONFIRMED, UNSEEN}
        early = troubles.unconfirmed_pauses(connection, clock.now() - timedelta(minutes=5))
        assert {one.campaign_id for one in early} == {UNCONFIRMED}


@pytest.mark.on_one_server(Limit.CATALOGS)
def test_search_for_unconfirmed_pauses_scans_no_large_table(many: World) -> None:
    from db.engine import transaction  # noqa: PLC0415 - after the environment is set
    from runtime import clock  # noqa: PLC0415

    with transaction() as connection:
        explain = text(f"EXPLAIN {troubles.UNCONFIRMED.text}")
        plan = "\n".join(connection.scalars(explain, {"at": clock.now(), "before": clock.now()}))
    for table in ("campaigns", "platform_statuses", "status_changes"):
        assert f"Seq Scan on {table}" not in plan, plan
