"""The folder in which the embedded servers live: who holds it, its secrets, and the ports used there."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runtime.embedded.placement import OWN_SERVERS, EmbeddedError
from runtime.settings import SERVERS_FILE

if sys.platform != "win32":
    import fcntl


def passwords_of(home: Path) -> tuple[str, str]:
    """Read the passwords of Postgres and Valkey, made when there are no data yet."""
    path = home / "passwords"
    passwords = path.read_text().split() if path.exists() else []
    if len(passwords) != 2:
        if (home / "postgres").exists():
            raise EmbeddedError(f"{path} is gone or damaged: restore it, or set SPENDGATE_HOME to begin anew")
        passwords = [secrets.token_hex(24), secrets.token_hex(24)]
        write_private(path, " ".join(passwords))
    if path.stat().st_uid != os.geteuid():
        raise EmbeddedError(f"{home} belongs to the user {path.stat().st_uid}: run as that user, or set SPENDGATE_HOME")
    return passwords[0], passwords[1]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def announce(home: Path) -> None:
    """Tells other programs of the servers that run in `home`: from now on `home/env` has their URLs, whole."""
    write_private(home / "env", (home / SERVERS_FILE).read_text())


def unusable(home: Path, error: OSError) -> EmbeddedError:
    """Why the servers cannot live in `home`."""
    hint = f"set SPENDGATE_HOME to a directory you can write, with space in it, or {OWN_SERVERS}"
    return EmbeddedError(f"SPENDGATE_HOME: cannot use {error.filename or home}: {error.strerror or error}; {hint}")


@contextmanager
def owned(home: Path) -> Iterator[None]:
    """Hold `home` against every other process. Raises EmbeddedError, naming who has it."""
    with open_lock(home / "lock") as lock:
        if not try_lock(lock):
            raise EmbeddedError(f"{home} is already running, pid {noted(lock)[0]}; stop it or set SPENDGATE_HOME")
        note(lock, os.getpid(), 0)
        yield


def open_lock(path: Path) -> IO[str]:
    """The lock file at `path`, made when absent."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def try_lock(lock: IO[str]) -> bool:
    """Take the lock; False when another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def note(lock: IO[str], pid: int, port: int) -> None:
    """Write who holds `lock`, and the port used."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"{pid} {port}")
    lock.flush()


def noted(lock: IO[str]) -> tuple[int, int]:
    """The pid and port of whoever last held `lock`, or zeros."""
    lock.seek(0)
    pid, _, port = lock.read().partition(" ")
    return int(pid or 0), int(port or 0)
