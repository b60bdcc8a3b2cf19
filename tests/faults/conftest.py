"""Servers for faults that kill them, started once for a run; each test gets a fresh database and an empty Redis.

With a Citus cluster (see tests/citus.py), the database is on it. Tests about the Postgres of one server do not run
then: test_citus.py kills servers of the cluster.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from runtime.embedded.placement import EmbeddedError
from tests import citus
from tests.faults.kit import FaultStage
from tests.faults.servers import TEMPLATE, Servers, running_servers
from tests.world import World

_numbers = iter(range(1_000_000))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A Postgres with fsync and a Redis with an append-only file, for all tests of a run."""
    try:
        running = running_servers()
        own = running.__enter__()
    except EmbeddedError as error:
        pytest.skip(str(error))
    yield own
    running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The name of a migrated database, which each test copies."""
    from cli.service.migrate import migrate_to  # noqa: PLC0415 - after the environment is set

    servers.execute("CREATE DATABASE {}", TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        at_database(patch, servers.database_url(TEMPLATE))
        migrate_to("head")
    forget_database()
    return TEMPLATE


@pytest.fixture
def own_postgres() -> None:
    """The stage's database is on the Postgres of `servers`, which the test may stop. Skips the test on a cluster."""
    if citus.is_used():
        pytest.skip("the test stops or fills the Postgres of one server")


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, servers: Servers) -> Iterator[str]:
    """The URL of a migrated database without rows."""
    if citus.is_used():
        yield request.getfixturevalue("database")
        return
    name = f"fault_{next(_numbers)}"
    servers.execute("CREATE DATABASE {} TEMPLATE {}", name, request.getfixturevalue("template"))
    yield servers.database_url(name)
    servers.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def stage(
    servers: Servers, empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultStage]:
    """A stage with an empty database and an empty Redis, which this process uses too."""
    with staged(servers, empty_database, tmp_path, monkeypatch) as made:
        yield made


@contextmanager
def staged(servers: Servers, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultStage]:
    """A stage with the database at `url` and an empty Redis, which this process uses too during the block."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    monkeypatch.setenv("REDIS_URL", servers.redis_url)
    monkeypatch.delenv("BROKER_URL", raising=False)
    monkeypatch.setenv("SPENDGATE_HOME", str(servers.home))
    servers.announce(url)
    at_database(monkeypatch, url)
    made = FaultStage(servers, World(url, monkeypatch), folder)
    print(f"SPENDGATE_FAULTS_SEED={made.seed}")
    yield made
    made.world.disconnect()
    monkeypatch.undo()
    forget_database()


def at_database(patch: pytest.MonkeyPatch, url: str) -> None:
    """Lets this process use the database at `url`."""
    forget_database()
    patch.setenv("DATABASE_URL", url)


def forget_database() -> None:
    """Closes the database connections and clears caches; the next use reads the settings again."""
    from db.engine import engine  # noqa: PLC0415 - after the environment is set
    from db.repository.ledger.ledger import clear_ledger_cache  # noqa: PLC0415
    from db.repository.ledger.named_campaigns import clear_campaign_cache  # noqa: PLC0415
    from runtime import clock  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415

    if engine.is_made:
        engine().dispose()
    engine.cache_clear()
    settings.cache_clear()
    clock.reset()
    clear_ledger_cache()
    clear_campaign_cache()
