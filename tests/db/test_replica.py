"""Pages read from a replica while it keeps up, and from the primary otherwise."""

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import text

from benchmarks.standby import standby
from db import replica
from db.replica import view
from runtime.settings import settings
from tests.citus import Limit
from tests.folders import new_folder
from tests.kit import lines
from tests.world import World, eventually
from web.app import create_app

pytestmark = pytest.mark.on_one_server(Limit.DATABASES)

IS_REPLICA = text("SELECT pg_is_in_recovery()")


@pytest.fixture(scope="module")
def streaming(server: str) -> Iterator[str]:
    """The server URL, without a database name, of a replica of the tests' Postgres."""
    home = new_folder("spendgate-standby-")
    with standby(server, home / "home") as url:
        yield url.rpartition("/")[0]
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def looking(world: World, streaming: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Configures this process to use the replica; yields the replica's URL for this test's database."""
    url = f"{streaming}/{world.url.rpartition('/')[2]}"
    monkeypatch.setenv("REPLICA_DATABASE_URL", url)
    monkeypatch.setattr(replica, "LEFT_FOR_SECONDS", 0.5)
    settings.cache_clear()
    replica.replica.cache_clear()
    yield url
    configured = replica.replica()
    if configured is not None:
        configured._engine.dispose()
    replica.replica.cache_clear()


def asked_the_replica() -> bool:
    with view() as connection:
        return bool(connection.scalar(IS_REPLICA))


def brands_read() -> int:
    with view() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM brands")) or 0)


def test_primary_is_read_without_a_replica(world: World) -> None:
    world.brand()
    assert replica.replica() is None
    assert (asked_the_replica(), brands_read()) == (False, 1)


def test_replica_is_read_and_sees_committed_rows(world: World, looking: str) -> None:
    del looking
    eventually(asked_the_replica)
    world.brand()
    eventually(lambda: brands_read() == 1)


def test_view_is_read_only(world: World, looking: str) -> None:
    del world, looking
    with view() as connection, pytest.raises(Exception, match="read-only"):
        connection.execute(text("DELETE FROM brands"))


def test_unreachable_replica_is_skipped_for_a_while(
    world: World, looking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICA_DATABASE_URL", urlsplit(looking)._replace(netloc="app@127.0.0.1:1").geturl())
    monkeypatch.setattr(replica, "LEFT_FOR_SECONDS", 30.0)
    settings.cache_clear()
    replica.replica.cache_clear()
    world.brand()
    with structlog.testing.capture_logs() as logged:
        assert [brands_read(), brands_read()] == [1, 1]
    assert lines(logged, "replica.left") == [{"for_seconds": 30.0, "error": "OperationalError"}]


def test_late_replica_is_skipped_until_it_has_caught_up(
    world: World, looking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(asked_the_replica)
    monkeypatch.setattr(replica, "LATE_SECONDS", 0.2)
    with psycopg.connect(looking, autocommit=True) as operator:
        operator.execute("SELECT pg_wal_replay_pause()")
        world.brand()
        eventually(lambda: not asked_the_replica())
        assert brands_read() == 1
        operator.execute("SELECT pg_wal_replay_resume()")
    eventually(lambda: asked_the_replica() and brands_read() == 1)


def test_replica_disconnected_from_the_primary_is_skipped(world: World, looking: str) -> None:
    eventually(asked_the_replica)
    with psycopg.connect(looking, autocommit=True) as operator:
        ((primary,),) = operator.execute("SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'").fetchall()
        operator.execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
        operator.execute("SELECT pg_reload_conf()")
        eventually(lambda: not asked_the_replica())
        world.brand()
        assert brands_read() == 1
        operator.execute(psycopg.sql.SQL("ALTER SYSTEM SET primary_conninfo = {}").format(primary))
        operator.execute("SELECT pg_reload_conf()")
    eventually(lambda: asked_the_replica() and brands_read() == 1)


def test_pages_read_from_the_replica(world: World, looking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_OPEN_DASHBOARD", "true")
    settings.cache_clear()
    eventually(asked_the_replica)
    brand = world.brand(name="Known brand")
    campaign = world.campaign(brand)
    eventually(lambda: brands_read() == 1)
    with psycopg.connect(looking, autocommit=True) as operator, TestClient(create_app()) as client:
        operator.execute("SELECT pg_wal_replay_pause()")
        world.execute("UPDATE brands SET name = 'Not yet seen'")
        shown = [client.get(path).text for path in ("/", f"/brands/{brand}", f"/campaigns/{campaign}")]
        operator.execute("SELECT pg_wal_replay_resume()")
    assert ["Known brand" in page for page in shown] == [True] * 3
    assert ["Not yet seen" in page for page in shown] == [False] * 3
