"""`spendgate create-roles` and `migrate`, run by an owner of the database who is not a superuser."""

import os
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from db.engine import engine
from db.repository.access.privileges import DatabaseRole
from runtime.settings import settings
from tests import citus
from tests.citus import Limit
from tests.cli.conftest import Spendgate
from tests.cli.shell import CommandResult, Env
from tests.roles import Urls, as_login, drop_roles, roles_of, urls_in

Keeper = Callable[..., CommandResult]

OWNERS = """
    SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S', 'i')
    UNION
    SELECT DISTINCT pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
PRIVILEGES = """
    SELECT grantee, table_name, column_name, privilege_type FROM information_schema.column_privileges
    WHERE table_schema = 'public' ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def managed(database: str) -> Iterator[str]:
    """Yields the URL of an empty database whose owner has CREATEROLE but is not a superuser, as on managed Postgres."""
    name = f"spendgate_managed_{os.getpid()}"
    with psycopg.connect(database, autocommit=True) as connection:
        owner, made = sql.Identifier(f"{name}_owner"), sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'owned'").format(owner))
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(made, owner))
        here = urlsplit(database)._replace(path=f"/{name}").geturl()
        yield as_login(here, f"{name}_owner", "owned")
        drop_roles(here)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))
        connection.execute(sql.SQL("DROP ROLE {}").format(owner))


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def user_of(url: str) -> str:
    return str(rows(url, "SELECT current_user")[0][0])


@pytest.fixture
def keeper(spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    """Runs `spendgate ...` in this process, with another environment for each call."""

    def run_command(*argv: str, env: Env) -> CommandResult:
        with monkeypatch.context() as changed:
            for name, value in env.items():
                changed.setenv(name, str(value))
            settings.cache_clear()
            engine.cache_clear()
            try:
                return spendgate(*argv)
            finally:
                engine().dispose()
                settings.cache_clear()
                engine.cache_clear()

    return run_command


def with_roles(keeper: Keeper, url: str, *options: str, **env: str) -> Urls:
    result = keeper("create-roles", *options, env={"DATABASE_URL": url, **env})
    assert result.code == 0, result.err
    return urls_in(result.out)


def test_create_roles_makes_the_migrator_the_owner_of_existing_tables(managed: str, keeper: Keeper) -> None:
    assert keeper("migrate", "0003", env={"DATABASE_URL": managed}).code == 0
    made = with_roles(keeper, managed)
    name = urlsplit(managed).path[1:]
    assert {role: user_of(url) for role, url in made.items()} == {role: f"{name}_{role}" for role in DatabaseRole}
    assert rows(managed, OWNERS) == [(f"{name}_migrator",)]
    assert keeper("migrate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]}).code == 0
    assert rows(managed, OWNERS) == [(f"{name}_migrator",)]
    assert rows(made[DatabaseRole.WORKER], "SELECT ensure_ledger_month('2019-12-01')") == [(True,)]
    reader = {"DATABASE_URL": made[DatabaseRole.READER]}
    assert keeper("verify", env=reader).code == 0
    result = keeper("brand", "create", "Acme", env=reader)
    assert result.code == 2
    assert result.err.count("\n") == 1


def test_create_roles_runs_before_migrate_and_again_at_any_time(managed: str, keeper: Keeper) -> None:
    made = with_roles(keeper, managed)
    assert keeper("migrate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]}).code == 0
    granted = rows(managed, PRIVILEGES)
    assert with_roles(keeper, managed) == {}, "it generated passwords for roles that had one"
    assert rows(managed, PRIVILEGES) == granted
    assert user_of(made[DatabaseRole.WEB]).endswith("_web")
    renewed = with_roles(keeper, managed, "--rotate")
    assert renewed.keys() == made.keys()
    assert user_of(renewed[DatabaseRole.WEB]).endswith("_web")
    if not citus.is_used():  # its servers may ask no login for a password
        with pytest.raises(psycopg.OperationalError, match="password"):
            user_of(made[DatabaseRole.WEB])


def test_create_roles_dry_run_prints_working_sql_without_passwords(managed: str, keeper: Keeper) -> None:
    assert keeper("migrate", env={"DATABASE_URL": managed}).code == 0
    result = keeper("create-roles", "--dry-run", env={"DATABASE_URL": managed, "SPENDGATE_WEB_PASSWORD": "telltale"})
    assert result.code == 0
    assert "telltale" not in result.out + result.err
    assert "PASSWORD '" not in result.out
    assert rows(managed, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'spendgate\\_managed%\\_web'") == []
    rows_before = rows(managed, OWNERS)
    with psycopg.connect(managed, autocommit=True) as connection:
        connection.execute(result.out.encode())
    granted = rows(managed, PRIVILEGES)
    assert rows(managed, OWNERS) != rows_before
    with_roles(keeper, managed, "--rotate")
    assert rows(managed, PRIVILEGES) == granted


def test_create_roles_sets_given_passwords_and_does_not_print_them(managed: str, keeper: Keeper) -> None:
    passwords = {f"SPENDGATE_{role.upper()}_PASSWORD": f"given '{role}'" for role in DatabaseRole}
    result = keeper("create-roles", env={"DATABASE_URL": managed, **passwords})
    assert (result.code, result.out) == (0, "")
    assert "given" not in result.err
    name = urlsplit(managed).path[1:]
    assert user_of(as_login(managed, f"{name}_reader", "given%20'reader'")) == f"{name}_reader"


def test_create_roles_sends_only_password_verifiers_to_the_server(managed: str) -> None:
    from cli.roles import connected  # noqa: PLC0415 - after the environment is set
    from db.repository.access.roles import creation, verifier  # noqa: PLC0415

    with connected() as driver:
        kept = {role: verifier(driver, role, "telltale") for role in DatabaseRole}
        text = "\n".join(statement.as_string(driver) for statement in creation(driver, kept))
    assert text.count("PASSWORD 'SCRAM-SHA-256$") == len(DatabaseRole)
    assert "telltale" not in text


def test_migrate_revokes_privileges_granted_by_hand(managed: str, keeper: Keeper) -> None:
    assert keeper("migrate", env={"DATABASE_URL": managed}).code == 0
    made = with_roles(keeper, managed)
    granted = rows(managed, PRIVILEGES)
    worker = user_of(made[DatabaseRole.WORKER])
    rows_of_grant = sql.SQL("GRANT DELETE, UPDATE ON spend_events TO {}").format(sql.Identifier(worker))
    with psycopg.connect(managed, autocommit=True) as connection:
        connection.execute(rows_of_grant)
    assert rows(managed, PRIVILEGES) != granted
    assert keeper("migrate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]}).code == 0
    assert rows(managed, PRIVILEGES) == granted


@pytest.mark.on_one_server(Limit.DATABASES)
def test_create_roles_without_createrole_fails_in_one_line_and_changes_nothing(database: str, keeper: Keeper) -> None:
    with roles_of(database) as made:
        result = keeper("create-roles", "--rotate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]})
        assert result.code == 2
        assert result.out == ""
        assert result.err.startswith("DATABASE_URL: ")
        assert "--dry-run" in result.err
        assert result.err.count("\n") == 1
        assert user_of(made[DatabaseRole.READER]).endswith("_reader")
