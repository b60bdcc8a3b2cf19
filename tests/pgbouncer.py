"""PgBouncer before the tests' Postgres."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.ports import free_port

BINARY = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONNECTIONS = 3
"""Connections to Postgres that all clients share, fewer than they open."""

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
ignore_startup_parameters = {ignored}
user = nobody
"""


@contextmanager
def running(database: str, folder: Path, *, ignored: str = "options,extra_float_digits") -> Iterator[str]:
    """Runs PgBouncer in transaction mode before the database's server; yields the database's URL through it."""
    at, own_port = urlsplit(database), free_port()
    file = folder / "pgbouncer.ini"
    folder.chmod(0o755)
    file.write_text(
        CONFIGURATION.format(
            host=at.hostname,
            port=at.port,
            user=at.username,
            password=at.password,
            own_port=own_port,
            connections=CONNECTIONS,
            ignored=ignored,
        )
    )
    url = f"postgresql://anyone@127.0.0.1:{own_port}{at.path}"
    with subprocess.Popen([str(BINARY), "--quiet", str(file)], stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(url, server)
            yield url
        finally:
            server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert server.poll() is None, "pgbouncer ended"
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
