"""`spendgate create-roles`: a Postgres role for each kind of process, with only the privileges it needs."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from psycopg import Connection
from psycopg.errors import InsufficientPrivilege, LockNotAvailable
from psycopg.sql import Composed
from rich.markup import escape
from sqlalchemy import make_url

from cli.output import errors
from db.pool import unpooled_engine
from db.repository.access import roles
from db.repository.access.privileges import DatabaseRole
from db.repository.access.roles import LedgerSettings
from domain.errors import InvalidValue
from runtime.settings import settings

LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '5s'"
ONE_BY_ONE: Final = """
    SELECT set_config('citus.multi_shard_modify_mode', 'sequential', true) FROM pg_extension WHERE extname = 'citus'
"""
"""Lets one transaction of Citus grant on tables that refer to each other."""

NO_RIGHT: Final = "use a login that has CREATEROLE and owns the tables, or run the SQL of --dry-run with such a login"

Driver = Connection[Any]
Passwords = dict[DatabaseRole, str]


def password_variable(role: DatabaseRole) -> str:
    """Returns the name of the environment variable with the role's password."""
    return f"SPENDGATE_{role.upper()}_PASSWORD"


def url_variable(role: DatabaseRole) -> str:
    """Returns the name of the environment variable with the database URL of the role's processes."""
    return f"{role.upper()}_DATABASE_URL"


def create_roles(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL, without passwords, and run nothing.")
    ] = False,
    rotate: Annotated[bool, typer.Option("--rotate", help="Also set new passwords for existing roles.")] = False,
) -> None:
    """Create the roles of DATABASE_URL's database and grant each the privileges it needs. Safe to run again.

    Needs a login that has CREATEROLE and owns the tables; it need not be a superuser. Reads passwords from
    SPENDGATE_MIGRATOR_PASSWORD, …_WORKER_…, …_WEB_… and …_READER_…; for a new role without one it generates a password
    and prints the role's URL once, as a line for an environment file.
    """
    with connected() as driver:
        if dry_run:
            _print_sql(driver)
            return
        urls = create(driver, _passwords_from_environment(), rotate=rotate)
        here = roles.place(driver)
    for role, url in urls.items():
        typer.echo(f"{url_variable(role)}={url}")
    shown = "; the generated passwords are shown only once" if urls else ""
    errors.print(f"the roles of the database {escape(here.database)} match this version{shown}")


@contextmanager
def connected() -> Iterator[Driver]:
    """Yields a psycopg connection to DATABASE_URL in autocommit mode, for SQL that psycopg composes."""
    with unpooled_engine().connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, Connection)  # noqa: S101 - our dialect's own
        driver.autocommit = True
        yield driver


def create(driver: Driver, given: Passwords, *, rotate: bool) -> dict[DatabaseRole, str]:
    """Creates all roles and grants their privileges in one transaction; returns the URLs with generated passwords.

    Roles in `given` get that password; with `rotate`, existing roles get a new one too. Raises InvalidValue if the
    login lacks a privilege or a table is locked.
    """
    with all_or_nothing(driver):
        there: set[DatabaseRole] = set() if rotate else roles.known_roles(driver)
        made = {role: secrets.token_urlsafe(24) for role in DatabaseRole if role not in given and role not in there}
        verifiers = {role: roles.verifier(driver, role, password) for role, password in {**given, **made}.items()}
        run(driver, roles.creation(driver, verifiers))
        here = roles.place(driver)
    return {role: _url_of(here.role(role), password) for role, password in made.items()}


def grant_again() -> None:
    """Sets the privileges of existing roles to those of this version, and stores the retentions and ledger partitions.

    Raises InvalidValue if the login does not own the tables or a table is locked.
    """
    with connected() as driver, all_or_nothing(driver):
        read = settings()
        days = {"rejected_events": read.rejected_retention_days, "audit_entries": read.audit_retention_days}
        ledger = LedgerSettings(read.ledger_partitions, read.ledger_retention_months, read.ledger_retention_days)
        run(driver, roles.after_migration(driver, ledger, days))


@contextmanager
def all_or_nothing(driver: Driver) -> Iterator[None]:
    """Runs the block in one transaction with a lock timeout of 5 s.

    Raises InvalidValue with advice if the login lacks a privilege or a lock times out.
    """
    try:
        with driver.transaction():
            driver.execute(LOCK_TIMEOUT)
            driver.execute(ONE_BY_ONE)
            yield
    except InsufficientPrivilege as error:
        raise InvalidValue("DATABASE_URL", f"{error.diag.message_primary}: {NO_RIGHT}") from None
    except LockNotAvailable:
        raise InvalidValue("DATABASE_URL", "another transaction has locked the tables: run it again") from None


def run(driver: Driver, statements: Iterable[Composed]) -> None:
    """Runs the statements one by one, since a statement may need the objects that an earlier one created."""
    for statement in statements:
        driver.execute(statement)


def _url_of(name: str, password: str) -> str:
    """Returns DATABASE_URL with another login."""
    url = make_url(settings().required_database_url()).set(drivername="postgresql", username=name, password=password)
    return url.render_as_string(hide_password=False)


def _passwords_from_environment() -> Passwords:
    return {role: os.environ[name] for role in DatabaseRole if os.environ.get(name := password_variable(role))}


def _print_sql(driver: Driver) -> None:
    here = roles.place(driver)
    new = set(DatabaseRole) - roles.known_roles(driver)
    typer.echo("BEGIN;")
    for statement in roles.creation(driver, {}):
        typer.echo(f"{statement.as_string(driver)};")
    typer.echo("COMMIT;")
    for role in DatabaseRole:
        if role in new:
            typer.echo(f"-- then, in psql: \\password {here.role(role)}")
