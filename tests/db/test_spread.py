"""Tables can be spread by brand over servers: their keys, foreign keys and the statements that count allow it."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint, create_engine, pool

import db.models  # noqa: F401 - completes the metadata
from db.models.base import Base
from db.repository.ledger import ledger_rows
from db.repository.ledger.spend import FEW_EVENTS
from db.repository.spread import citus
from db.repository.spread.citus import SpreadTable
from db.repository.spread.places import (
    ON_EVERY_SERVER,
    REPLACED_TRIGGERS,
    REPLACED_UNIQUE,
    SPREAD,
    Key,
    Place,
    Reference,
    brand_column,
    is_kept,
    key_columns,
    place_of,
)
from tests.citus import Limit
from tests.kit import statements
from tests.world import World

COUNTED = ("campaign_days", "brand_days")
HISTORIES = ("status_changes", "hold_changes")
A_MONTH = "spend_events_2026_06"
MORE_THAN_A_DAY = 1_000
READ_AFTER_COMMIT = {"platform_account_brands", "platform_connections", "webhook_endpoints", "alert_routes"}
"""Tables that say whom to wake; a process reads them every few seconds, outside of the transactions that count."""

DROPPED_REFERENCES = {
    ("alert_mutes", "brands"),
    ("alert_routes", "brands"),
    ("alerts", "brands"),
    ("alerts", "campaigns"),
    ("api_keys", "brands"),
    ("import_days", "imports"),
    ("notices", "brands"),
    ("platform_accounts", "brands"),
    ("platform_bounds", "platform_accounts"),
    ("platform_connections", "platform_accounts"),
    ("released_external_ids", "platform_accounts"),
    ("platform_statuses", "platform_connections"),
    ("released_external_ids", "campaigns"),
    ("webhook_endpoints", "brands"),
}
"""Foreign keys, as (table, referred table), that no server can check alone; ADR 47 names them."""

TABLES = Base.metadata.tables


def keys() -> Iterator[Key]:
    """The primary and unique keys of the models."""
    for table in TABLES.values():
        for constraint in table.constraints:
            if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint) and constraint.columns:
                columns = [column.name for column in constraint.columns]
                yield Key(table.name, str(constraint.name), columns, isinstance(constraint, PrimaryKeyConstraint))
        for index in table.indexes:
            if index.unique:
                yield Key(table.name, str(index.name), [column.name for column in index.columns], False)


def references() -> Iterator[Reference]:
    """The foreign keys of the models."""
    for table in TABLES.values():
        for constraint in table.constraints:
            if isinstance(constraint, ForeignKeyConstraint):
                targets = [element.column for element in constraint.elements]
                columns, names = list(constraint.column_keys), [target.name for target in targets]
                yield Reference(table.name, str(constraint.name), columns, targets[0].table.name, names)


def test_every_spread_table_has_its_brand_and_follows_those_it_refers_to() -> None:
    assert set(SPREAD) | set(ON_EVERY_SERVER) <= TABLES.keys()
    for name in SPREAD:
        assert not TABLES[name].columns[brand_column(name)].nullable, name
    for reference in references():
        if {reference.table, reference.target} <= set(SPREAD):
            assert SPREAD.index(reference.target) <= SPREAD.index(reference.table), reference


def test_every_table_with_a_brand_is_spread_or_may_lack_the_brand_or_is_about_senders() -> None:
    of_a_brand = {
        table.name
        for table in TABLES.values()
        if "brand_id" in table.columns and not table.columns["brand_id"].nullable
    }
    assert of_a_brand - set(SPREAD) == {"released_external_ids"}


def test_every_key_of_a_spread_table_has_the_brand_or_is_replaced() -> None:
    without = {key.name: key for key in keys() if place_of(key.table) is Place.SPREAD and key_columns(key) is None}
    assert len(without) == len(REPLACED_UNIQUE)
    assert {tuple(key.columns) for key in without.values()} == {("platform_account_id", "external_id")}
    for key in keys():
        columns = key_columns(key)
        if place_of(key.table) is Place.SPREAD and columns is not None:
            assert brand_column(key.table) in columns


def test_every_foreign_key_between_spread_tables_has_the_brand() -> None:
    between = [one for one in references() if {one.table, one.target} <= set(SPREAD)]
    assert len(between) > 15
    assert [one for one in between if not is_kept(one)] == []


def test_foreign_keys_that_no_server_can_check_are_known() -> None:
    assert {(one.table, one.target) for one in references() if not is_kept(one)} == DROPPED_REFERENCES


@pytest.fixture
def prepared(world: World) -> World:
    """A world whose keys, foreign keys and triggers are as they are before tables are spread, on one server."""
    url = world.url.replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        citus.prepare(connection)
    return world


@pytest.mark.on_one_server(Limit.DATABASES)
@pytest.mark.parametrize("table", [*(name for name in SPREAD if name not in {"brands", "spend_events"}), A_MONTH])
def test_keys_allow_partitioning_each_table_by_brand(prepared: World, table: str) -> None:
    """Postgres refuses a unique key without the partition key on a partitioned table."""
    spread = sql.SQL("CREATE TABLE spread (LIKE {} INCLUDING INDEXES) PARTITION BY HASH (brand_id)")
    with psycopg.connect(prepared.url, autocommit=True) as connection:
        connection.execute(spread.format(sql.Identifier(table)))
        ((found,),) = connection.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'spread'::regclass").fetchall()
    assert found >= 1


def test_preparing_again_changes_nothing_and_leaves_no_replaced_trigger(prepared: World) -> None:
    def facts() -> list[Any]:
        constraints = (
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2"
        )
        triggers = "SELECT tgrelid::regclass::text AS name, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
        return [prepared.rows(constraints), prepared.rows(triggers)]

    before = facts()
    assert {(row["name"], row["tgname"]) for row in before[1]} & REPLACED_TRIGGERS == set()
    url = prepared.url.replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        citus.prepare(connection)
    assert facts() == before


def test_counting_and_totals_work_with_keys_that_have_the_brand(prepared: World, noon: datetime) -> None:
    from workers.actors.ingest import ingest_reported_totals  # noqa: PLC0415 - after the environment is set

    prepared.set_clock(noon)
    brand = prepared.brand()
    campaign = prepared.campaign(brand, schedule="Mon-Sun 00:00-24:00")
    event = prepared.event(campaign, 5)
    prepared.ingest([event])
    prepared.ingest([event])
    total = {"source": "meta_ads", "campaign_id": campaign, "day": event["occurred_at"][:10]}
    for micros in (3, 8):
        as_of = (noon - timedelta(minutes=10 - micros)).isoformat()
        ingest_reported_totals(totals=[{**total, "total_micros": micros, "as_of": as_of}])
    assert prepared.one("SELECT total_micros, brand_id FROM reported_totals") == {"total_micros": 8, "brand_id": brand}
    assert prepared.one("SELECT spent_micros FROM brand_days") == {"spent_micros": 13}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({"alerts": SpreadTable("alerts", "distributed", "id", 3)}, ["alerts is distributed, not local"]),
        ({"budgets": SpreadTable("budgets", "reference", "", 4)}, ["budgets is reference, not distributed"]),
        ({"budgets": SpreadTable("budgets", "distributed", "id", 1)}, ["budgets is spread by id, not by brand_id"]),
        ({"budgets": SpreadTable("budgets", "distributed", "brand_id", 2)}, ["budgets is not spread with brands"]),
        ({"imports": SpreadTable("imports", "local", "", 0)}, []),
    ],
)
def test_drift_names_each_table_spread_otherwise(changed: dict[str, SpreadTable], found: list[str]) -> None:
    as_it_must_be = {name: SpreadTable(name, "distributed", brand_column(name), 1) for name in SPREAD}
    on_all = {name: SpreadTable(name, "reference", "", 5) for name in ON_EVERY_SERVER}
    assert list(citus.drift(as_it_must_be | on_all | changed)) == found
    assert citus.missing(as_it_must_be | on_all | changed) == []
    assert citus.missing({}) == [*ON_EVERY_SERVER, *SPREAD]


def tables_in(statement: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"'[^']*'", "", statement))) & Base.metadata.tables.keys()


def brands_in(statement: str, parameters: dict[str, Any]) -> set[int]:
    """The brand ids in any of the statement's parameters."""
    found: set[int] = set()
    for name in re.findall(r"%\((\w*brands?(?:_ids?)?)\)s", statement):
        value = parameters[name]
        found |= set(map(int, re.findall(r"\d+", value)) if isinstance(value, str) else value)
    return found


@pytest.mark.on_one_server(Limit.BY_SERVER)
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
    assert {"brands", "campaigns", *COUNTED, *HISTORIES} <= {
        table for text, _ in of_tables for table in tables_in(text)
    }
    for text, parameters in of_tables:
        assert brands_in(text, parameters) == set(brands[1:]), text
    assert "brand_id" in ledger_rows.COPY
    assert [world.is_active(campaign) for campaign in campaigns] == [True, False, False]
