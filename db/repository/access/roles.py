"""The SQL statements that create the roles of db/repository/access/privileges.py and grant their privileges.

`creation`, `grants` and `after_migration` query the database, and return the statements instead of running them, so
that an administrator can run them separately.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier, Literal

from db.repository.access.privileges import (
    FUNCTIONS,
    IF_SPREAD,
    READER,
    TABLES,
    DatabaseRole,
)
from domain.errors import InvalidValue

MAX_NAME: Final = 63
LEDGER: Final = "spend_events"

DIRECTORY: Final = "directory_campaigns"
"""A table that exists only in databases whose brands are spread over several servers."""

OUR_FUNCTIONS: Final = frozenset(
    {
        *("ensure_ledger_month", "drop_ledger_months", "ledger_retention_months", "refuse_edit_of_history"),
        *("ensure_ledger_partition", "ledger_partitions", "ledger_partition_kind", "ledger_retention_days"),
        *("make_whole_ledger_month", "replace_empty_ledger_months"),
        *("forget_expired", "make_owner", "refuse_owner_but_by_make_owner"),
        *("keep_budget_limits", "stamp_budget_change", "fix_zone_and_currency", "forget_headroom"),
        *("order_status_changes", "keep_locks"),
        *("keep_brand_facts", "set_platform_hold", "forget_unkept_headroom"),
        *("forget_history", "history_retention_days"),
        *("note_platform_hold", "keep_set_holds", "forget_platform_status"),
        *("lock_shard_of_brands", "prepare_once", "run_on_shard", "count_spend"),
    }
)

READER_CONNECTIONS: Final = 20
READER_SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "60s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "1h",
}
"""The default settings of the reader's sessions; a session can change them."""

PLACE: Final = """
    SELECT current_database(), current_schema(), pg_has_role(datdba, 'USAGE'), EXISTS (
        SELECT FROM pg_namespace, aclexplode(nspacl) AS granted
        WHERE nspname = current_schema() AND grantee = 0 AND privilege_type = 'CREATE'
    )
    FROM pg_database WHERE datname = current_database()
"""
KNOWN: Final = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"

# Also true for a superuser.
MAY_ACT_AS: Final = "SELECT COALESCE(bool_or(pg_has_role(oid, 'USAGE')), false) FROM pg_roles WHERE rolname = %s"

TABLES_HERE: Final = """
    SELECT relname, pg_get_userbyid(relowner) FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND (relname = ANY(%s) OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%s)))
    ORDER BY relname
"""
FUNCTIONS_HERE: Final = """
    SELECT proname, pg_get_function_identity_arguments(oid), pg_get_userbyid(proowner) FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname = ANY(%s)
    ORDER BY proname
"""

COLUMNS_HERE: Final = """
    SELECT relname, array_agg(attname::text) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s) AND attnum > 0 GROUP BY relname
"""
# The sequences of ids, where Citus plans some inserts: unlike Postgres, it needs a privilege to take an id for them.
SEQUENCES_HERE: Final = """
    SELECT pg_class.relname, sequence.relname FROM pg_depend
    JOIN pg_class ON pg_class.oid = refobjid JOIN pg_class AS sequence ON sequence.oid = objid
    WHERE deptype = 'i' AND sequence.relkind = 'S' AND pg_class.relname = ANY(%s)
        AND pg_class.relnamespace = current_schema()::regnamespace
        AND EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
    ORDER BY 1
"""
PRIVILEGE: Final = re.compile(r"(\w+)(?: \(([^)]*)\))?")

STORED_KNOWN: Final = "SELECT to_regprocedure(%s || '()') IS NOT NULL"
STORED: Final = SQL("SELECT {}()")
STORE: Final = SQL("CREATE OR REPLACE FUNCTION {}() RETURNS {} LANGUAGE sql STABLE AS {}")
MAY_REPLACE: Final = "SELECT has_function_privilege('replace_empty_ledger_months()', 'EXECUTE')"
REPLACE_EMPTY_MONTHS: Final = SQL("SELECT replace_empty_ledger_months()").format()

HISTORY_RETENTION_KNOWN: Final = "SELECT to_regprocedure('history_retention_days(text)') IS NOT NULL"
HISTORY_RETENTION: Final = "SELECT history_retention_days(%s)"
SET_HISTORY_RETENTION: Final = SQL(
    "CREATE OR REPLACE FUNCTION history_retention_days(of_history text) RETURNS integer LANGUAGE sql STABLE AS {}"
)

Driver = Connection[Any]
Verifiers = Mapping[DatabaseRole, str]
"""SCRAM verifiers of the passwords to set, by role. Passwords themselves are not sent to the server or its log."""


class Place(NamedTuple):
    """The connected database and its schema. `is_ours`: this connection may act as the database's owner.

    `anybody_creates`: every role may create tables in the schema.
    """

    database: str
    schema: str
    is_ours: bool
    anybody_creates: bool

    def role(self, role: DatabaseRole) -> str:
        """The role's name in Postgres. Raises InvalidValue if it would be longer than MAX_NAME bytes."""
        name = f"{self.database}_{role}"
        if len(name.encode()) > MAX_NAME:
            raise InvalidValue("DATABASE_URL", f"the database's name is too long for a role named {name}")
        return name


def place(driver: Driver) -> Place:
    """The database and schema of the connection."""
    row = driver.execute(PLACE).fetchone()
    assert row is not None  # noqa: S101 - a connection has a database
    return Place(*row)


def known_roles(driver: Driver) -> set[DatabaseRole]:
    """The roles of this database that exist."""
    here = place(driver)
    names = {here.role(role): role for role in DatabaseRole}
    return {names[name] for (name,) in driver.execute(KNOWN, [list(names)])}


def verifier(driver: Driver, role: DatabaseRole, password: str) -> str:
    """The SCRAM verifier of a password, computed by the client; Postgres stores it in place of the password."""
    name = place(driver).role(role)
    return driver.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()


def creation(driver: Driver, verifiers: Verifiers) -> Iterator[Composed]:
    """The statements that create missing roles, set passwords and grant privileges, in the order to run them.

    They also make the migrator the owner of all tables and functions. A role without a verifier keeps its password.
    """
    here, known = place(driver), known_roles(driver)
    for role in DatabaseRole:
        yield from _login(here, role, verifiers.get(role), is_new=role not in known)
    yield from _migrator(driver, here)
    names = {role: Identifier(here.role(role)) for role in DatabaseRole}
    schema = Identifier(here.schema)
    if here.is_ours:
        everyone = SQL(", ").join(names.values())
        yield SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(here.database), everyone)
        yield SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(Identifier(here.database))
    if here.anybody_creates:
        yield SQL("REVOKE CREATE ON SCHEMA {} FROM PUBLIC").format(schema)
    yield SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(schema, names[DatabaseRole.MIGRATOR])
    yield SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, SQL(", ").join(names[role] for role in TABLES))
    yield from _handing_over(driver, here.role(DatabaseRole.MIGRATOR))
    yield from grants(driver, list(TABLES))
    yield SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(names[DatabaseRole.READER], Literal(READER_CONNECTIONS))
    for setting, value in READER_SETTINGS.items():
        yield SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
            names[DatabaseRole.READER], Identifier(here.database), Identifier(setting), Literal(value)
        )


def _login(here: Place, role: DatabaseRole, secret: str | None, *, is_new: bool) -> Iterator[Composed]:
    verb = SQL("CREATE" if is_new else "ALTER")
    password = Composed([]) if secret is None else SQL(" PASSWORD {}").format(Literal(secret))
    if is_new or secret is not None:
        yield SQL("{} ROLE {} LOGIN").format(verb, Identifier(here.role(role))) + password


def _migrator(driver: Driver, here: Place) -> Iterator[Composed]:
    """The statement that makes the current user a member of the migrator, unless it is one or a superuser.

    Only a member can make the migrator the owner of tables, and grant privileges on the migrator's tables.
    """
    name = here.role(DatabaseRole.MIGRATOR)
    (acts,) = driver.execute(MAY_ACT_AS, [name]).fetchone() or (False,)
    (is_superuser,) = driver.execute("SELECT current_setting('is_superuser') = 'on'").fetchone() or (False,)
    if not acts and not is_superuser:
        yield SQL("GRANT {} TO CURRENT_USER").format(Identifier(name))


def _handing_over(driver: Driver, migrator: str) -> Iterator[Composed]:
    owner = Identifier(migrator)
    for table, owned_by in driver.execute(TABLES_HERE, [[*READER, *IF_SPREAD[DatabaseRole.READER]], LEDGER]):
        if owned_by != migrator:
            yield SQL("ALTER TABLE {} OWNER TO {}").format(Identifier(table), owner)
    for function, arguments, owned_by in driver.execute(FUNCTIONS_HERE, [list(OUR_FUNCTIONS)]):
        if owned_by != migrator:
            # The argument types come from the server, already quoted.
            yield SQL("ALTER FUNCTION {}({}) OWNER TO {}").format(Identifier(function), SQL(arguments), owner)


def grants(driver: Driver, roles: list[DatabaseRole]) -> Iterator[Composed]:
    """The statements that set each role's privileges on existing tables to those in TABLES, and grant its FUNCTIONS.

    They also grant the privileges in IF_SPREAD if Citus spreads the brands, and the sequences of tables into which the
    role inserts. They revoke nothing of functions and sequences.
    """
    here = place(driver)
    tables = [name for name, _ in driver.execute(TABLES_HERE, [[*READER, *IF_SPREAD[DatabaseRole.READER]], LEDGER])]
    functions = {name for name, *_ in driver.execute(FUNCTIONS_HERE, [list(OUR_FUNCTIONS)])}
    columns = {table: set(names) for table, names in driver.execute(COLUMNS_HERE, [tables])}
    for role in roles:
        name = Identifier(here.role(role))
        for table in tables:
            yield SQL("REVOKE ALL ON {} FROM {}").format(Identifier(table), name)
            privileges = _on_existing_columns(TABLES[role].get(table, ""), columns[table])
            if privileges:
                yield SQL("GRANT {} ON {} TO {}").format(SQL(privileges), Identifier(table), name)
        for table, sequence in driver.execute(SEQUENCES_HERE, [tables]):
            if "INSERT" in TABLES[role].get(table, ""):
                yield SQL("GRANT USAGE ON SEQUENCE {} TO {}").format(Identifier(sequence), name)
        if DIRECTORY in tables:
            for table, privileges in IF_SPREAD[role].items():
                yield SQL("GRANT {} ON {} TO {}").format(SQL(privileges), Identifier(table), name)
        for function in FUNCTIONS[role]:
            if function.partition("(")[0] in functions:
                yield SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(SQL(function), name)


def _on_existing_columns(privileges: str, columns: set[str]) -> str:
    """The privileges without those on missing columns: a table of an earlier version may lack some."""
    kept = []
    for privilege, listed in PRIVILEGE.findall(privileges):
        names = [name for name in listed.split(", ") if name in columns]
        if names or not listed:
            kept.append(f"{privilege} ({', '.join(names)})" if listed else privilege)
    return ", ".join(kept)


Days = Mapping[str, int | None]
"""The retention of histories in days, by table; None keeps all."""


class LedgerSettings(NamedTuple):
    """The ledger's settings as the database stores them: the kind of new partitions, "month" or "day"; the retention.

    At most one of `retention_months` and `retention_days` is not None.
    """

    partitions: str
    retention_months: int | None
    retention_days: int | None


def after_migration(driver: Driver, ledger: LedgerSettings, days: Days) -> Iterator[Composed]:
    """The statements to run after a migration: they set the privileges of existing roles and store changed settings.

    The last statement replaces empty months of the ledger by partitions of the stored kind, if the login may do that.
    """
    yield from grants(driver, [role for role in TABLES if role in known_roles(driver)])
    yield from _stored(driver, "ledger_retention_months", "integer", ledger.retention_months)
    yield from _stored(driver, "ledger_retention_days", "integer", ledger.retention_days)
    yield from _history_retention(driver, days)
    if _is_known(driver, "ledger_partition_kind"):
        yield from _stored(driver, "ledger_partition_kind", "text", ledger.partitions)
        if driver.execute(MAY_REPLACE).fetchone() == (True,):
            yield REPLACE_EMPTY_MONTHS


def _is_known(driver: Driver, function: str) -> bool:
    """Whether the database's revision has the function, which takes no argument."""
    return driver.execute(STORED_KNOWN, [function]).fetchone() == (True,)


def _stored(driver: Driver, function: str, kind: str, value: object) -> Iterator[Composed]:
    """The statement that makes the function return the value, if it returns another."""
    name = Identifier(function)
    if _is_known(driver, function) and driver.execute(STORED.format(name)).fetchone() != (value,):
        body = SQL("SELECT {}::{}").format(Literal(value), SQL(kind)).as_string(driver)
        yield STORE.format(name, SQL(kind), Literal(body))


def _history_retention(driver: Driver, days: Days) -> Iterator[Composed]:
    """The statement that stores the retention of histories, if another is stored."""
    is_known = driver.execute(HISTORY_RETENTION_KNOWN).fetchone() == (True,)
    if is_known and any(driver.execute(HISTORY_RETENTION, [name]).fetchone() != (kept,) for name, kept in days.items()):
        cases = SQL(" ").join(
            SQL("WHEN {} THEN {}::integer").format(Literal(name), Literal(kept)) for name, kept in sorted(days.items())
        )
        body = SQL("SELECT CASE of_history {} END").format(cases).as_string(driver)
        yield SET_HISTORY_RETENTION.format(Literal(body))
