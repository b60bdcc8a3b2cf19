"""The tests' databases on one server: a migrated template, and a copy that the tests use in turn."""

import os
from collections.abc import Set
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from db.repository.access.privileges import DatabaseRole
from tests import citus
from tests.emptied import Emptied
from tests.world import Connections

TEMPLATE: Final = f"spendgate_template_{os.getpid()}"
COPY: Final = f"spendgate_test_{os.getpid()}"

UNREACHABLE: Final = "postgresql://nobody@127.0.0.1:1/a-test-without-the-fixture-database"
"""The database of code that runs outside of the fixture `database`: it must not connect to the template."""

MOST_TESTS: Final = 200
"""Tests after which a copy is replaced: rows that were deleted stay in its files."""

MOST_READERS: Final = 2


class Databases:
    """The template, its roles and the copy. `url`: the server's first database, which has no tables.

    `are_left`: the server ends with the tests, so that nothing needs to be dropped.
    """

    def __init__(self, url: str, *, are_left: bool) -> None:
        self.url = url
        self._are_left = are_left
        self.logins: dict[DatabaseRole, tuple[str, str]] = {}
        """The names and passwords of the database roles, valid for every copy of the template."""
        self._maintenance = psycopg.connect(url, autocommit=True)
        self._copy: Emptied | None = None
        self.readers: Connections = []
        """Idle connections to the copy by which tests read rows."""
        self._tests = 0
        self._migrated: citus.Definitions = {}
        self.is_replaced = False
        """Whether the last database that was taken is a new one under the name of another."""

    def make_template(self) -> None:
        """Makes and migrates the template, and its roles."""
        from cli import roles  # noqa: PLC0415 - after the environment is set
        from cli.service.migrate import migrate_to  # noqa: PLC0415 - after the environment is set
        from runtime.settings import settings  # noqa: PLC0415

        if citus.is_used():
            citus.make_database(self.url, TEMPLATE)
        else:
            self._maintain("DROP DATABASE IF EXISTS {}", TEMPLATE)
            self._maintain("CREATE DATABASE {}", TEMPLATE)
        os.environ["DATABASE_URL"] = self._url_of(TEMPLATE)
        settings.cache_clear()
        migrate_to("head")
        with roles.connected() as driver:
            made = roles.create(driver, {}, rotate=True)
        for role, url in made.items():
            split = urlsplit(url)
            self.logins[role] = split.username or "", split.password or ""
        if citus.is_used():
            self._migrated = citus.definitions(self._url_of(TEMPLATE))
        else:
            _compact(os.environ["DATABASE_URL"])
        os.environ["DATABASE_URL"] = UNREACHABLE
        settings.cache_clear()

    def take(self) -> str:
        """The URL of a migrated database without rows, for one test."""
        self.is_replaced = False
        if citus.is_used():
            if not citus.empty(self._url_of(TEMPLATE), self._migrated):
                self._close_readers()
                self.make_template()
                self.is_replaced = True
            return self._url_of(TEMPLATE)
        if self._copy is None:
            self._maintain("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", COPY, TEMPLATE)
            self._copy, self._tests = Emptied(self._url_of(COPY)), 0
        return self._url_of(COPY)

    def give_back(self, kept: Set[int]) -> None:
        """Empties the copy after a test, or drops it where that is not possible.

        `kept`: process ids in Postgres of connections that may stay open.
        """
        if self._copy is None:
            return
        self._tests += 1
        idle, self.readers[:] = self.readers[:], []
        for reader in idle:
            if len(self.readers) < MOST_READERS and _is_as_new(reader):
                self.readers.append(reader)
            else:
                reader.close()
        readers = {reader.info.backend_pid for reader in self.readers}
        if self._tests >= MOST_TESTS or not self._copy.again(kept | readers):
            self._drop()

    def close(self) -> None:
        """Closes all connections; drops the databases and the roles, unless their server ends too."""
        self._close_readers()
        if self._copy is not None:
            self._copy.close()
        if not self._are_left:
            self._drop()
            if citus.is_used():
                citus.drop_database(self.url, TEMPLATE)
            self._maintain("DROP DATABASE IF EXISTS {} WITH (FORCE)", TEMPLATE)
            for name, _ in self.logins.values():
                self._maintain("DROP ROLE IF EXISTS {}", name)
        self._maintenance.close()

    def drop(self) -> None:
        """Drops the copy, so that the next test gets a new one."""
        self._close_readers()
        self._drop()

    def _close_readers(self) -> None:
        while self.readers:
            self.readers.pop().close()

    def _drop(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None
            self._maintain("DROP DATABASE IF EXISTS {} WITH (FORCE)", COPY)

    def _maintain(self, statement: str, *names: str) -> None:
        """Runs a statement outside the tests' databases, with each {} replaced by a quoted name."""
        self._maintenance.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _url_of(self, database: str) -> str:
        return f"{self.url.rpartition('/')[0]}/{database}"


def _is_as_new(reader: psycopg.Connection[Any]) -> bool:
    """Whether the connection lives; takes its settings back."""
    try:
        reader.execute("DISCARD ALL")
    except psycopg.Error:
        return False
    return True


def _compact(url: str) -> None:
    """Rewrites the catalogs that the migrations filled: that is a sixth less of files to copy.

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
