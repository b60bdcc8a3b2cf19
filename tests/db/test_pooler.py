"""Behind PgBouncer in transaction mode, every transaction has its limits and no statement is mixed up."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dramatiq
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db import migrations
from db.engine import engine, snapshot, transaction
from db.transaction_settings import settings_of_transactions
from runtime.settings import settings
from tests import pgbouncer
from tests.cli.shell import PATIENCE_SECONDS, serving, shell
from tests.kit import is_empty
from tests.world import World, eventually

pytestmark = pytest.mark.skipif(pgbouncer.BINARY is None, reason="pgbouncer is not installed")

SHOWN = text("SELECT name, current_setting(name) FROM unnest(CAST(:names AS text[])) AS names(name)")
ROUNDS = 30


def use(url: str, patch: pytest.MonkeyPatch) -> None:
    """Connects this process and those it starts to `url`."""
    patch.setenv("DATABASE_URL", url)
    settings.cache_clear()
    engine().dispose()
    engine.cache_clear()


@pytest.fixture
def pooled(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose product connects through PgBouncer; its own queries go to Postgres."""
    with pgbouncer.running(world.url, tmp_path) as url:
        use(url, monkeypatch)
        yield world
        engine().dispose()


def test_every_transaction_behind_a_pooler_has_its_limits(pooled: World) -> None:
    expected = {
        **settings_of_transactions(),
        "statement_timeout": "1min",
        "lock_timeout": "15s",
        "idle_in_transaction_session_timeout": "1min",
    }
    for _ in range(pgbouncer.CONNECTIONS + 1):
        for begin in (transaction, snapshot):
            with begin() as connection:
                assert dict(connection.execute(SHOWN, {"names": list(expected)}).all()) == expected
    left = pooled.rows("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'")
    assert left == [{"count": 0}]


def test_threads_behind_a_pooler_run_their_own_statements(pooled: World) -> None:
    def count(number: int) -> list[int]:
        found = []
        for _ in range(ROUNDS):
            with transaction() as connection:
                found.append(connection.execute(text(f"SELECT {number} + :more"), {"more": number}).scalar_one())
        return found

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(count, range(8))) == [[2 * number] * ROUNDS for number in range(8)]


def test_worker_behind_a_pooler_counts_and_pauses(pooled: World, tmp_path: Path) -> None:
    campaign = pooled.campaign(pooled.brand(daily=1_000))
    with serving("-m", "workers", output=tmp_path / "output") as worker:
        for _ in range(20):
            events = [pooled.event(campaign, 1) for _ in range(50)]
            message: dramatiq.Message[None] = dramatiq.Message(
                queue_name="spend", actor_name="ingest_spend", args=(), kwargs={"events": events}, options={}
            )
            dramatiq.get_broker().enqueue(message)
        eventually(lambda: pooled.spent(campaign) == 1_000, PATIENCE_SECONDS)
        eventually(is_empty)
        assert not worker.logged("worker.died")
    assert not pooled.is_active(campaign)
    pooled.verify()


def test_migrations_behind_a_pooler_go_back_and_forward(pooled: World) -> None:
    head, before = (one.id for one in migrations.revisions()[:-3:-1])
    migrations.downgrade(before)
    assert migrations.stored() == before
    migrations.upgrade()
    assert migrations.stored() == head


def test_doctor_names_the_setting_of_a_pooler_that_refuses_start_options(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pgbouncer.running(world.url, tmp_path, ignored="extra_float_digits") as url:
        use(url, monkeypatch)
        with pytest.raises(DBAPIError), transaction() as connection:
            connection.execute(text("SELECT 1"))
        result = shell("doctor", "--json")
    (finding,) = (one for one in result.data["checks"] if one["check"] == "postgres")
    assert (finding["verdict"], "ignore_startup_parameters = options" in finding["advice"]) == ("wrong", True)
