"""Facts about the Postgres server and the login, for `spendgate doctor` and the checks at a process's start."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from db.repository.access.privileges import TABLES, DatabaseRole
from db.repository.access.roles import PRIVILEGE

# `replicas` is null without the right to see them.
FACTS = text("""
    SELECT current_setting('server_version_num')::int AS version_number, current_setting('server_version') AS version,
        pg_is_in_recovery() AS is_replica, current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('synchronous_standby_names') AS synchronous_standbys, current_setting('fsync') AS fsync,
        current_setting('full_page_writes') AS full_page_writes,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true), '0')::int AS free_for_all,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL)
            AS connections,
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS connection_limit,
        current_user AS login, current_database() AS database,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
        pg_database_size(current_database()) AS database_bytes,
        (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory
""")

NOW = text("SELECT clock_timestamp()")

HAS_REVISION = text("SELECT to_regclass('alembic_version') IS NOT NULL")
REVISION = text("SELECT version_num FROM alembic_version")

KNOWN_ROLES = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(CAST(:names AS text[]))")

# The listed privileges that a role lacks on an existing table.
MISSING_PRIVILEGES = text("""
    SELECT role_name, table_name, privilege
    FROM unnest(
        CAST(:roles AS text[]), CAST(:tables AS text[]), CAST(:privileges AS text[]), CAST(:columns AS text[])
    ) AS listed(role_name, table_name, privilege, column_name)
    WHERE to_regclass(table_name) IS NOT NULL AND NOT CASE
        WHEN column_name = '' THEN has_table_privilege(role_name, table_name, privilege)
        ELSE has_column_privilege(role_name, table_name, column_name, privilege)
    END
    ORDER BY role_name, table_name, privilege
""")

ServerFacts = Mapping[str, Any]


class MissingPrivilege(NamedTuple):
    """A listed privilege on a table that a role lacks. `role`: its name in Postgres."""

    role: str
    table: str
    privilege: str


def facts(connection: Connection) -> ServerFacts:
    """The server's settings and state (connections, size, whether it is a replica) and the login: columns of FACTS."""
    return dict(connection.execute(FACTS).mappings().one())


def now(connection: Connection) -> datetime:
    """The server's clock at this moment."""
    moment: datetime = connection.execute(NOW).scalar_one()
    return moment


def revision(connection: Connection) -> str | None:
    """The revision of the tables; None without tables."""
    if not connection.execute(HAS_REVISION).scalar_one():
        return None
    found: str | None = connection.execute(REVISION).scalar_one_or_none()
    return found


def roles_of_database(connection: Connection, database: str) -> dict[DatabaseRole, str]:
    """The names of the roles of `create-roles` that exist, by role."""
    names = {f"{database}_{role}": role for role in DatabaseRole}
    found: Iterable[str] = connection.execute(KNOWN_ROLES, {"names": list(names)}).scalars()
    return {names[name]: name for name in found}


def missing_privileges(connection: Connection, roles: Mapping[DatabaseRole, str]) -> list[MissingPrivilege]:
    """The privileges of db/repository/access/privileges.py that these roles lack on existing tables."""
    rows = [
        (name, table, privilege, column)
        for role, name in roles.items()
        for table, privileges in TABLES.get(role, {}).items()
        for privilege, columns in PRIVILEGE.findall(privileges)
        for column in (columns.split(", ") if columns else [""])
    ]
    listed = {key: [row[place] for row in rows] for place, key in enumerate(LISTED)}
    return [MissingPrivilege(*row) for row in connection.execute(MISSING_PRIVILEGES, listed)]


LISTED: Final = ("roles", "tables", "privileges", "columns")
