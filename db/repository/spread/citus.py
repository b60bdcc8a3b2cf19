"""Spreads tables over the servers of a Citus cluster, and reads how they are spread."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.rows import plain
from db.repository.spread import directory_tables, on_shard, platform_holds
from db.repository.spread.places import (
    ON_EVERY_SERVER,
    REPLACED_TRIGGERS,
    SPREAD,
    Key,
    Place,
    Reference,
    brand_column,
    is_kept,
    key_columns,
    place_of,
)

HAS_CITUS = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")

# Keys and foreign keys of our tables, without those of partitions.
CONSTRAINTS = text("""
    SELECT conrelid::regclass::text AS table_name, conname AS name, contype::text AS kind,
        confrelid::regclass::text AS target, pg_get_constraintdef(pg_constraint.oid) AS definition,
        ARRAY(
            SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS used(attnum, place)
            JOIN pg_attribute ON attrelid = conrelid AND pg_attribute.attnum = used.attnum ORDER BY place
        ) AS columns,
        ARRAY(
            SELECT attname::text FROM unnest(confkey) WITH ORDINALITY AS used(attnum, place)
            JOIN pg_attribute ON attrelid = confrelid AND pg_attribute.attnum = used.attnum ORDER BY place
        ) AS target_columns
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'u', 'f') AND NOT relispartition
    ORDER BY contype = 'f' DESC, table_name, name
""")

TRIGGERS = text("""
    SELECT tgrelid::regclass::text AS table_name, tgname AS name
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace AND NOT relispartition
""")

TABLES = text("""
    SELECT table_name::text AS name, citus_table_type AS place, distribution_column AS column_name,
        colocation_id AS group_id
    FROM citus_tables
""")

SET_FOR_SPREADING = text("""
    SELECT set_config('citus.multi_shard_modify_mode', 'sequential', true),
        set_config('citus.enable_unsafe_triggers', 'on', true), set_config('citus.propagate_set_commands', 'none', true)
""")

SPREAD_FIRST = text("""
    SELECT create_distributed_table(:name, :column_name, colocate_with => 'none', shard_count => :shards)
""")

SPREAD_WITH_BRANDS = text("SELECT create_distributed_table(:name, :column_name, colocate_with => 'brands')")

PUT_ON_EVERY_SERVER = text("SELECT create_reference_table(:name)")

# Spread tables that have storage on the coordinator itself, with that of their partitions.
WITH_LOCAL_ROWS = text("""
    SELECT table_name::text FROM citus_tables
    WHERE citus_table_type IN ('distributed', 'reference') AND pg_relation_size(table_name)
        + COALESCE((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(table_name)), 0) > 0
    ORDER BY table_name
""")

FREE_LOCAL_ROWS = text("SELECT truncate_local_data_after_distributing_table(:name)")

# Brands and bytes of spread tables on each server.
SERVERS = text("""
    SELECT nodename || ':' || nodeport AS server, count(DISTINCT shardid) FILTER (WHERE table_name = 'brands'::regclass)
            AS parts,
        COALESCE(sum(result::bigint), 0)::bigint AS brands, sum(shard_size)::bigint AS bytes
    FROM citus_shards
    LEFT JOIN (
        SELECT shardid, result FROM run_command_on_shards('brands', 'SELECT count(*) FROM %s') WHERE success
    ) AS counted USING (shardid)
    WHERE citus_table_type = 'distributed'
    GROUP BY nodename, nodeport ORDER BY server
""")

FIRST: Final = SPREAD[0]


class SpreadTable(NamedTuple):
    """A table as Citus lists it: its place, the column by which it is spread, and its colocation group."""

    name: str
    place: str
    column_name: str
    group_id: int


class Server(NamedTuple):
    """A server of the cluster. `parts`: how many shards of the table `brands` are on it; `brands`: how many brands.

    `bytes`: the size of its spread tables; None if the server does not answer, and `brands` is 0 then.
    """

    name: str
    parts: int
    brands: int
    bytes: int | None


def has_citus(connection: Connection) -> bool:
    """Whether the database has the extension citus."""
    return bool(connection.scalar(HAS_CITUS))


def keys(connection: Connection) -> list[Key]:
    """The primary and unique keys of Spendgate's tables."""
    return [
        Key(row["table_name"], row["name"], row["columns"], row["kind"] == "p")
        for row in plain(connection.execute(CONSTRAINTS))
        if row["kind"] != "f"
    ]


def references(connection: Connection) -> list[Reference]:
    """The foreign keys of Spendgate's tables."""
    return [
        Reference(
            row["table_name"], row["name"], row["columns"], row["target"], row["target_columns"], row["definition"]
        )
        for row in plain(connection.execute(CONSTRAINTS))
        if row["kind"] == "f"
    ]


def prepare(connection: Connection) -> None:
    """Replaces keys that lack the brand, and drops foreign keys and triggers that cannot work on several servers.

    Creates the directory (tables of the coordinator that find a campaign's brand), and the functions and the trigger by
    which workers set the hold `platform_paused` and no other.
    """
    for reference in references(connection):
        if not is_kept(reference):
            _alter(connection, reference.table, f"DROP CONSTRAINT {reference.name}")
    for key in keys(connection):
        columns = key_columns(key)
        if columns == list(key.columns):
            continue
        _alter(connection, key.table, f"DROP CONSTRAINT {key.name}")
        if columns is not None:
            _alter(connection, key.table, f"ADD CONSTRAINT {key.name} PRIMARY KEY ({', '.join(columns)})")
            by_rest = f"ON {key.table} ({', '.join(key.columns)})"
            connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS ix_{key.table}_without_brand {by_rest}")
    triggers = {(row["table_name"], row["name"]) for row in plain(connection.execute(TRIGGERS))}
    for table, name in sorted(triggers & REPLACED_TRIGGERS):
        connection.exec_driver_sql(f"DROP TRIGGER {name} ON {table}")
    platform_holds.create(connection, triggers)
    directory_tables.create(connection)


def _alter(connection: Connection, table: str, action: str) -> None:
    connection.exec_driver_sql(f"ALTER TABLE {table} {action}")


def tables(connection: Connection) -> dict[str, SpreadTable]:
    """The tables that Citus has registered, by name."""
    return {row["name"]: SpreadTable(**row) for row in plain(connection.execute(TABLES))}


def drift(known: dict[str, SpreadTable]) -> Iterator[str]:
    """Yields a sentence for each table that Citus has spread otherwise than places.py says.

    `known`: the tables that Citus has registered, by name. Leaves out tables that are not spread yet, and partitions.
    """
    group = known[FIRST].group_id if FIRST in known else None
    for table in known.values():
        place = place_of(table.name)
        if table.name.startswith("spend_events_"):
            continue
        if table.place not in {place, Place.COORDINATOR}:
            yield f"{table.name} is {table.place}, not {place}"
        elif place is Place.SPREAD and table.column_name != brand_column(table.name):
            yield f"{table.name} is spread by {table.column_name}, not by {brand_column(table.name)}"
        elif place is Place.SPREAD and table.group_id != group:
            yield f"{table.name} is not spread with {FIRST}"


def spread_missing(connection: Connection, shards: int) -> list[str]:
    """Spreads the tables that are not spread yet, in the transaction of `connection`; returns their names.

    `shards`: the number of shards of each table, used when the first table is spread. Also replaces keys, foreign keys
    and triggers that cannot work on several servers, and creates the functions that run statements on shards.
    """
    names = missing(tables(connection))
    connection.execute(SET_FOR_SPREADING)
    prepare(connection)
    # Citus would take over the tables that refer to one on every server before they are spread.
    to_every_server = [one for one in references(connection) if one.table in names and one.target in ON_EVERY_SERVER]
    for reference in to_every_server:
        _alter(connection, reference.table, f"DROP CONSTRAINT {reference.name}")
    for name in names:
        _spread(connection, name, shards)
    for reference in to_every_server:
        _alter(connection, reference.table, f"ADD CONSTRAINT {reference.name} {reference.definition}")
    on_shard.create(connection)
    return names


def missing(known: dict[str, SpreadTable]) -> list[str]:
    """The names of the tables that are not spread yet, each after the tables that it refers to.

    `known`: the tables that Citus has registered, by name.
    """
    return [name for name in (*ON_EVERY_SERVER, *SPREAD) if name not in known or known[name].place == Place.COORDINATOR]


def _spread(connection: Connection, name: str, shards: int) -> None:
    values: dict[str, Any] = {"name": name, "column_name": brand_column(name)}
    if name in ON_EVERY_SERVER:
        connection.execute(PUT_ON_EVERY_SERVER, {"name": name})
    elif name == FIRST:
        connection.execute(SPREAD_FIRST, values | {"shards": shards})
    else:
        connection.execute(SPREAD_WITH_BRANDS, values)


def with_local_rows(connection: Connection) -> list[str]:
    """The names of spread tables that still have, on the coordinator, the rows from before they were spread."""
    return list(connection.scalars(WITH_LOCAL_ROWS))


def free_local_rows(connection: Connection, name: str) -> None:
    """Deletes the rows that a spread table still has on the coordinator from before it was spread."""
    connection.execute(FREE_LOCAL_ROWS, {"name": name})


def servers(connection: Connection) -> list[Server]:
    """Asks each server with shards of the spread tables for its number of brands; returns the servers, by name."""
    return [Server(*row) for row in connection.execute(SERVERS)]
