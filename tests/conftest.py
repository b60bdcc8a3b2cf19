"""Real servers for the tests, embedded unless DATABASE_URL and REDIS_URL are set; each test finds an empty database.

SPENDGATE_TEST_CITUS: URL of a Citus cluster to use as Postgres (see tests/citus.py).
SPENDGATE_TEST_REDIS: path of a redis-server to use instead. SPENDGATE_TEST_RABBITMQ: path of a rabbitmq-server to use
as the broker.
"""

import base64
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings
from psycopg import sql

from db.repository.access.privileges import DatabaseRole
from runtime.embedded import servers as embedded
from tests import citus, preloaded, rabbitmq
from tests.databases import Databases
from tests.folders import new_folder
from tests.ports import free_port
from tests.roles import UrlOf, as_login
from tests.world import World

if TYPE_CHECKING:
    from tests.kept_engines import KeptEngines

THROW_AWAY = {
    "max_connections": "200",
    "max_prepared_transactions": "5",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "file_copy_method": "clone",  # copies the template's files by a system call each
    "scram_iterations": "1",  # with the default of 4,096, each connection costs the client 6 ms of processor time
}
_servers = ExitStack()

# A busy machine draws examples slowly and takes long for one: neither fails a test.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Starts the servers before the product is imported, because the broker reads its URL on import."""
    # The tests start hundreds of processes, which would otherwise compile every module again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    is_controller = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    if is_controller:
        return
    gc.disable()  # until the tests begin: modules and tests that are collected stay
    os.environ["LOG_LEVEL"] = "INFO"
    os.environ.update(SPENDGATE_WORKER_METRICS_PORT="0", SPENDGATE_SCHEDULER_METRICS_PORT="0")
    os.environ["SPENDGATE_ENCRYPTION_KEYS"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
    os.environ.pop("SPENDGATE_HOME", None)
    if citus.is_used():
        os.environ["DATABASE_URL"] = os.environ[citus.VARIABLE]
    has_own_postgres = "DATABASE_URL" not in os.environ
    if has_own_postgres or ("REDIS_URL" not in os.environ and citus.is_used()):
        home = new_folder("spendgate-tests-")
        servers = _servers.enter_context(embedded.running(home, postgres_settings=THROW_AWAY))
        _servers.callback(shutil.rmtree, home, ignore_errors=True)
        _set_password_again(servers.database_url)
        url = os.environ.get(citus.VARIABLE, servers.database_url)
        os.environ.update(DATABASE_URL=url, REDIS_URL=servers.redis_url, SPENDGATE_HOME=str(home))
    if "SPENDGATE_TEST_REDIS" in os.environ:
        os.environ["REDIS_URL"] = _servers.enter_context(redis_server(os.environ["SPENDGATE_TEST_REDIS"]))
    os.environ.pop("BROKER_URL", None)
    if "SPENDGATE_TEST_RABBITMQ" in os.environ:
        server = _servers.enter_context(rabbitmq.running(os.environ["SPENDGATE_TEST_RABBITMQ"]))
        rabbitmq.servers.append(server)
        os.environ["BROKER_URL"] = server.url
    number = getattr(config, "workerinput", {}).get("workerid", "gw0").removeprefix("gw")
    os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'].rpartition('/')[0]}/{int(number) + 1}"
    _databases.append(Databases(os.environ["DATABASE_URL"], are_left=has_own_postgres))
    _databases[0].make_template()
    _keep_engines()


def pytest_collection_finish() -> None:
    """Spares garbage collections the collected tests and their modules."""
    gc.collect()
    gc.freeze()
    gc.enable()


LONG = tuple(
    f"tests/{name}"
    for name in (
        *("faults/", "workers/", "ops/", "docs/test_guides", "cli/service/test_up", "cli/service/test_wheel"),
        *("app/alerts/test_workers", "app/platforms/test_workers", "app/platforms/test_faults_in_workers"),
        *("app/ingest/test_locked_brands", "cli/service/test_waiting", "db/test_migrations", "runtime/test_signals"),
        *("cli/imports/test_import_real_files", "web/test_browser", "web/test_slow_clients", "web/api/test_contract"),
    )
)
"""Where the tests lie that take seconds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets each process of a parallel run begin with a share of the long tests, so that none of them begins last.

    The scheduler `worksteal` first gives each process an equal part of the list, in order.
    """
    if citus.is_used():
        citus.skip_on_cluster(items)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.nodeid.startswith(LONG):
            modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
    others = iter([item for item in items if not item.nodeid.startswith(LONG)])
    ordered: list[pytest.Item] = []
    for place in range(processes):
        size = (len(items) - len(ordered)) // (processes - place)
        first = [item for module in list(modules.values())[place::processes] for item in module]
        ordered += [*first, *islice(others, max(0, size - len(first)))]
    if processes:
        items[:] = [*ordered, *others]


@contextmanager
def redis_server(binary: str, *options: str) -> Iterator[str]:
    """Starts the redis-server `binary` on a free port and yields its URL."""
    port = free_port()
    arguments = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"]
    arguments += options
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(arguments, cwd=folder) as server:
        while not _answers(port):
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def _set_password_again(url: str) -> None:
    """Sets the owner's password again, so that its verifier uses the few iterations set in THROW_AWAY."""
    password = urlsplit(url).password or ""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(password))


def pytest_unconfigure() -> None:
    """Drops the tests' databases and roles, and stops the servers."""
    preloaded.stop()
    while _engines:
        _engines.pop().close()
    while _databases:
        _databases.pop().close()
    _servers.close()


_databases: list[Databases] = []
"""Those of this process; none in the process that only distributes the tests."""

_engines: list["KeptEngines"] = []


def _keep_engines() -> None:
    from db.engine import engine  # noqa: PLC0415 - after the environment is set
    from tests.kept_engines import KeptEngines  # noqa: PLC0415

    _engines.append(KeptEngines(engine._make))
    engine._make = _engines[0]


@pytest.fixture(scope="session")
def server() -> str:
    """The URL of the tests' Postgres and its first database, which has no tables."""
    return _databases[0].url


@pytest.fixture
def login() -> DatabaseRole | None:
    """The database role of this process and those it starts; None: the owner, with all privileges."""
    return None


@pytest.fixture
def database(login: DatabaseRole | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated, empty database for the test; yields its owner's URL. Empties the queues too."""
    from app.wakes import clear_wakes  # noqa: PLC0415 - after the environment is set
    from db.repository.ledger.ledger import clear_ledger_cache  # noqa: PLC0415
    from db.repository.ledger.named_campaigns import clear_campaign_cache  # noqa: PLC0415
    from db.repository.spread.shards import clear_shard_cache  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415

    databases = _databases[0]
    url = databases.take()
    if databases.is_replaced:
        _engines[0].close()
        clear_shard_cache()
    monkeypatch.setenv("DATABASE_URL", url if login is None else as_login(url, *databases.logins[login]))
    settings.cache_clear()
    _engines[0].begin_test()
    clear_ledger_cache()
    clear_campaign_cache()
    clear_wakes()
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
    for server in rabbitmq.servers:
        server.flush()
    yield url
    left = _engines[0].threads_left()
    settings.cache_clear()
    databases.give_back(_engines[0].end_test())
    assert left == [], f"these threads use the database and outlive their test: {left}"


@pytest.fixture
def own_copy() -> Iterator[None]:
    """Gives the test a new copy of the template, which no other test uses: it ends connections to it."""

    def begin_anew() -> None:
        _engines[0].close()
        _databases[0].drop()

    begin_anew()
    yield
    begin_anew()


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hashes passwords with argon2id at its least cost, in this process."""
    from app import access  # noqa: PLC0415 - after the environment is set

    monkeypatch.setattr(access, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    access._dummy_hash.cache_clear()
    yield
    access._dummy_hash.cache_clear()


@pytest.fixture
def url_of(database: str) -> UrlOf:
    """A function that returns the URL with which a role connects to the test's database."""
    return lambda role: as_login(database, *_databases[0].logins[role])


@pytest.fixture
def world(database: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """A World on the test's own database."""
    return World(database, monkeypatch, _databases[0].readers)


@pytest.fixture
def noon() -> datetime:
    """A Wednesday noon (UTC), far from every clock change."""
    return datetime.fromisoformat("2026-06-17T12:00:00+00:00")
