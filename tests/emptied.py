"""Empties a database between two tests, or finds that a test changed more than rows.

That takes a tenth of the time of another copy of the template. A database is refused after a test that changed tables,
functions, rights or settings of it, or rows that the migrations wrote, and after one that wrote much: Postgres plans
otherwise for larger tables.
"""

from collections.abc import Set
from functools import cached_property
from typing import Any, Final

import psycopg
from psycopg import sql

MOST_BYTES: Final = 10 * 8192
"""Size up to which Postgres plans for a table as for an empty one, if it was never vacuumed."""

PATIENCE_MILLISECONDS: Final = 60_000

CATALOGS: Final = (
    *("attrdef", "attribute", "class", "constraint", "default_acl", "event_trigger", "extension", "foreign_server"),
    *("index", "inherits", "largeobject_metadata", "namespace", "policy", "proc", "publication", "rewrite", "sequence"),
    *("statistic", "statistic_ext", "trigger", "type"),
)
"""Catalogs, without `pg_`, of which one changes with each definition and each right, and with ANALYZE."""

END_OTHERS: Final = """
    SELECT count(pg_terminate_backend(pid, %s)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND (pid <> ALL (%s) OR state <> 'idle')
"""

OURS: Final = "WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)"

TABLES: Final = f"{OURS} SELECT relname, pg_relation_size(oid) FROM ours WHERE relkind = 'r' ORDER BY 1"  # noqa: S608
SEQUENCES: Final = """
    SELECT seqrelid::regclass::text FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL
"""

MONTHS: Final = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'spend_events'::regclass"

# The rights and settings of the database, and what ANALYZE and VACUUM note in the catalog.
SETTINGS: Final = f"""
    {OURS}, here AS (SELECT * FROM pg_database WHERE datname = current_database())
    SELECT
        (SELECT (datdba, datacl, datconnlimit, dattablespace)::text FROM here),
        (SELECT count(*) FROM pg_db_role_setting JOIN here ON here.oid = setdatabase),
        (SELECT sum(reltuples) FROM ours WHERE relkind IN ('r', 'p', 'i')),
        (SELECT sum(relpages) FROM ours WHERE relkind IN ('r', 'p', 'i'))
"""  # noqa: S608

Rows = list[tuple[Any, ...]]


class Emptied:
    """A connection to a migrated database without rows of tests, and that database's state."""

    def __init__(self, url: str) -> None:
        """Connects as the owner, a superuser, and notes the state."""
        self._url = url
        self._connection = self._connected()
        self._tables = [str(name) for name, size in self._rows(TABLES) if size == 0]
        self._migrated = [str(name) for name, size in self._rows(TABLES) if size > 0]
        self._months = [str(name) for (name,) in self._rows(MONTHS)]
        self._moved = self._rows(SEQUENCES)
        (self._transaction,) = self._rows("SELECT pg_current_xact_id()::text")[0]
        self._state = self._found()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def again(self, kept: Set[int]) -> bool:
        """Ends all other connections and restores the state; returns False where that is not possible.

        `kept`: process ids of connections that stay open if they are idle.
        """
        try:
            return self._restored(kept)
        except psycopg.Error:
            return False

    def _restored(self, kept: Set[int]) -> bool:
        if self._connection.closed:
            self._connection = self._connected()
        self._rows(END_OTHERS, PATIENCE_MILLISECONDS, [*kept])
        sizes: dict[str, int] = dict(self._rows(TABLES))
        if any(size > MOST_BYTES for size in sizes.values()):
            return False
        made = [name for name in sizes if name.startswith("spend_events_") and name not in self._months]
        filled = self._rows(self._filled)[0][0]
        moved = [name for row in self._rows(SEQUENCES) if row not in self._moved for name in row]
        self._execute(
            *(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)) for name in made),
            *(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in filled),
            *(sql.SQL("SELECT setval({}::regclass, 1, false)").format(sql.Literal(name)) for name in moved),
        )
        return self._found() == self._state

    def _connected(self) -> psycopg.Connection:
        options = f"-c session_replication_role=replica -c lock_timeout={PATIENCE_MILLISECONDS}"
        return psycopg.connect(self._url, autocommit=True, options=options, application_name="emptied")

    @cached_property
    def _filled(self) -> bytes:
        """A query for the tables that have rows and had none."""
        one = "SELECT {} WHERE EXISTS (SELECT FROM {})"
        each = [sql.SQL(one).format(sql.Literal(name), sql.Identifier(name)) for name in self._tables]
        return sql.SQL("SELECT ARRAY({})").format(sql.SQL(" UNION ALL ").join(each)).as_bytes(self._connection)

    def _found(self) -> list[Rows]:
        return [self._rows(SETTINGS), self._rows(self._definitions), self._rows(self._written_by_migrations)]

    @cached_property
    def _definitions(self) -> bytes:
        """A query for the number of each catalog's rows, and of those written since the state was noted."""
        one = "SELECT count(*), count(*) FILTER (WHERE age(xmin) < age({}::xid)) FROM {}"
        xid = sql.Literal(self._transaction)
        each = [sql.SQL(one).format(xid, sql.Identifier("pg_catalog", f"pg_{name}")) for name in CATALOGS]
        return sql.SQL(" UNION ALL ").join(each).as_bytes(self._connection)

    @cached_property
    def _written_by_migrations(self) -> bytes:
        """A query for a digest of each table with rows that migrations wrote."""
        one = "SELECT md5(string_agg({0}::text, ' ' ORDER BY {0}::text)) FROM {0}"
        each = [sql.SQL(one).format(sql.Identifier(name)) for name in self._migrated]
        return sql.SQL(" UNION ALL ").join(each).as_bytes(self._connection)

    def _rows(self, query: str | bytes, *parameters: object) -> Rows:
        sent = query.encode() if isinstance(query, str) else query
        return self._connection.execute(sent, parameters or None, prepare=True).fetchall()

    def _execute(self, *statements: sql.Composable) -> None:
        if statements:
            self._connection.execute(sql.SQL("; ").join(statements))
