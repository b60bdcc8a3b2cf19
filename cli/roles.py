"""`spendgate create-roles`: a Postgres role for each kind of process, with no more than it needs."""

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
from sqlalchemy import NullPool, create_engine, make_url

from cli.output import errors
from db.repository.access import roles
from db.repository.access.privileges import DatabaseRole
from domain.errors import InvalidValue
from runtime.settings import settings

LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '5s'"
NO_RIGHT: Final = "use a login with CREATEROLE that owns the tables, or hand the SQL of --dry-run to who has one"

Driver = Connection[Any]
Passwords = dict[DatabaseRole, str]


def password_variable(role: DatabaseRole) -> str:
    """The environment variable that gives the role's password."""
    return f"SPENDGATE_{role.upper()}_PASSWORD"


def url_variable(role: DatabaseRole) -> str:
    """The environment variable in which the role's processes look for their URL."""
    return f"{role.upper()}_DATABASE_URL"


def create_roles(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL, without passwords; run nothing.")] = False,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make new passwords for roles that exist, too.")] = False,
) -> None:
    """Make the roles of DATABASE_URL's database, and grant each what it needs. Safe to run again.

    Needs a login with CREATEROLE that owns the tables; a superuser is not needed. A password is taken from
    SPENDGATE_MIGRATOR_PASSWORD, …_WORKER_…, …_WEB_…, …_READER_… where that is set, and made otherwise: the URLs with
    the passwords made are printed this once, as lines for an environment file.
    """
    with connected() as driver:
        if dry_run:
            _print_sql(driver)
            return
        made = create(driver, _given(), rotate=rotate)
        here = roles.place(driver)
    for role, url in made.items():
        typer.echo(f"{url_variable(role)}={url}")
    shown = "; the passwords made are shown this once" if made else ""
    errors.print(f"the roles of the database {escape(here.database)} are as this version wants them{shown}")


@contextmanager
def connected() -> Iterator[Driver]:
    """A connection to the settings' database, for statements that are built."""
    with create_engine(settings().required_database_url(), poolclass=NullPool).connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, Connection)  # noqa: S101 - our dialect's own
        driver.autocommit = True
        yield driver


def create(driver: Driver, given: Passwords, *, rotate: bool) -> dict[DatabaseRole, str]:
    """Makes and grants in one transaction; returns the URLs of roles whose password it made.

    Raises InvalidValue without the right to.
    """
    with all_or_nothing(driver):
        there: set[DatabaseRole] = set() if rotate else roles.known_roles(driver)
        made = {role: secrets.token_urlsafe(24) for role in DatabaseRole if role not in given and role not in there}
        verifiers = {role: roles.verifier(driver, role, password) for role, password in {**given, **made}.items()}
        run(driver, roles.creation(driver, verifiers))
        here = roles.place(driver)
    return {role: _url_of(here.role(role), password) for role, password in made.items()}


def grant_again() -> None:
    """Gives the roles, where they exist, what this version's tables need. Raises InvalidValue where we own no table."""
    with connected() as driver, all_or_nothing(driver):
        run(driver, roles.after_migration(driver, settings().ledger_retention_months))


@contextmanager
def all_or_nothing(driver: Driver) -> Iterator[None]:
    """One transaction that waits briefly for its locks. Raises InvalidValue, with what to do."""
    try:
        with driver.transaction():
            driver.execute(LOCK_TIMEOUT)
            yield
    except InsufficientPrivilege as error:
        raise InvalidValue("DATABASE_URL", f"{error.diag.message_primary}: {NO_RIGHT}") from None
    except LockNotAvailable:
        raise InvalidValue("DATABASE_URL", "the tables are locked just now: run it again") from None


def run(driver: Driver, statements: Iterable[Composed]) -> None:
    """Runs the statements one by one: what each finds may be what the one before made."""
    for statement in statements:
        driver.execute(statement)


def _url_of(name: str, password: str) -> str:
    """The settings' own URL, for another login."""
    url = make_url(settings().required_database_url()).set(drivername="postgresql", username=name, password=password)
    return url.render_as_string(hide_password=False)


def _given() -> Passwords:
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
