"""A database on the Citus cluster that SPENDGATE_TEST_CITUS names by its coordinator's URL, emptied for each test.

The login is a superuser of every server; the database that the URL names has the extension and knows the servers. Tests
then share one database: a copy of a template would lack the parts on the other servers.

A test with the marker `on_one_server(LIMIT)` is about something that a cluster does otherwise, and is skipped there.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

VARIABLE: Final = "SPENDGATE_TEST_CITUS"

KEPT: Final = ("alembic_version", "locks", "feed_epoch")
"""Tables whose rows the migrations wrote."""

SERVERS: Final = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid"

AS_REPLICA: Final = " ".join(
    f"-c {setting}"
    for setting in (
        *("session_replication_role=replica", "citus.enable_manual_changes_to_shards=on"),
        "citus.override_table_visibility=off",
    )
)
"""Options of a connection that may delete from parts of tables, without triggers and foreign keys."""

# Deletes the rows of tables and parts of tables that have storage on this server.
EMPTY: Final = """
    DO $empty$
    DECLARE
        one regclass;
    BEGIN
        FOR one IN
            SELECT pg_class.oid FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
                AND relname <> ALL ({})
        LOOP
            EXECUTE format('DELETE FROM %s', one);
        END LOOP;
    END $empty$
"""

END_OPEN: Final = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
"""

RESTART: Final = """
    SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""

# A row for each definition: how it is dropped, and a digest of it.
DEFINITIONS: Final = """
    WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass),
        md5(concat(pg_get_triggerdef(pg_trigger.oid), tgenabled))
    FROM pg_trigger JOIN ours ON ours.oid = tgrelid WHERE NOT tgisinternal AND NOT relispartition
    UNION ALL
    SELECT format('DROP FUNCTION %s CASCADE', oid::regprocedure), md5(format('%s %s', pg_get_functiondef(oid), proacl))
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
    UNION ALL
    SELECT format('DROP %s %s CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass), md5(format(
        '%s %s', relacl, (SELECT string_agg(format('%s %s %s', attname, attacl, attnotnull), ' ' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = ours.oid AND attnum > 0)
    )) FROM ours WHERE relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', ours.oid::regclass, conname),
        md5(pg_get_constraintdef(pg_constraint.oid))
    FROM pg_constraint JOIN ours ON ours.oid = conrelid WHERE NOT relispartition
    UNION ALL
    SELECT format('setting of %s %s', setdatabase, setrole), md5(setconfig::text) FROM pg_db_role_setting
    UNION ALL
    SELECT format('lock %s', name), '' FROM locks
    UNION ALL
    SELECT 'epoch', epoch::text FROM feed_epoch
    UNION ALL
    SELECT 'revision', version_num FROM alembic_version
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
    PREPARED = "A program cannot prepare a transaction that wrote spread tables"
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


Definitions = dict[str, str]


def definitions(url: str) -> Definitions:
    """A digest of each definition in the database, by the statement that drops it; and what the migrations wrote."""
    with psycopg.connect(url, autocommit=True) as connection:
        return dict(connection.execute(DEFINITIONS.encode()).fetchall())


def empty(url: str, before: Definitions) -> bool:
    """Deletes all rows but those of the migrations, starts ids at 1 again, and drops what a test defined.

    Each server deletes the rows of its parts itself, which takes a tenth of the time of a TRUNCATE by the coordinator.
    `before`: the definitions to restore. Returns False where that is not possible.
    """
    try:
        is_restored = _restore(url, before)
    except psycopg.errors.InternalError:  # Citus refuses to drop the triggers of a renamed table
        is_restored = False
    if not is_restored:
        return False
    for place in (None, *servers(url)):
        server = url if place is None else database_url(url, urlsplit(url).path[1:], place)
        with psycopg.connect(server, autocommit=True, options=AS_REPLICA) as connection:
            connection.execute(sql.SQL(EMPTY).format(sql.Literal([*KEPT])))
            if place is None:
                connection.execute(RESTART)
    return True


def _restore(url: str, before: Definitions) -> bool:
    """Drops what a test defined; returns whether all definitions are those of `before` then."""
    found = definitions(url)
    made = [name for name in found if name not in before and name.startswith(("DROP", "ALTER"))]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(END_OPEN)
        for drop in made:
            with suppress(psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable):
                connection.execute(drop.encode())
    return (definitions(url) if made else found) == before


def part_of(url: str, table: str, brand_id: int) -> tuple[str, str]:
    """The URL of the server that has the brand, and the name of the part of the spread table with its rows there."""
    part = """
        SELECT nodename, nodeport, shard_name(%s, shardid)
        FROM get_shard_id_for_distribution_column(%s, %s) AS shardid
        JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)
    """
    with psycopg.connect(url) as connection:
        host, port, name = connection.execute(part.encode(), [table, table, brand_id]).fetchall()[0]
    return database_url(url, urlsplit(url).path[1:], (host, port)), name


def execute_on_parts(url: str, statement: str) -> None:
    """Executes the statement on the parts of the spread tables that it names, without triggers and foreign keys."""
    parts = """
        SELECT nodename, nodeport, json_object_agg(logicalrelid, shard_name(logicalrelid, shardid))
        FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)
        WHERE shardminvalue IS NOT NULL GROUP BY nodename, nodeport, shardminvalue
    """
    with psycopg.connect(url) as connection:
        found = connection.execute(parts.encode()).fetchall()
    for host, port, names in found:
        of_part = statement
        for table, name in names.items():
            of_part = re.sub(rf"\b(INTO|FROM|UPDATE) {table}\b", rf"\1 {name}", of_part)
        place = database_url(url, urlsplit(url).path[1:], (host, port))
        with psycopg.connect(place, autocommit=True, options=AS_REPLICA) as connection:
            connection.execute(of_part.encode())


def servers(url: str) -> list[tuple[str, int]]:
    """Host and port of each server of the cluster but the coordinator."""
    with psycopg.connect(url, autocommit=True) as connection:
        return [(host, port) for host, port in connection.execute(SERVERS.encode())]
