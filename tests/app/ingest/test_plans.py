"""Postgres reads few rows for a small batch, however many brands there are."""

from datetime import datetime

from sqlalchemy import text

from db.engine import engine
from tests.world import World, eventually

BRANDS = 1_100
OTHERS = """
    SELECT count(*) AS others FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        AND application_name <> 'emptied'
"""


def rows_read(world: World) -> int:
    """Rows of `brands` and `campaigns` that Postgres has read in whole-table scans, of all connections so far."""
    with engine().connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    query = "SELECT sum(seq_tup_read) AS read FROM pg_stat_user_tables WHERE relname IN ('brands', 'campaigns')"
    return int(world.one(query)["read"])


def test_event_that_crosses_a_limit_reads_no_whole_table(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    crossing = [world.campaign(world.brand("Asia/Kathmandu", name=f"Brand {number}", daily=5)) for number in range(3)]
    world.execute("INSERT INTO brands (name) SELECT 'Other ' || number FROM generate_series(1, %s) AS number", BRANDS)
    world.execute(
        "INSERT INTO campaigns (brand_id, name, enforced_at) SELECT id, name, now() FROM brands"
        " WHERE name LIKE 'Other %%'"
    )
    world.execute("ANALYZE brands, campaigns")
    world.disconnect()
    engine().dispose()
    eventually(lambda: world.one(OTHERS) == {"others": 0})  # a session adds what it read when it ends
    before = rows_read(world)
    for campaign in crossing:
        world.spend(campaign, 5)
    assert rows_read(world) - before < BRANDS
    assert not any(map(world.is_active, crossing))
