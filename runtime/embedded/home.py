"""SPENDGATE_HOME, the folder of the embedded servers: its locks, passwords and ports."""

import base64
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from runtime.embedded.placement import OWN_SERVERS, EmbeddedError
from runtime.settings import SERVERS_FILE

if sys.platform != "win32":
    import fcntl

ENCRYPTION_KEY_FILE: Final = "encryption-key"


def passwords_of(home: Path) -> tuple[str, str]:
    """Returns the passwords of Postgres and Valkey, in this order; creates them if Postgres has no data yet.

    Raises EmbeddedError if their file is lost or damaged, or belongs to another user.
    """
    path = home / "passwords"
    passwords = path.read_text().split() if path.exists() else []
    if len(passwords) != 2:
        if (home / "postgres").exists():
            raise EmbeddedError(f"{path} is missing or damaged: restore it, or set SPENDGATE_HOME to a new folder")
        passwords = [secrets.token_hex(24), secrets.token_hex(24)]
        write_private(path, " ".join(passwords))
    if path.stat().st_uid != os.geteuid():
        raise EmbeddedError(f"{home} belongs to the user {path.stat().st_uid}: run as that user, or set SPENDGATE_HOME")
    return passwords[0], passwords[1]


def encryption_key_of(home: Path) -> str:
    """Returns the key that encrypts kept secrets; creates it if there is none."""
    path = home / ENCRYPTION_KEY_FILE
    if not path.exists():
        write_private(path, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read. Replaces it atomically, after a sync to disk."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def announce(home: Path) -> None:
    """Writes the URLs of the running servers to `home/env`, where other programs read them."""
    write_private(home / "env", (home / SERVERS_FILE).read_text())


def unusable_home(home: Path, error: OSError) -> EmbeddedError:
    """Returns the error that says why the servers cannot use `home` and what to do."""
    hint = f"set SPENDGATE_HOME to a folder that you can write to and that has space, or {OWN_SERVERS}"
    return EmbeddedError(f"SPENDGATE_HOME: cannot use {error.filename or home}: {error.strerror or error}; {hint}")


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """Locks `home` during the block. Raises EmbeddedError, with the pid, if another process has locked it."""
    with open_lock(home / "lock") as lock:
        if not try_lock(lock):
            raise EmbeddedError(f"{home} is already running, pid {read_owner(lock)[0]}; stop it or set SPENDGATE_HOME")
        write_owner(lock, os.getpid(), 0)
        yield


def open_lock(path: Path) -> IO[str]:
    """Opens the lock file at `path` and creates it if it is missing."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def try_lock(lock: IO[str]) -> bool:
    """Takes the lock without waiting; returns False if another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_owner(lock: IO[str], pid: int, port: int) -> None:
    """Writes the pid of the process that holds `lock`, and its port, into the lock file."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"{pid} {port}")
    lock.flush()


def read_owner(lock: IO[str]) -> tuple[int, int]:
    """Returns the pid and port of the last process that held `lock`, as its file has them; zeros if it has none."""
    lock.seek(0)
    pid, _, port = lock.read().partition(" ")
    return int(pid or 0), int(port or 0)
