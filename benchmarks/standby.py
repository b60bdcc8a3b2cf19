"""Runs a replica of an embedded Postgres, made as an operator does: by pg_basebackup and streaming."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import psycopg

from runtime.embedded import programs
from runtime.embedded import servers as embedded
from runtime.embedded.home import passwords_of
from runtime.embedded.placement import server_account

AS_THE_PRIMARY: Final = (
    *("max_connections", "max_worker_processes", "max_wal_senders"),
    *("max_locks_per_transaction", "max_prepared_transactions"),
)
"""Settings for which a replica must have at least the value of its primary."""


class _Standby(programs.Postgres):
    """An embedded Postgres whose data come from another server."""

    primary = ""

    def _initialise(self, lock: IO[str]) -> None:
        new = self.folder / "postgres.new"
        new.mkdir(mode=0o700)
        if self.account is not None:
            os.chown(new, *self.account)
        argv = [str(self.binaries / "pg_basebackup"), "-D", str(new), "-d", self.primary, "-R", "-X", "stream"]
        with programs.server_process(self, [*argv, "-c", "fast"], "", lock) as copying:
            if copying.wait() != 0:
                raise programs.failure("pg_basebackup failed", self.log)
        new.rename(self.data)


@contextmanager
def standby(database_url: str, home: Path) -> Iterator[str]:
    """Starts a streaming replica in `home`; yields its URL for the database, and stops it at the end of the block."""
    at = urlsplit(database_url.replace("+psycopg", ""))
    with psycopg.connect(at.geturl()) as connection:
        query = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
        settings: dict[str, str] = dict(connection.execute(query, [list(AS_THE_PRIMARY)]).fetchall())
    (home / "logs").mkdir(parents=True)
    home.chmod(0o755)
    passwords_of(home)
    server = _Standby(home, at.password or "", server_account(), {**settings, "hot_standby_feedback": "on"})
    server.primary = at._replace(path="/postgres").geturl()
    with ExitStack() as stack:
        port, _ = embedded.serve(stack, server)
        yield at._replace(netloc=f"{at.username}:{at.password}@127.0.0.1:{port}").geturl()
