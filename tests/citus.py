"""A database on the Citus cluster that SPENDGATE_TEST_CITUS names by its coordinator's URL, emptied for each test.

The login is a superuser of every server; the database that the URL names has the extension and knows the servers. Tests
then share one database: a copy of a template would lack the parts on the other servers.

A test with the marker `on_one_server(LIMIT)` is about something that a cluster does otherwise, and is skipped there.
"""

import os
from collections.abc import Iterable
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from db.repository.spread.places import SPREAD

VARIABLE: Final = "SPENDGATE_TEST_CITUS"

KEPT: Final = ("alembic_version", "locks", "feed_epoch")
"""Tables whose rows the migrations wrote."""

SERVERS: Final = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid"
SEQUENCES: Final = """
    SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""
HERE_ONLY: Final = "SET citus.enable_create_database_propagation = off"


class Limit(StrEnum):
    """The ways in which a cluster differs from one server, in the words of ADR 47."""

    SQL_BY_HAND = "SQL by hand for budgets, brands and campaigns does not write histories"
    OLDER_VERSIONS = "Versions before 0.4.0 cannot count beside this one"
    BY_SERVER = "A batch is counted in one transaction for each server, or for each part"
    LOCKS = "A statement cannot lock rows of several shards"
    CATALOGS = "The coordinator's catalogs say nothing about what other servers do"
    DATABASES = "A database is not copied or made by one statement"
    TRIGGERS = "Citus creates triggers on the parts of a spread table if `citus.enable_unsafe_triggers` is on"
    OWNERS = "Citus refuses rows of a server to a user if another user wrote there in the same transaction"
    VALUES = "Citus finds the shard of a statement by its values"
    DOWN = "`spendgate migrate --down` cannot go below revision 0036"


def is_used() -> bool:
    """Whether the tests run on a Citus cluster."""
    return VARIABLE in os.environ


def skip_on_cluster(items: Iterable[pytest.Item]) -> None:
    """Skips the tests with the marker `on_one_server`, with its limit as the reason."""
    for item in items:
        marker = item.get_closest_marker("on_one_server")
        if marker is not None:
            item.add_marker(pytest.mark.skip(reason=str(Limit(marker.args[0]))))


def database_url(url: str, database: str, server: tuple[str, int] | None = None) -> str:
    """The URL of a database on the coordinator, or on another server of the cluster."""
    split = urlsplit(url)
    login = f"{split.netloc.rpartition('@')[0]}@" if "@" in split.netloc else ""
    place = split.netloc if server is None else f"{login}{server[0]}:{server[1]}"
    return urlunsplit(split._replace(netloc=place, path=f"/{database}"))


def make_database(url: str, name: str) -> None:
    """Makes an empty database with the extension on every server of the cluster, in place of one of this name."""
    drop_database(url, name)
    others = servers(url)
    own = psycopg.conninfo.conninfo_to_dict(url)
    for place in (None, *others):
        with psycopg.connect(database_url(url, urlsplit(url).path[1:], place), autocommit=True) as connection:
            connection.execute(HERE_ONLY.encode())
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with psycopg.connect(database_url(url, name, place), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION citus")
    with psycopg.connect(database_url(url, name), autocommit=True) as connection:
        connection.execute("SELECT citus_set_coordinator_host(%s, %s)", [own["host"], int(str(own.get("port", 5432)))])
        for host, port in others:
            connection.execute("SELECT citus_add_node(%s, %s)", [host, port])


def drop_database(url: str, name: str) -> None:
    """Drops the database on every server of the cluster, if it is there."""
    for place in (None, *servers(url)):
        with psycopg.connect(database_url(url, urlsplit(url).path[1:], place), autocommit=True) as connection:
            connection.execute(HERE_ONLY.encode())
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def empty(url: str) -> None:
    """Deletes all rows of the database but those of the migrations, and starts ids at 1 again."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        tables = [name for (name,) in connection.execute(f"{names} AND NOT relispartition") if name not in KEPT]
        spread = [name for name in tables if name in SPREAD]
        local = [name for name in tables if name not in SPREAD]
        for group in (spread, local):
            listed = sql.SQL(", ").join(map(sql.Identifier, group))
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(listed))
        sequences = (
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"
        )
        for (name,) in connection.execute(sequences.encode()).fetchall():
            connection.execute("SELECT setval(%s::regclass, 1, false)", [name])


def servers(url: str) -> list[tuple[str, int]]:
    """Host and port of each server of the cluster but the coordinator."""
    with psycopg.connect(url, autocommit=True) as connection:
        return [(host, port) for host, port in connection.execute(SERVERS.encode())]
