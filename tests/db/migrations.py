"""Shared by tests of migrations: alembic's configuration for a connection, and names in the database."""

from alembic.config import Config
from sqlalchemy import Connection

from db import migrations


def config(connection: Connection) -> Config:
    made = migrations.config()
    made.attributes["connection"] = connection
    return made


def names(connection: Connection, query: str) -> set[str]:
    return set(connection.exec_driver_sql(query).scalars())
