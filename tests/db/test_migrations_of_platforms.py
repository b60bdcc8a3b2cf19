"""The migration to canonical names of platforms, with and without campaigns that collide."""

import pytest
from alembic import command
from sqlalchemy import Connection

from domain.errors import InvalidValue
from tests.db.migrations import config, names


def spelt_campaigns(connection: Connection, *rows: str) -> None:
    """Two brands before platforms had canonical names, and campaigns as (brand_id, name, platform, external_id)."""
    command.upgrade(config(connection), "0016")
    connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('a'), ('b')")
    connection.exec_driver_sql(
        f"INSERT INTO campaigns (brand_id, name, platform, external_id) VALUES {', '.join(rows)}"  # noqa: S608 - ours
    )
    connection.commit()


CAMPAIGNS = """
    SELECT campaigns.id, campaigns.platform, external_id, platform_account_id, platform_accounts.platform
    FROM campaigns JOIN platform_accounts ON platform_accounts.id = platform_account_id ORDER BY campaigns.id
"""


def test_migration_merges_the_spellings_of_a_platform(empty: Connection) -> None:
    spelt_campaigns(
        empty,
        "(1, 'c', 'google', '1')",
        "(1, 'c', 'google_ads', '2')",
        "(1, 'c', 'Google Ads', '3')",
        "(2, 'c', 'adwords', '4')",
        "(2, 'c', ' MyDSP', '4')",
        "(2, 'c', NULL, NULL)",
    )
    command.upgrade(config(empty), "head")
    rows = [tuple(row) for row in empty.exec_driver_sql(CAMPAIGNS)]
    assert [(row[0], row[1], row[2], row[4]) for row in rows] == [
        *((number, "google_ads", str(number), "google_ads") for number in (1, 2, 3, 4)),
        (5, "mydsp", "4", "mydsp"),
    ]
    assert len({row[3] for row in rows[:3]}) == 1
    assert names(empty, "SELECT platform FROM platform_accounts") == {"google_ads", "mydsp"}
    assert empty.exec_driver_sql("SELECT count(*) FROM platform_accounts").scalar_one() == 3
    assert empty.exec_driver_sql("SELECT count(*) FROM released_external_ids").scalar_one() == 0
    command.downgrade(config(empty), "0016")
    command.upgrade(config(empty), "head")
    assert [tuple(row) for row in empty.exec_driver_sql(CAMPAIGNS)] == rows


def test_migration_merges_named_accounts_and_released_ids_of_two_spellings(empty: Connection) -> None:
    command.upgrade(config(empty), "0016")
    empty.exec_driver_sql("INSERT INTO brands (name) VALUES ('a')")
    empty.exec_driver_sql(
        "INSERT INTO platform_accounts (platform, account_id)"
        " VALUES ('google', '7'), ('google_ads', '7'), ('bing', '7')"
    )
    empty.exec_driver_sql("INSERT INTO platform_account_brands SELECT 1, id FROM platform_accounts")
    empty.exec_driver_sql(
        "INSERT INTO campaigns (brand_id, name, platform, external_id, platform_account_id)"
        " VALUES (1, 'c', 'google', '1', 1), (1, 'c', 'google_ads', '2', 2), (1, 'c', 'bing', '1', 3)"
    )
    empty.exec_driver_sql(
        "INSERT INTO released_external_ids"
        " (platform_account_id, external_id, until_day, platform, brand_id, campaign_id)"
        " VALUES (1, '9', '2026-11-01', 'google', 1, 1), (2, '9', '2026-11-01', 'google_ads', 1, 1)"
    )
    empty.commit()
    command.upgrade(config(empty), "head")
    rows = [tuple(row)[1:4] for row in empty.exec_driver_sql(CAMPAIGNS)]
    assert rows == [("google_ads", "1", 2), ("google_ads", "2", 2), ("microsoft_ads", "1", 3)]
    claims = empty.exec_driver_sql("SELECT platform_account_id, platform, external_id FROM released_external_ids")
    assert [tuple(row) for row in claims] == [(2, "google_ads", "9")]
    assert [tuple(row) for row in empty.exec_driver_sql("SELECT * FROM platform_account_brands ORDER BY 2")] == [
        (1, 2),
        (1, 3),
    ]


def test_migration_refuses_spellings_that_name_two_campaigns_and_changes_nothing(empty: Connection) -> None:
    spelt_campaigns(empty, "(1, 'c', 'google', '5')", "(2, 'c', 'google_ads', '5')", "(1, 'c', 'google', '6')")
    with pytest.raises(InvalidValue) as refused:
        command.upgrade(config(empty), "head")
    empty.rollback()
    words = str(refused.value)
    assert "google_ads 5 is campaign 1 as 'google' and campaign 2 as 'google_ads'" in words
    assert "released_external_ids" in words
    assert "\n" not in words
    assert empty.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "0016"
    assert names(empty, "SELECT DISTINCT platform FROM campaigns") == {"google", "google_ads"}
    empty.exec_driver_sql("UPDATE campaigns SET external_id = NULL WHERE id = 1")
    empty.exec_driver_sql("DELETE FROM released_external_ids WHERE campaign_id = 1")
    empty.commit()
    command.upgrade(config(empty), "head")
    assert names(empty, "SELECT DISTINCT platform FROM campaigns") == {"google_ads"}


def test_migration_refuses_an_id_that_a_campaign_of_another_spelling_had_before(empty: Connection) -> None:
    spelt_campaigns(empty, "(1, 'c', 'google', '5')", "(2, 'c', 'google_ads', '5')")
    empty.exec_driver_sql("INSERT INTO campaign_days VALUES (1, 1, '2026-11-01', 10)")
    empty.exec_driver_sql("UPDATE campaigns SET external_id = NULL WHERE id = 1")
    empty.commit()
    with pytest.raises(InvalidValue, match="google_ads 5 is campaign 1 as 'google'"):
        command.upgrade(config(empty), "head")
    empty.rollback()


def test_migration_keeps_one_id_in_two_named_accounts_of_different_spellings(empty: Connection) -> None:
    command.upgrade(config(empty), "0016")
    empty.exec_driver_sql("INSERT INTO brands (name) VALUES ('a')")
    empty.exec_driver_sql("INSERT INTO platform_accounts (platform, account_id) VALUES ('fb', '7'), ('meta', '8')")
    empty.exec_driver_sql("INSERT INTO platform_account_brands SELECT 1, id FROM platform_accounts")
    empty.exec_driver_sql(
        "INSERT INTO campaigns (brand_id, name, platform, external_id, platform_account_id)"
        " VALUES (1, 'c', 'fb', '1', 1), (1, 'c', 'meta', '1', 2)"
    )
    empty.commit()
    command.upgrade(config(empty), "head")
    assert [tuple(row)[1:4] for row in empty.exec_driver_sql(CAMPAIGNS)] == [("meta_ads", "1", 1), ("meta_ads", "1", 2)]


def test_rows_inserted_by_sql_get_the_canonical_platform(empty: Connection) -> None:
    command.upgrade(config(empty), "head")
    empty.exec_driver_sql("INSERT INTO brands (name) VALUES ('a')")
    spellings = ["google", "Google Ads", "AdWords", "google_ads", "My DSP ", "ヤフー"]
    for number, spelling in enumerate(spellings):
        empty.exec_driver_sql(
            "INSERT INTO campaigns (brand_id, name, platform, external_id) VALUES (1, 'c', %s, %s)",
            (spelling, str(number)),
        )
    assert [row[1] for row in empty.exec_driver_sql(CAMPAIGNS)] == [*["google_ads"] * 4, "my dsp", "yahoo_japan"]
