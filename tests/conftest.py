"""Real servers for the tests, embedded unless DATABASE_URL and REDIS_URL are set; each test has its own database.

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
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from argon2 import PasswordHasher
from psycopg import sql

from db.repository.access.privileges import DatabaseRole
from runtime.embedded import servers as embedded
from tests import citus, preloaded, rabbitmq
from tests.folders import new_folder
from tests.ports import free_port
from tests.roles import UrlOf, as_login
from tests.world import World

THROW_AWAY = {
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "file_copy_method": "clone",  # copies the template's files by a system call each
    "scram_iterations": "1",  # with the default of 4,096, each connection costs the client 6 ms of processor time
}
TEMPLATE = f"spendgate_template_{os.getpid()}"

_servers = ExitStack()


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
    if "DATABASE_URL" not in os.environ or ("REDIS_URL" not in os.environ and citus.is_used()):
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
    _make_template()


def pytest_collection_finish() -> None:
    """Spares garbage collections the collected tests and their modules."""
    gc.collect()
    gc.freeze()
    gc.enable()


LONG = tuple(
    f"tests/{name}"
    for name in (
        *("faults/", "workers/", "ops/", "docs/test_guides", "cli/service/test_up", "cli/service/test_wheel"),
        *("app/alerts/test_workers", "app/platforms/test_workers", "db/test_migrations", "runtime/test_signals"),
        *("cli/imports/test_import_real_files", "web/test_browser", "web/api/test_contract"),
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
    """Drops the template database and roles, and stops the servers."""
    preloaded.stop()
    if _maintenance:
        if citus.is_used():
            citus.drop_database(_maintenance_url[0], TEMPLATE)
        _maintain("DROP DATABASE IF EXISTS {} WITH (FORCE)", TEMPLATE)
        for name, _ in _logins.values():
            _maintain("DROP ROLE IF EXISTS {}", name)
        _maintenance.pop().close()
    _servers.close()


UNREACHABLE = "postgresql://nobody@127.0.0.1:1/a-test-without-the-fixture-database"
"""The database of code that runs outside of the fixture `database`: it must not connect to the template."""

_maintenance_url: list[str] = []
_maintenance: list[psycopg.Connection] = []
"""The connection used to create and drop databases."""

_logins: dict[DatabaseRole, tuple[str, str]] = {}
"""The names and passwords of the database roles, valid for every copy of the template."""


def _make_template() -> None:
    from cli import roles  # noqa: PLC0415 - after the environment is set
    from cli.service.migrate import migrate_to  # noqa: PLC0415 - after the environment is set
    from runtime.settings import settings  # noqa: PLC0415

    base = os.environ["DATABASE_URL"]
    _maintenance_url.append(base)
    if citus.is_used():
        citus.make_database(base, TEMPLATE)
    else:
        _maintain("DROP DATABASE IF EXISTS {}", TEMPLATE)
        _maintain("CREATE DATABASE {}", TEMPLATE)
    os.environ["DATABASE_URL"] = _url_of(TEMPLATE)
    settings.cache_clear()
    migrate_to("head")
    with roles.connected() as driver:
        made = roles.create(driver, {}, rotate=True)
    for role, url in made.items():
        split = urlsplit(url)
        _logins[role] = split.username or "", split.password or ""
    if not citus.is_used():
        _compact(os.environ["DATABASE_URL"])
    os.environ["DATABASE_URL"] = UNREACHABLE
    settings.cache_clear()


def _compact(url: str) -> None:
    """Rewrites the catalogs that the migrations filled: that is a sixth less of files to copy for each test.

    The tests' own tables stay as they are, because a plan depends on whether a table was ever vacuumed.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
            " AND NOT relisshared"
        )
        names = sql.SQL(", ").join(sql.Identifier("pg_catalog", name) for (name,) in rows)
        connection.execute(sql.SQL("VACUUM FULL {}").format(names))
    psycopg.connect(url).close()  # writes the file of catalogs with which a connection starts faster


def _maintain(statement: str, *names: str) -> None:
    """Runs a statement outside the tests' databases, with each {} replaced by a quoted name."""
    if not _maintenance:
        _maintenance.append(psycopg.connect(_maintenance_url[0], autocommit=True))
    _maintenance[0].execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _url_of(database: str) -> str:
    return f"{_maintenance_url[0].rpartition('/')[0]}/{database}"


@pytest.fixture(scope="session")
def server() -> str:
    """The URL of the tests' Postgres and its first database, which has no tables."""
    return _maintenance_url[0]


@pytest.fixture
def login() -> DatabaseRole | None:
    """The database role of this process and those it starts; None: the owner, with all privileges."""
    return None


@pytest.fixture
def database(login: DatabaseRole | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated, empty database for the test; yields its owner's URL. Empties the queues too."""
    from db.engine import engine  # noqa: PLC0415 - after the environment is set
    from db.repository.ledger.accounts import clear_campaign_cache  # noqa: PLC0415
    from db.repository.ledger.ledger import clear_ledger_cache  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415

    name = f"spendgate_test_{os.getpid()}_{next(_numbers)}"
    if citus.is_used():
        name = TEMPLATE
        citus.empty(_url_of(name))
    else:
        _maintain("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, TEMPLATE)
    url = _url_of(name)
    monkeypatch.setenv("DATABASE_URL", url if login is None else as_login(url, *_logins[login]))
    settings.cache_clear()
    engine.cache_clear()
    clear_ledger_cache()
    clear_campaign_cache()
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
    for server in rabbitmq.servers:
        server.flush()
    yield url
    engine().dispose()
    engine.cache_clear()
    settings.cache_clear()
    if not citus.is_used():
        _maintain("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


_numbers = iter(range(1_000_000))


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
    return lambda role: as_login(database, *_logins[role])


@pytest.fixture
def world(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A World on the test's own database."""
    new = World(database, monkeypatch)
    yield new
    new.disconnect()


@pytest.fixture
def noon() -> datetime:
    """A Wednesday noon (UTC), far from every clock change."""
    return datetime.fromisoformat("2026-06-17T12:00:00+00:00")
