"""Each statement of counting names one shard: Citus gets the brands for each table that it reads or writes."""

import re
from collections import Counter

import pytest

from app.ingest.ingest import count_events
from db.repository.ledger.spend import FEW_EVENTS
from tests.as_citus.driver import SPREAD, shards_in, tables_in
from tests.kit import statements
from tests.world import World

MORE_THAN_A_DAY = 1_000
TABLES = re.compile(r"\b(?:FROM|JOIN|UPDATE) (\w+)\b(?! *\()")
NAMED = re.compile(r"\b(?:brand_id|brands\.id|id) = (?:ANY\(CAST\(%\(brand_ids\)s|%\(brand_id\)s)")


def spread_tables(statement: str) -> int:
    """How often the statement reads or changes a spread table."""
    return sum(count for name, count in Counter(TABLES.findall(statement)).items() if name in SPREAD)


@pytest.mark.parametrize("events", [1, FEW_EVENTS + 1], ids=["few events", "many events"])
def test_each_statement_of_counting_names_its_shard_for_each_table(world: World, events: int) -> None:
    brands = [world.brand(daily=MORE_THAN_A_DAY, monthly=2 * MORE_THAN_A_DAY) for _ in range(5)]
    campaigns = [world.campaign(brand, schedule="Mon-Sun 00:00-24:00") for brand in brands]
    for campaign in campaigns:
        world.limit(10 * MORE_THAN_A_DAY, campaign=campaign)
    count_events([world.event(campaign, 1) for campaign in campaigns])  # from now on, this process knows the campaigns
    batch = [world.event(campaign, MORE_THAN_A_DAY) for campaign in campaigns for _ in range(events)]
    with statements() as sent:
        count_events(batch)
        count_events(batch)
    of_tables = [(statement, parameters) for statement, parameters in sent if tables_in(statement)]
    assert {"brands", "campaigns", "hold_changes", "status_changes"} <= {
        table for statement, _ in of_tables for table in tables_in(statement)
    }
    for statement, parameters in of_tables:
        assert len(shards_in(statement, parameters)) == 1, statement
        assert len(NAMED.findall(statement)) >= spread_tables(statement), statement
    assert not any(world.is_active(campaign) for campaign in campaigns)
