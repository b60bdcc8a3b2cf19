"""A database is as new after it was emptied, or is refused."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from db.engine import engine
from runtime.settings import settings
from tests import kept_engines
from tests.emptied import Emptied
from tests.world import UNIT, World

pytestmark = pytest.mark.usefixtures("own_copy")

CHANGES = (
    "CREATE TABLE other (id int)",
    "ALTER TABLE brands DISABLE TRIGGER USER",
    "ALTER TABLE brands ADD COLUMN other int",
    "GRANT SELECT ON brands TO PUBLIC",
    "CREATE FUNCTION other() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP FUNCTION drop_ledger_months(date)",
    "ANALYZE brands",
    "TRUNCATE brands CASCADE",
    "UPDATE feed_epoch SET epoch = gen_random_uuid()",
    "INSERT INTO locks (name) VALUES ('other')",
    "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET work_mem = 64'; END $$",
    "INSERT INTO brands (name) SELECT number::text FROM generate_series(1, 2000) AS number",
)


@pytest.fixture
def emptied(database: str) -> Iterator[Emptied]:
    """The test's database before the test."""
    made = Emptied(database)
    yield made
    made.close()


def test_rows_ids_and_months_of_a_test_are_removed(world: World, emptied: Emptied) -> None:
    world.set_clock("2031-05-17T12:00:00Z")
    for _ in range(2):
        campaign = world.campaign(world.brand(daily=UNIT))
        world.spend(campaign, UNIT)
        assert (campaign, world.is_active(campaign)) == (1, False)
        assert emptied.again(set())
        for table in ("brands", "budget_limits", "spend_events", "status_changes", "audit_entries"):
            assert world.rows(f"SELECT FROM {table}") == [], table
        assert world.one("SELECT to_regclass('spend_events_2031_05') IS NULL AS is_gone") == {"is_gone": True}


@pytest.mark.parametrize("change", CHANGES)
def test_database_with_other_definitions_or_many_rows_is_refused(world: World, emptied: Emptied, change: str) -> None:
    assert emptied.again(set())
    world.execute(change)
    assert not emptied.again(set())


def test_idle_connections_that_are_kept_stay_open_and_others_end(database: str, emptied: Emptied) -> None:
    kept, other, busy = (psycopg.connect(database, autocommit=True) for _ in range(3))
    busy.execute("BEGIN")
    busy.execute("LOCK TABLE brands")
    assert emptied.again({kept.info.backend_pid, busy.info.backend_pid})
    assert kept.execute("SELECT 1").fetchone() == (1,)
    for ended in (other, busy):
        with pytest.raises(psycopg.OperationalError):
            ended.execute("SELECT 1")
    for connection in (kept, other, busy):
        connection.close()


def test_thread_that_uses_the_database_and_does_not_end_is_named(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses, ends = threading.Event(), threading.Event()

    def use() -> None:
        with engine().connect():
            uses.set()
            ends.wait(60)

    thread = threading.Thread(target=use, name="endless")
    thread.start()
    assert uses.wait(60)
    monkeypatch.setattr(kept_engines, "PATIENCE_SECONDS", 0)
    made = engine._make
    assert isinstance(made, kept_engines.KeptEngines)
    assert made.threads_left() == ["endless"]
    ends.set()
    thread.join()
    assert made.threads_left() == []


def test_engine_is_kept_for_equal_settings_alone(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine()
    engine.cache_clear()
    assert engine() is first
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "321")
    settings.cache_clear()
    engine.cache_clear()
    assert engine() is not first
