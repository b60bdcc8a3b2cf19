"""The database's roles as the tests use them: made by the command, gone with the test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from db.repository.access.privileges import DatabaseRole
from tests.cli.shell import UNCHANGED, Env, shell

Urls = dict[DatabaseRole, str]
UrlOf = Callable[[DatabaseRole], str]


@contextmanager
def roles_of(database: str, env: Env = UNCHANGED) -> Iterator[Urls]:
    """Makes the roles of a database by `spendgate create-roles`; their URLs."""
    result = shell("create-roles", env={"DATABASE_URL": database, **env})
    try:
        assert result.code == 0, result.err
        yield urls_in(result.out)
    finally:
        drop_roles(database)


def urls_in(lines: str) -> Urls:
    """The URLs that the command printed, as an environment file has them."""
    urls = dict(line.split("=", 1) for line in lines.splitlines())
    return {DatabaseRole(name.partition("_")[0].lower()): url for name, url in urls.items()}


def drop_roles(database: str) -> None:
    """Drops the database's roles and gives what they own to whoever asks."""
    with psycopg.connect(database, autocommit=True) as connection:
        for role in DatabaseRole:
            name = f"{urlsplit(database).path[1:]}_{role}"
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
                continue
            here = sql.Identifier(connection.info.user)
            for statement in ("REASSIGN OWNED BY {} TO {here}", "DROP OWNED BY {}", "DROP ROLE {}"):
                connection.execute(sql.SQL(statement).format(sql.Identifier(name), here=here))


def as_login(database: str, name: str, password: str) -> str:
    """The database's URL with another login."""
    split = urlsplit(database)
    return urlunsplit(split._replace(netloc=f"{name}:{password}@{split.hostname}:{split.port}"))
