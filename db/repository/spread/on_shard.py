"""Runs a statement that is written for a single Postgres server on the tables of one shard of Citus.

The server of the shard runs it, by a call of a function. The coordinator plans only the call, and the server plans the
statement once in a session, as a single server does. The statement needs no condition for Citus, and sees only brands
of the shard.
"""

import hashlib
import re
from functools import lru_cache
from typing import Any, Final

from psycopg import ClientCursor
from sqlalchemy import Connection, TextClause, text

from db.engine import Query
from db.local_settings import has_citus
from db.repository.spread.places import SPREAD
from db.statements import for_driver

COLUMNS: Final = "columns"
"""The option of a statement with the names and types of its columns, as in a table's definition."""

TABLE: Final = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE) ({'|'.join(SPREAD)})\b( AS \w+)?")

VALUE: Final = re.compile(r"%\((\w+)\)s")

STATEMENTS_KEPT: Final = 20
"""Most statements whose calls a process caches: more than use `on_shard`, so that none is dropped."""

SHARE_LOCK: Final = 5
"""Postgres's number of the lock mode SHARE, which on a shard's metadata conflicts with a move, but not with writes."""

# Locks where a shard of `brands` is until the transaction ends; returns whether it is on this server. Its caller need
# not own the table.
LOCK_SHARD: Final = f"""
    CREATE OR REPLACE FUNCTION lock_shard_of_brands(shard bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $lock$
    BEGIN
        PERFORM lock_shard_metadata({SHARE_LOCK}, ARRAY[shard]);
        RETURN EXISTS (
            SELECT FROM pg_dist_placement JOIN pg_dist_local_group USING (groupid) WHERE shardid = shard
        );
    END $lock$
"""

# Prepares a statement in this session of the server, unless it did before. The setting remembers it, and is taken back
# with the transaction, unlike the statement.
PREPARE: Final = """
    CREATE OR REPLACE FUNCTION prepare_once(of_name text, statement text) RETURNS void LANGUAGE plpgsql AS $prepare$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = of_name) THEN
            EXECUTE format('PREPARE %I %s', of_name, statement);
        END IF;
        PERFORM set_config('spendgate.' || of_name, 'on', false);
    END $prepare$
"""

# Runs the statement, which names each of the tables as `@table@`, with the rights of the caller. `key` names its text,
# `arguments` are its values in parentheses.
RUN: Final = """
    CREATE OR REPLACE FUNCTION run_on_shard(of_brand bigint, tables text[], key text, statement text, arguments text)
    RETURNS SETOF record LANGUAGE plpgsql AS $run$
    DECLARE
        shard bigint := get_shard_id_for_distribution_column('{schema}.brands', of_brand);
        prepared text := format('run_%s_%s', key, shard);
        name text;
    BEGIN
        IF NOT {schema}.lock_shard_of_brands(shard) THEN
            RAISE feature_not_supported USING MESSAGE = 'the brands are on another server by now';
        END IF;
        IF current_setting('spendgate.' || prepared, true) IS DISTINCT FROM 'on' THEN
            FOREACH name IN ARRAY tables LOOP
                statement := replace(statement, '@' || name || '@', format('{schema}.%s_%s', name,
                    get_shard_id_for_distribution_column(CAST(format('{schema}.%s', name) AS regclass), of_brand)));
            END LOOP;
            PERFORM {schema}.prepare_once(prepared, 'AS ' || statement);
        END IF;
        RETURN QUERY EXECUTE format('EXECUTE %I%s', prepared, arguments);
    END $run$
"""

DISTRIBUTE_LOCK: Final = "SELECT create_distributed_function('lock_shard_of_brands(bigint)')"

# Citus lets the server that has the brand run the function, also within a transaction.
DISTRIBUTE: Final = """
    SELECT create_distributed_function('{}', 'of_brand', colocate_with => 'brands', force_delegation => true)
"""


def create(connection: Connection) -> None:
    """Creates or replaces `lock_shard_of_brands`, `prepare_once` and `run_on_shard` on all servers.

    The tables must be spread already.
    """
    connection.execute(text(LOCK_SHARD))
    connection.exec_driver_sql("REVOKE EXECUTE ON FUNCTION lock_shard_of_brands FROM PUBLIC")
    connection.exec_driver_sql(DISTRIBUTE_LOCK)
    connection.execute(text(PREPARE))
    create_run_by_server(connection, RUN, "run_on_shard(bigint, text[], text, text, text)")


def create_run_by_server(connection: Connection, function: str, signature: str) -> None:
    """Creates or replaces a function that Citus runs on the server of the brand in its first argument, `of_brand`.

    `function`: its SQL, with `{schema}` for the schema. `signature`: such as `count_spend(bigint, text)`.
    """
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    connection.execute(text(function.replace("{schema}", schema)))
    connection.exec_driver_sql(DISTRIBUTE.format(signature))


def on_shard(connection: Connection, of_brand: int, query: Query) -> Query:
    """The query that runs `query` on the shard that has the brand `of_brand`; without Citus, `query` itself.

    The statement must have the option COLUMNS, and be about brands of that shard only.
    """
    if not has_citus(connection):
        return query
    statement, parameters = query
    tables, named, names = _prepared(for_driver(statement, connection.dialect, is_citus=False).decode())
    driver: Any = connection.connection.driver_connection
    values = ", ".join(["%s"] * len(names))
    arguments = ClientCursor(driver).mogrify(f"({values})".encode(), [parameters[name] for name in names])
    sent = {"of_brand": str(of_brand), "tables": tables, "key": key_of(named), "statement": named}
    return _call(statement), {**sent, "arguments": arguments}


def key_of(statement: str) -> str:
    """A short hash of a statement, part of the name under which servers prepare it."""
    return hashlib.md5(statement.encode(), usedforsecurity=False).hexdigest()[:16]


@lru_cache(STATEMENTS_KEPT)
def _call(statement: TextClause) -> TextClause:
    """The call of `run_on_shard` that returns the statement's columns.

    `:of_brand` must be sent as text, which Postgres reads as a constant bigint: Citus finds the server by it.
    """
    columns = statement.get_execution_options()[COLUMNS]
    call = "SELECT * FROM run_on_shard(:of_brand, :tables, :key, :statement, :arguments)"
    return text(f"{call} AS found({columns})")


@lru_cache(STATEMENTS_KEPT)
def _prepared(statement: str) -> tuple[str, str, list[str]]:
    """(tables, text, names): the statement in the form that `run_on_shard` prepares.

    The spread tables that it names, as a Postgres array; the statement with each as `@table@` and with `$1`, `$2` … for
    its values; and the names of these values, in order.
    """
    tables = sorted({table for _, table, _ in TABLE.findall(statement)})
    names = list(dict.fromkeys(VALUE.findall(statement)))
    numbered = VALUE.sub(lambda found: f"${names.index(found[1]) + 1}", TABLE.sub(_placeholder, statement))
    return f"{{{','.join(tables)}}}", numbered.replace("%%", "%"), names


def _placeholder(found: re.Match[str]) -> str:
    verb, table, alias = found.groups()
    return f"{verb} @{table}@{alias or f' AS {table}'}"
