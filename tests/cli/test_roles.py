"""`spendgate create-roles` and `migrate` as whoever keeps the database runs them: an owner who is no superuser."""

import os
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from db.engine import engine
from db.repository.access.privileges import DatabaseRole
from runtime.settings import settings
from tests.cli.conftest import Spendgate
from tests.cli.shell import Env, Told
from tests.roles import Urls, as_login, drop_roles, roles_of, urls_in

Keeper = Callable[..., Told]

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
    """An empty database of an owner who may make roles and is no superuser, as managed Postgres gives it; its URL."""
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


def as_who(url: str) -> str:
    return str(rows(url, "SELECT current_user")[0][0])


@pytest.fixture
def keeper(spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    """Runs `spendgate ...` in this process, with an environment of its own each time."""

    def told(*argv: str, env: Env) -> Told:
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

    return told


def with_roles(keeper: Keeper, url: str, *options: str, **env: str) -> Urls:
    told = keeper("create-roles", *options, env={"DATABASE_URL": url, **env})
    assert told.code == 0, told.err
    return urls_in(told.out)


def test_an_existing_database_is_handed_to_the_migrator_who_then_migrates(managed: str, keeper: Keeper) -> None:
    assert keeper("migrate", "0003", env={"DATABASE_URL": managed}).code == 0
    made = with_roles(keeper, managed)
    name = urlsplit(managed).path[1:]
    assert {role: as_who(url) for role, url in made.items()} == {role: f"{name}_{role}" for role in DatabaseRole}
    assert rows(managed, OWNERS) == [(f"{name}_migrator",)]
    assert keeper("migrate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]}).code == 0
    assert rows(managed, OWNERS) == [(f"{name}_migrator",)]
    assert rows(made[DatabaseRole.WORKER], "SELECT ensure_ledger_month('2019-12-01')") == [(True,)]
    reader = {"DATABASE_URL": made[DatabaseRole.READER]}
    assert keeper("verify", env=reader).code == 0
    told = keeper("brand", "create", "Acme", env=reader)
    assert told.code == 2
    assert told.err.count("\n") == 1


def test_roles_may_be_made_before_there_is_a_table_and_again_whenever(managed: str, keeper: Keeper) -> None:
    made = with_roles(keeper, managed)
    assert keeper("migrate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]}).code == 0
    granted = rows(managed, PRIVILEGES)
    assert with_roles(keeper, managed) == {}, "it made passwords for roles that had theirs"
    assert rows(managed, PRIVILEGES) == granted
    assert as_who(made[DatabaseRole.WEB]).endswith("_web")
    renewed = with_roles(keeper, managed, "--rotate")
    assert renewed.keys() == made.keys()
    assert as_who(renewed[DatabaseRole.WEB]).endswith("_web")
    with pytest.raises(psycopg.OperationalError, match="password"):
        as_who(made[DatabaseRole.WEB])


def test_the_sql_of_a_dry_run_makes_the_same_and_tells_no_password(managed: str, keeper: Keeper) -> None:
    assert keeper("migrate", env={"DATABASE_URL": managed}).code == 0
    told = keeper("create-roles", "--dry-run", env={"DATABASE_URL": managed, "SPENDGATE_WEB_PASSWORD": "telltale"})
    assert told.code == 0
    assert "telltale" not in told.out + told.err
    assert "PASSWORD '" not in told.out
    assert rows(managed, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'spendgate\\_managed%\\_web'") == []
    rows_before = rows(managed, OWNERS)
    with psycopg.connect(managed, autocommit=True) as connection:
        connection.execute(told.out.encode())
    granted = rows(managed, PRIVILEGES)
    assert rows(managed, OWNERS) != rows_before
    with_roles(keeper, managed, "--rotate")
    assert rows(managed, PRIVILEGES) == granted


def test_given_passwords_are_set_and_not_told(managed: str, keeper: Keeper) -> None:
    passwords = {f"SPENDGATE_{role.upper()}_PASSWORD": f"given '{role}'" for role in DatabaseRole}
    told = keeper("create-roles", env={"DATABASE_URL": managed, **passwords})
    assert (told.code, told.out) == (0, "")
    assert "given" not in told.err
    name = urlsplit(managed).path[1:]
    assert as_who(as_login(managed, f"{name}_reader", "given%20'reader'")) == f"{name}_reader"


def test_no_password_reaches_the_server_as_it_is(managed: str) -> None:
    from cli.roles import connected  # noqa: PLC0415 - after the environment is set
    from db.repository.access.roles import creation, verifier  # noqa: PLC0415

    with connected() as driver:
        kept = {role: verifier(driver, role, "telltale") for role in DatabaseRole}
        text = "\n".join(statement.as_string(driver) for statement in creation(driver, kept))
    assert text.count("PASSWORD 'SCRAM-SHA-256$") == len(DatabaseRole)
    assert "telltale" not in text


def test_a_migration_takes_back_what_was_granted_by_hand(managed: str, keeper: Keeper) -> None:
    assert keeper("migrate", env={"DATABASE_URL": managed}).code == 0
    made = with_roles(keeper, managed)
    granted = rows(managed, PRIVILEGES)
    worker = as_who(made[DatabaseRole.WORKER])
    rows_of_grant = sql.SQL("GRANT DELETE, UPDATE ON spend_events TO {}").format(sql.Identifier(worker))
    with psycopg.connect(managed, autocommit=True) as connection:
        connection.execute(rows_of_grant)
    assert rows(managed, PRIVILEGES) != granted
    assert keeper("migrate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]}).code == 0
    assert rows(managed, PRIVILEGES) == granted


def test_who_may_not_make_roles_is_told_so_in_one_line_and_nothing_is_changed(database: str, keeper: Keeper) -> None:
    with roles_of(database) as made:
        told = keeper("create-roles", "--rotate", env={"DATABASE_URL": made[DatabaseRole.MIGRATOR]})
        assert told.code == 2
        assert told.out == ""
        assert told.err.startswith("DATABASE_URL: ")
        assert "--dry-run" in told.err
        assert told.err.count("\n") == 1
        assert as_who(made[DatabaseRole.READER]).endswith("_reader")
