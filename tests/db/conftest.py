"""Fixtures of tests of the database."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, create_engine, pool

from runtime.settings import settings


@pytest.fixture
def empty(database: str) -> Iterator[Connection]:
    """A connection to an empty database."""
    name = f"{database.rpartition('/')[2]}_empty"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = settings().required_database_url().rpartition("/")[0] + f"/{name}"
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        yield connection
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
