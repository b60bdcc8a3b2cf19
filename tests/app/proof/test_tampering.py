"""`verify` finds alterations of every column with money, status or history, and deleted rows of every such table."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

import db.models  # noqa: F401 - completes the metadata
from app.proof import seals
from app.proof.verification import verify
from db.models.base import Base
from db.repository.proof.seals import HISTORIES
from db.repository.spread.places import SPREAD
from tests import citus
from tests.world import World

FIRST_BRAND = 1

ALTERED = {
    "bigint": "COALESCE({}, 0) + 1",
    "integer": "{} + 1",
    "smallint": "{} + 1",
    "date": "{} + 7",
    "timestamp with time zone": "{} + interval '1 hour'",
    "ARRAY": "CASE WHEN {0} = '{{}}' THEN '{{x}}' ELSE '{{}}' END::text[]",
    "jsonb": "COALESCE({}, '{{}}') || '{{\"x\": 1}}'",
    "json": "'{{}}'",
    "boolean": "NOT {}",
    "bytea": "{} || '\\x00'",
    "text": "COALESCE({}, '') || 'x'",
    "uuid": "gen_random_uuid()",
}
AS_TEXT = {
    ("brands", "time_zone"): "'Asia/Tokyo'",
    ("brands", "currency"): "'EUR'",
    ("budgets", "period"): "'weekly'",
    ("campaigns", "configured_status"): "'paused'",
    ("campaigns", "effective_status"): "CASE effective_status WHEN 'active' THEN 'inactive' ELSE 'active' END",
}

NOT_PROVABLE = {
    ("spend_events", "event_id"): "the ledger is too large to seal; verify compares its sums only",
    ("spend_events", "received_at"): "the ledger is too large to seal, and no rule reads the column",
    ("reported_totals", "previous_as_of"): "only an import that is undone reads it, and compares the figures as well",
    ("reported_totals", "as_of"): "verify compares it with later events only, so a newer value passes without one",
    ("budgets", "id"): "only audit entries refer to it",
    ("budgets", "changed_at"): "no rule reads it; the history of limits has its own time",
    ("brands", "name"): "people may edit it by SQL",
    ("brands", "configured_status"): "people may edit it by SQL; refresh enforces it",
    ("brands", "created_at"): "only reports read it",
    ("brands", "headroom_on"): "a headroom of another day is ignored",
    ("brands", "spend_received_at"): "pages show it as the age of their figures; no decision reads it",
    ("campaigns", "platform_account_id"): "foreign keys allow only accounts of the brand and platform",
    ("campaigns", "name"): "people may edit it by SQL",
    ("campaigns", "platform"): "people may edit it by SQL",
    ("campaigns", "external_id"): "people may edit it by SQL",
    ("campaigns", "ends_on"): "people may edit it by SQL; refresh enforces it",
    ("campaigns", "created_at"): "no rule reads it",
    ("campaigns", "next_change_at"): "null here; verify finds a time that is too late, one too early is harmless",
    ("campaigns", "enforced_at"): "rules read only whether it is null or in the future; refresh corrects a future time",
    ("rejected_events", "times"): "increases with each delivery of the input",
    ("rejected_events", "replayed_at"): "set by the replay",
    ("rejected_events", "claimed_until"): "set during a replay",
    ("rejected_events", "fingerprint"): "Postgres computes it",
}
"""Columns whose alteration alone is no error that `verify` must find, with the reason."""

TABLES = (
    *("spend_events", "campaign_days", "brand_days", "reported_totals", "budgets", "brands", "campaigns"),
    *(history.table for history in HISTORIES),
    "history_seals",
)


@pytest.fixture
def world_with_history(world: World, noon: datetime) -> World:
    """A world in which each of TABLES has rows, all of them sealed."""
    from db.engine import committed  # noqa: PLC0415 - after the environment is set
    from db.repository.proof import corrections  # noqa: PLC0415
    from db.repository.reports import reports  # noqa: PLC0415
    from workers.actors.ingest import ingest_reported_totals  # noqa: PLC0415

    world.set_clock(noon)
    brand = world.brand("Asia/Kathmandu", daily=10)
    campaign = world.campaign(brand, daily=1_000, starts_on=noon.date() - timedelta(days=2))
    world.spend(campaign, 12)
    world.spend(campaign, -7)
    world.ingest([{"bad": 1}])
    total_of_day = {"source": "meta_ads", "campaign_id": campaign, "day": "2026-06-16"}
    for total, as_of in ((3, noon - timedelta(hours=2)), (8, noon - timedelta(hours=1))):
        ingest_reported_totals(totals=[{**total_of_day, "total_micros": total, "as_of": as_of.isoformat()}])
    month = noon.date().replace(day=1)
    committed(lambda connection: reports.store(connection, brand, month, 1, {"spent_micros": 5}, noon))
    correction = corrections.Correction(brand, "campaign_day", {"day": "2026-06-16"})
    committed(lambda connection: corrections.add(connection, [correction], "test", noon))
    assert seals.seal() > 8
    world.verify()
    return world


class Tampering:
    """Alters or deletes rows with all triggers and constraints switched off, and restores them."""

    def __init__(self, url: str, table: str) -> None:
        """On a cluster, alters the part of the table that has the first brand, on its server."""
        self.owner = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self.part = table
        if citus.is_used() and table in SPREAD:
            url, self.part = citus.part_of(url, table, FIRST_BRAND)
        self.driver = psycopg.connect(url, autocommit=True, row_factory=dict_row, options=citus.AS_REPLICA)

    def close(self) -> None:
        self.owner.close()
        self.driver.close()

    def types(self, table: str) -> dict[str, str]:
        """The type of each column that is not generated."""
        found = self.owner.execute(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position",
            [table],
        )
        return {row["column_name"]: row["data_type"] for row in found}

    def free(self, table: str) -> None:
        """Drops the constraints that would refuse altered values, so that only `verify` can find them."""
        checks = self.owner.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f')", [table]
        ).fetchall()
        for row in checks:
            drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
            self.owner.execute(drop.format(sql.Identifier(table), sql.Identifier(row["conname"])))

    def alter(self, column: str, expression: str) -> dict[str, Any]:
        """Alters a column of the newest row (by its place in the table); returns the row before the change."""
        (row,) = self.driver.execute(
            sql.SQL("SELECT tableoid::regclass::text AS part, * FROM {} ORDER BY ctid DESC LIMIT 1").format(
                sql.Identifier(self.part)
            )
        ).fetchall()
        self._copy()
        self.driver.execute(
            sql.SQL("UPDATE {} SET {} = {} WHERE ctid = (SELECT max(ctid) FROM {})").format(
                sql.Identifier(row["part"]),
                sql.Identifier(column),
                sql.SQL(expression.format(column)),
                sql.Identifier(row["part"]),
            )
        )
        return row

    def delete(self) -> None:
        """Deletes all rows of the table."""
        self._copy()
        self.driver.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(self.part)))

    def _copy(self) -> None:
        self.driver.execute("DROP TABLE IF EXISTS untouched")
        self.driver.execute(sql.SQL("CREATE TEMP TABLE untouched AS TABLE {}").format(sql.Identifier(self.part)))

    def put_back(self, table: str) -> None:
        """Undoes the last `alter` or `delete`."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.types(table)))
        self.driver.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(self.part)))
        back = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM untouched")
        self.driver.execute(back.format(sql.Identifier(self.part), columns, columns))


@pytest.fixture
def tampering(world_with_history: World, table: str) -> Iterator[Tampering]:
    """Alters rows of the table as the database's owner."""
    made = Tampering(world_with_history.url, table)
    yield made
    made.close()


def is_seen() -> bool:
    return any(check.wrong for check in verify())


@pytest.mark.parametrize("table", TABLES)
def test_verify_finds_each_altered_column_and_deleted_rows(tampering: Tampering, table: str) -> None:
    tampering.free(table)
    missed = []
    for column, type_name in tampering.types(table).items():
        if (table, column) in NOT_PROVABLE:
            continue
        tampering.alter(column, AS_TEXT.get((table, column), ALTERED[type_name]))
        if not is_seen():
            missed.append(column)
        tampering.put_back(table)
    assert not is_seen(), "the row is restored"
    assert missed == []
    tampering.delete()
    assert is_seen(), "all rows were deleted"


def test_every_column_of_a_sealed_table_is_sealed_or_listed_as_mutable() -> None:
    for history in HISTORIES:
        columns = {column.name for column in Base.metadata.tables[history.table].columns}
        assert {*history.columns, *history.changing} == columns, (
            f"{history.table} has other columns: seal them, and raise the format of seals"
        )


def test_every_listed_exception_names_an_existing_column() -> None:
    for table, column in NOT_PROVABLE:
        assert column in Base.metadata.tables[table].columns
