"""The migration on a Citus cluster spreads tables once, and refuses those that are spread otherwise."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db import spread_tables
from db.pool import unpooled_engine
from db.repository.spread import citus as citus_tables
from db.repository.spread.places import SPREAD
from domain.errors import InvalidValue
from tests import citus
from tests.citus import Limit
from tests.cli.shell import REPOSITORY, shell
from tests.world import World


def test_nothing_is_spread_without_the_extension(world: World) -> None:
    if citus.is_used():
        pytest.skip("the tests run on Citus")
    assert spread_tables.spread() == []
    assert "servers" not in shell("doctor").out


@pytest.fixture
def cluster(world: World) -> World:
    if not citus.is_used():
        pytest.skip(f"{citus.VARIABLE} is not set")
    return world


def test_spreading_again_changes_nothing(cluster: World) -> None:
    assert spread_tables.spread() == []
    places = cluster.rows("SELECT table_name::text, citus_table_type FROM citus_tables")
    assert {row["table_name"] for row in places if row["citus_table_type"] == "distributed"} >= set(SPREAD)


@pytest.mark.usefixtures("own_copy")  # sessions prepared statements on parts that have other numbers afterwards
def test_rows_that_a_killed_run_left_on_the_coordinator_are_freed(
    cluster: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = cluster.campaign(cluster.brand())
    cluster.ingest([cluster.event(campaign, 4)])
    cluster.execute("SELECT undistribute_table('spend_events')")
    with monkeypatch.context() as patch:
        patch.setattr("db.repository.spread.citus.FREE_LOCAL_ROWS", text("SELECT 1 / 0"))
        with pytest.raises(DBAPIError):
            spread_tables.spread()
    with unpooled_engine().connect() as connection:
        assert "spend_events" in citus_tables.with_local_rows(connection)
    assert spread_tables.spread() == []
    with unpooled_engine().connect() as connection:
        assert citus_tables.with_local_rows(connection) == []
    assert cluster.spent(campaign) == 4


def test_table_that_was_spread_by_hand_is_refused(cluster: World) -> None:
    cluster.execute("SELECT create_distributed_table('import_mappings', 'layout', colocate_with => 'none')")
    try:
        with pytest.raises(InvalidValue, match="import_mappings is distributed, not local"):
            spread_tables.spread()
    finally:
        cluster.execute("SELECT undistribute_table('import_mappings')")
    assert spread_tables.spread() == []


def test_doctor_says_how_brands_lie_over_the_servers(cluster: World) -> None:
    for _ in range(8):
        cluster.brand()
    lines = [line for line in shell("doctor").out.splitlines() if "brands in" in line]
    assert len(lines) > 0


def test_brands_of_all_servers_count_and_pause(cluster: World) -> None:
    campaigns = [cluster.campaign(cluster.brand(daily=10)) for _ in range(8)]
    cluster.ingest([cluster.event(campaign, 4 + 3 * (campaign % 3)) for campaign in campaigns])
    expected = {campaign: 4 + 3 * (campaign % 3) for campaign in campaigns}
    assert {campaign: cluster.spent(campaign) for campaign in campaigns} == expected
    assert [cluster.is_active(campaign) for campaign in campaigns] == [spent < 10 for spent in expected.values()]


def test_decision_names_each_limit_for_which_tests_are_skipped_on_a_cluster() -> None:
    decision = (REPOSITORY / "docs/adr/0047-brands-spread-over-citus.md").read_text(encoding="utf-8")
    assert [limit for limit in Limit if limit not in " ".join(decision.split())] == []
