"""Migrations on an empty database: up, down, up again, and equal to the models."""

import pytest
from alembic import command
from sqlalchemy import Connection

from db.repository.spread import platform_holds
from tests.db.migrations import config, names

TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"


def test_migrations_go_up_down_and_up_and_leave_nothing_behind(empty: Connection) -> None:
    command.upgrade(config(empty), "head")
    tables, functions = names(empty, TABLES), names(empty, FUNCTIONS)
    assert {"brands", "spend_events", "status_changes"} <= tables
    command.downgrade(config(empty), "base")
    assert names(empty, TABLES) == {"alembic_version"}
    assert names(empty, FUNCTIONS) == set()
    command.upgrade(config(empty), "head")
    assert (names(empty, TABLES), names(empty, FUNCTIONS)) == (tables, functions)


def test_migrations_create_what_the_models_define(empty: Connection) -> None:
    command.upgrade(config(empty), "head")
    command.check(config(empty))


def test_migration_replaces_the_audit_of_holds_where_brands_are_spread(empty: Connection) -> None:
    body = "SELECT prosrc FROM pg_proc WHERE proname = 'note_platform_hold'"
    command.upgrade(config(empty), "head")
    platform_holds.create(empty, set())
    (created,) = names(empty, body)
    command.downgrade(config(empty), "0044")
    (before,) = names(empty, body)
    assert "said_at, said_by" in before
    command.upgrade(config(empty), "head")
    (replaced,) = names(empty, body)
    assert replaced.split() == created.split()


def test_migrations_create_the_ledger_months_around_now(empty: Connection) -> None:
    command.upgrade(config(empty), "head")
    months = [table for table in names(empty, TABLES) if table.startswith("spend_events_")]
    assert len(months) == 17


def test_migration_times_out_on_a_locked_table_and_changes_nothing(empty: Connection) -> None:
    """The timeouts apply only within the migration's own transaction."""
    command.upgrade(config(empty), "head")
    empty.commit()
    assert empty.exec_driver_sql("SHOW lock_timeout").scalar_one() == "0"
    command.downgrade(config(empty), "base")
    empty.rollback()
    assert "brands" in names(empty, TABLES)


def test_postgres_ends_the_statement_of_a_killed_migration_within_a_second(empty: Connection) -> None:
    empty.exec_driver_sql("SET client_connection_check_interval = 0")  # begins a transaction for all revisions
    command.upgrade(config(empty), "head")
    assert empty.exec_driver_sql("SHOW client_connection_check_interval").scalar_one() == "1s"


def test_migration_puts_existing_campaigns_in_default_accounts(empty: Connection) -> None:
    command.upgrade(config(empty), "0007")
    empty.exec_driver_sql("INSERT INTO brands (name) VALUES ('a'), ('b')")
    empty.exec_driver_sql(
        "INSERT INTO campaigns (brand_id, name, platform, external_id)"
        " VALUES (1, 'c', 'meta', '1'), (1, 'c', 'meta', '2'), (2, 'c', 'meta', '3'), (2, 'c', NULL, NULL)"
    )
    command.upgrade(config(empty), "head")
    query = (
        "SELECT campaigns.id, default_of_brand_id, account_id FROM campaigns"
        " LEFT JOIN platform_accounts ON platform_accounts.id = platform_account_id ORDER BY campaigns.id"
    )
    rows = [tuple(row) for row in empty.exec_driver_sql(query)]
    assert rows == [(1, 1, None), (2, 1, None), (3, 2, None), (4, None, None)]
    command.downgrade(config(empty), "0007")
    assert empty.exec_driver_sql("SELECT count(*) FROM campaigns WHERE external_id IS NOT NULL").scalar_one() == 3


ROWS_WITHOUT_BRAND = (
    "INSERT INTO brands (name) VALUES ('a'), ('b')",
    "INSERT INTO campaigns (brand_id, name) VALUES (2, 'c'), (1, 'c')",
    "INSERT INTO dayparts (campaign_id, weekday, starts_minute, ends_minute) VALUES (1, 1, 0, 60), (2, 1, 0, 60)",
    (
        "INSERT INTO reported_totals (source, campaign_id, day, total_micros, as_of)"
        " SELECT 's', 1 + number %% 2, '2000-01-01'::date + number, 5, now() FROM generate_series(1, 11000) AS number"
    ),
)
BRANDS_OF_ROWS = """
    SELECT campaign_id, brand_id, count(*) FROM {} GROUP BY campaign_id, brand_id ORDER BY campaign_id, brand_id
"""


@pytest.mark.parametrize("one_transaction", [False, True], ids=["a transaction a revision", "one transaction"])
def test_migration_gives_dayparts_and_totals_their_brand(empty: Connection, one_transaction: bool) -> None:
    command.upgrade(config(empty), "0034")
    for statement in ROWS_WITHOUT_BRAND:
        empty.exec_driver_sql(statement)
    if not one_transaction:
        empty.commit()
    command.upgrade(config(empty), "head")
    empty.exec_driver_sql("INSERT INTO dayparts (campaign_id, weekday, starts_minute, ends_minute) VALUES (1, 2, 0, 9)")
    assert [tuple(row) for row in empty.exec_driver_sql(BRANDS_OF_ROWS.format("dayparts"))] == [(1, 2, 2), (2, 1, 1)]
    totals = [tuple(row) for row in empty.exec_driver_sql(BRANDS_OF_ROWS.format("reported_totals"))]
    assert totals == [(1, 2, 5_500), (2, 1, 5_500)]
    if not one_transaction:
        empty.commit()
    command.downgrade(config(empty), "0034")
    command.upgrade(config(empty), "head")
    assert [tuple(row) for row in empty.exec_driver_sql(BRANDS_OF_ROWS.format("reported_totals"))] == totals
