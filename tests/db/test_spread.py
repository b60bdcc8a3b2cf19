"""Ledger, counters and histories can be sharded by brand: their keys and the statements that count allow it."""

import re
from typing import Any

import psycopg
import pytest
from psycopg import sql

import db.models  # noqa: F401 - completes the metadata
from db.models.base import Base
from db.repository.ledger import ledger_rows
from db.repository.ledger.spend import FEW_EVENTS
from tests.kit import statements
from tests.world import World

OF_BRANDS = ("campaign_days", "brand_days", "brand_hours", "monthly_reports")
HISTORIES = ("status_changes", "hold_changes", "budget_limits")
A_MONTH = "spend_events_2026_06"
MORE_THAN_A_DAY = 1_000
READ_AFTER_COMMIT = {"platform_account_brands", "platform_connections", "webhook_endpoints", "alert_routes"}
"""Tables that say whom to wake; a process reads them every few seconds, outside of the transactions that count."""


@pytest.mark.parametrize("table", [*OF_BRANDS, *HISTORIES, A_MONTH])
def test_keys_allow_partitioning_each_table_by_brand(world: World, table: str) -> None:
    """Postgres refuses a unique key without the partition key on a partitioned table."""
    spread = sql.SQL("CREATE TABLE spread (LIKE {} INCLUDING INDEXES) PARTITION BY HASH (brand_id)")
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute(spread.format(sql.Identifier(table)))
        ((keys,),) = connection.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'spread'::regclass").fetchall()
    assert keys >= 1


def tables_in(statement: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"'[^']*'", "", statement))) & Base.metadata.tables.keys()


def brands_in(statement: str, parameters: dict[str, Any]) -> set[int]:
    """The brand ids in any of the statement's parameters."""
    found: set[int] = set()
    for name in re.findall(r"%\((\w*brands?(?:_ids?)?)\)s", statement):
        value = parameters[name]
        found |= set(map(int, re.findall(r"\d+", value)) if isinstance(value, str) else value)
    return found


@pytest.mark.parametrize("events", [2, FEW_EVENTS + 2], ids=["few events", "many events"])
def test_each_statement_that_counts_events_names_their_brands(world: World, events: int) -> None:
    brands = [world.brand(daily=MORE_THAN_A_DAY, monthly=2 * MORE_THAN_A_DAY) for _ in range(3)]
    campaigns = [world.campaign(brand, schedule="Mon-Sun 00:00-24:00") for brand in brands]
    world.ingest([world.event(campaign, 1) for campaign in campaigns])  # from now on, workers know the campaigns
    batch = [world.event(campaigns[1 + number % 2], MORE_THAN_A_DAY) for number in range(events)]
    with statements() as sent:
        world.ingest(batch)
        world.ingest(batch)
    of_tables = [(text, parameters) for text, parameters in sent if tables_in(text) - READ_AFTER_COMMIT]
    assert {"brands", "campaigns", *OF_BRANDS[:2], *HISTORIES[:2]} <= {
        table for text, _ in of_tables for table in tables_in(text)
    }
    for text, parameters in of_tables:
        assert brands_in(text, parameters) == set(brands[1:]), text
    assert "brand_id" in ledger_rows.COPY
    assert [world.is_active(campaign) for campaign in campaigns] == [True, False, False]
