"""Shared by tests of migrations: alembic's configuration for a connection, and names in the database."""

from pathlib import Path

from alembic.config import Config
from sqlalchemy import Connection

ROOT = Path(__file__).resolve().parents[2]


def config(connection: Connection) -> Config:
    made = Config(ROOT / "alembic.ini")
    made.set_main_option("script_location", str(ROOT / "alembic"))
    made.attributes["connection"] = connection
    return made


def names(connection: Connection, query: str) -> set[str]:
    return set(connection.exec_driver_sql(query).scalars())
