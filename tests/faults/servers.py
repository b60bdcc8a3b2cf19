"""Servers that a test kills and restarts, small disks that fill up, and a proxy to Redis that drops replies."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from runtime.embedded import servers as embedded
from runtime.embedded.home import passwords_of, write_private
from runtime.embedded.placement import server_account
from runtime.embedded.programs import Postgres, Valkey
from tests.ports import free_port

MAX_CONNECTIONS = 100
TEMPLATE = "template_of_faults"


class Server:
    """One embedded server as `spendgate up` starts it; a restart uses the same port."""

    def __init__(self, kind: Postgres | Valkey) -> None:
        self._kind = kind
        self._running = ExitStack()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server and returns once it answers."""
        port, self.process = embedded.serve(self._running, self._kind)
        assert self.port in {0, port}, "another program took the port"
        self.port = port

    def end(self, number: signal.Signals) -> None:
        """Sends the signal to the running server and returns once it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, "it had ended before"
        self.process.send_signal(number)
        self.process.wait(60)
        self._running.close()

    def close(self) -> None:
        """Stops the server in an orderly way, if it still runs."""
        self._running.close()


class Servers:
    """A Postgres with fsync and a Valkey with an append-only file, in a home folder of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "logs").mkdir(parents=True)
        home.chmod(0o755)
        postgres_password, valkey_password = passwords_of(home)
        limits = {"max_connections": str(MAX_CONNECTIONS)}
        self._postgres = Postgres(home, postgres_password, server_account(), limits)
        self.postgres, self.valkey = Server(self._postgres), Server(Valkey(home, valkey_password))
        self._valkey_password = valkey_password

    def start(self) -> None:
        """Starts both."""
        self.valkey.start()
        self.postgres.start()

    def announce(self, database_url: str) -> None:
        """Names the addresses in `home/env`, so that processes with this database can use the simulated clock."""
        write_private(self.home / "env", f"DATABASE_URL={database_url}\nREDIS_URL={self.redis_url}\n")

    def close(self) -> None:
        """Stops both servers."""
        self.postgres.close()
        self.valkey.close()

    @property
    def redis_url(self) -> str:
        return self.redis_url_at(self.valkey.port)

    def redis_url_at(self, port: int) -> str:
        """The URL of this Redis through another port."""
        return f"redis://:{self._valkey_password}@127.0.0.1:{port}/0"

    def database_url(self, name: str) -> str:
        return self._postgres.url(self.postgres.port, name)

    def execute(self, statement: str, *names: object) -> None:
        """Runs a statement as superuser; each {} in it is an identifier or, if it is no string, a literal."""
        parts = [name if isinstance(name, sql.Composable) else sql.Identifier(str(name)) for name in names]
        with psycopg.connect(self.database_url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*parts))


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Both servers, stopped and deleted at the end."""
    home = Path(tempfile.mkdtemp(prefix="spendgate-faults-"))
    servers = Servers(home / "home")
    try:
        home.chmod(0o755)
        servers.start()
        yield servers
    finally:
        servers.close()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mounts a small file system at `folder`; skips the test without the right to mount one."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fills the disk of `folder` during the block."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        filler.unlink()


class Proxy:
    """A proxy for one port that can drop all replies."""

    def __init__(self, towards: int) -> None:
        self._towards = towards
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.port: int = self._listener.getsockname()[1]
        self.is_swallowing = False
        self.swallowed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Closes every open connection."""
        for pair in self._pairs:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def close(self) -> None:
        """Refuses further connections and closes the open ones."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._towards))
                except OSError:
                    client.close()
                    continue
                self._pairs.append((client, server))
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is server and self.is_swallowing:
                        self.swallowed += len(data)
                    else:
                        (server if source is client else client).sendall(data)
