"""Named locks are rows: readers cannot block writers, and ids of status changes rise in commit order."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from app.sequences import join_runs
from db.engine import transaction
from db.repository.access.privileges import DatabaseRole
from db.repository.catalog import catalog
from db.repository.ledger import ledger, sequences
from db.repository.reading import hours
from db.repository.shared import locks
from db.repository.shared.locks import Lock
from tests.citus import Limit
from tests.roles import UrlOf
from tests.world import World, eventually

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("app", "cli", "db", "delivery", "domain", "runtime", "web", "workers", "alembic/env.py")
ADVISORY = re.compile(r"pg_(?:try_)?advisory", re.IGNORECASE)
OLD_NAMES = (
    *("spendgate.status_changes", "spendgate.brand_hours", "spendgate.catalog", "spendgate.sequence_runs"),
    "ensure_ledger_month",
)
STRENGTHS = ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE")
LOCKED_TABLES = ("locks", "brands", "campaigns", "budgets", "status_changes")
DENIED = psycopg.errors.InsufficientPrivilege
CHANGE = """
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause)
    VALUES (%s, %s, now(), 'active', 'inactive', '{}', '{user_paused}', 'test') RETURNING id
"""


@pytest.fixture
def reader(url_of: UrlOf) -> Iterator[psycopg.Connection]:
    """A connection of the read-only role that holds every advisory lock that any version has used."""
    with closing(psycopg.connect(url_of(DatabaseRole.READER), autocommit=True)) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for name in (*OLD_NAMES, *Lock):
            connection.execute("SELECT pg_advisory_lock(hashtext(%s)), pg_advisory_lock(0, hashtext(%s))", (name, name))
        yield connection


@pytest.mark.on_one_server(Limit.LOCKS)
def test_reader_role_cannot_take_any_lock(reader: psycopg.Connection) -> None:
    for table in LOCKED_TABLES:
        for strength in STRENGTHS:
            with pytest.raises(DENIED):
                reader.execute(f"SELECT FROM {table} FOR {strength}".encode())
        for mode in ("ROW EXCLUSIVE", "SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE"):
            with pytest.raises(DENIED), reader.transaction():
                reader.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())


@pytest.mark.on_one_server(Limit.OWNERS)
def test_reader_holding_all_advisory_locks_blocks_nothing(
    world: World, noon: datetime, reader: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "2000")
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10))
    world.ingest([world.event(campaign, 10, source="bidder", sequence=number) for number in (1, 2)])
    assert not world.is_active(campaign)
    join_runs()
    assert world.rows("SELECT first, last FROM sequence_runs") == [{"first": 1, "last": 2}]
    with transaction() as connection:
        assert hours.roll_up(connection, ["UTC"], noon) >= 0
        catalog.lock_catalog(connection)
        sequences.wait_to_join(connection)
        assert connection.scalar(ledger.ENSURE_PARTITION, {"day": "2030-01-01"})
    assert reader.execute("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (True,)


@pytest.mark.parametrize("role", [DatabaseRole.WORKER, DatabaseRole.WEB])
def test_processes_can_take_the_locks_but_not_edit_them(world: World, url_of: UrlOf, role: DatabaseRole) -> None:
    assert {row["name"] for row in world.rows("SELECT name FROM locks")} == set(Lock)
    with psycopg.connect(url_of(role), autocommit=True) as connection:
        for lock in Lock:
            connection.execute("SELECT FROM locks WHERE name = %s FOR NO KEY UPDATE", [lock])
        for statement in ("UPDATE locks SET name = 'other'", "DELETE FROM locks", "TRUNCATE locks"):
            with pytest.raises(DENIED):
                connection.execute(statement.encode())


@pytest.mark.parametrize("statement", ["UPDATE locks SET name = name", "DELETE FROM locks", "TRUNCATE locks"])
def test_owner_cannot_edit_or_delete_locks(world: World, statement: str) -> None:
    with pytest.raises(DENIED, match="there to be locked"):
        world.execute(statement)


def test_one_transaction_at_a_time_holds_a_lock(database: str) -> None:
    with transaction() as first, transaction() as second:
        locks.take(first, Lock.CATALOG)
        assert not locks.take_if_free(second, Lock.CATALOG)
        assert locks.take_if_free(second, Lock.SEQUENCE_RUNS)
    with transaction() as third:
        assert locks.take_if_free(third, Lock.CATALOG)


@pytest.mark.on_one_server(Limit.CATALOGS)
def test_ids_of_status_changes_rise_in_commit_order(world: World) -> None:
    campaigns = [world.campaign(world.brand(daily=10)) for _ in range(2)]
    key = world.brand_of(campaigns[0]), campaigns[0]
    with psycopg.connect(world.url) as by_hand:
        (first,) = by_hand.execute(CHANGE, key).fetchone() or (0,)
        spending = Thread(target=world.spend, args=(campaigns[1], 10))
        spending.start()
        eventually(lambda: bool(world.rows("SELECT FROM pg_locks WHERE NOT granted")))
        assert world.rows("SELECT id FROM status_changes") == []
        by_hand.commit()
        spending.join()
    assert [row["id"] for row in world.rows("SELECT id FROM status_changes ORDER BY id")] == [first, first + 1]


def test_no_statement_takes_an_advisory_lock(world: World) -> None:
    functions = world.rows(
        "SELECT proname FROM pg_proc WHERE prosrc ~* 'advisory' AND pronamespace = current_schema()::regnamespace"
    )
    assert functions == []
    paths = [found for folder in FOLDERS for found in (ROOT / folder, *(ROOT / folder).rglob("*.py"))]
    assert [path for path in paths if path.is_file() and ADVISORY.search(path.read_text())] == []
