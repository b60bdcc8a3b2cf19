"""Lets psycopg answer as it does with Citus, on plain Postgres: refuses what Citus refuses, and changes its errors.

- Brands lie on several shards, by id, and the tables of `SPREAD` with them. Two servers have each second shard.
- A statement locks rows of one shard, and writes none in a WITH. One with LATERAL names a brand.
- A setting reaches the shards by SET LOCAL alone; `set_config` sets what the coordinator alone needs.
- The functions that count and read run on the server of their brand, on the tables themselves.
- An error of a shard has the SQLSTATE XX000, no table, and the number of the shard behind a constraint's name.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import DiagnosticField
from sqlalchemy import Engine, event

from db.local_settings import HAS_CITUS
from db.models.base import Base
from db.repository.ledger.count_on_shard import COUNT_SPEND
from db.repository.spread import directory_tables
from db.repository.spread.on_shard import PREPARE
from tests.world import World

SHARDS: Final = 4
FIRST: Final = 102008
AWAY: Final = "connection to the remote node node-2:5432 failed with the following error: Connection refused"

SHARD_OF: Final = f"""
    CREATE FUNCTION get_shard_id_for_distribution_column(name text, brand_id bigint) RETURNS bigint LANGUAGE sql
    AS 'SELECT {FIRST} + mod(brand_id, {{}})'
"""
PLACES: Final = f"""
    CREATE TABLE pg_dist_placement AS
    SELECT shardid, 1 + mod(shardid, 2) AS groupid FROM generate_series({FIRST}, {FIRST - 1} + {{}}) AS shardid
"""  # noqa: S608 - of constants

LOCK_SHARD: Final = """
    CREATE FUNCTION lock_shard_of_brands(shard bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'
"""

NUMBER: Final = re.compile(r"_%\d\$s")
"""The place of a shard's number in the function that counts: here the tables are whole."""

RUN: Final = """
    CREATE FUNCTION run_on_shard(of_brand bigint, tables text[], key text, statement text, arguments text)
    RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN
        PERFORM prepare_once('run_' || key, 'AS ' || replace(statement, '@', ''));
        RETURN QUERY EXECUTE format('EXECUTE %I%s', 'run_' || key, arguments);
    END $$
"""

CALLS: Final = re.compile(r"\b(?:count_spend|run_on_shard)\(")
"""The functions that the server of a brand runs."""

SPREAD: Final = {
    *("brands", "campaigns", "budgets", "budget_limits", "dayparts", "spend_events", "campaign_days", "brand_days"),
    *("brand_hours", "monthly_reports", "pending_enforcements", "status_changes", "hold_changes", "brand_facts"),
}
"""Tables that are spread by brand."""

OF_DIRECTORY: Final = re.compile(r"\bdirectory_(campaigns|brands) AS ")
"""A lookup in the directory, which gives its tables the names of those that it stands for."""

NAMED_BRANDS: Final = re.compile(r"%\((\w*brands?(?:_ids?)?(?:_\d+)?)\)s")

LOCKS: Final = re.compile(r"FOR (NO KEY )?UPDATE")
WRITES: Final = re.compile(r"^\s*(INSERT INTO|UPDATE|DELETE FROM) (\w+)")
WRITES_IN_WITH: Final = re.compile(r"AS (NOT )?(MATERIALIZED )?\(\s*(INSERT|UPDATE|DELETE)")
SETS: Final = re.compile(r"set_config\((?!'citus\.)")

Sent = tuple[str, Mapping[str, Any]]


def shard_of(brand_id: int, shards: int = SHARDS) -> int:
    """The shard of the brand, of so many."""
    return FIRST + brand_id % shards


def server_of(brand_id: int) -> int:
    """The server of the brand."""
    return 1 + shard_of(brand_id) % 2


def tables_in(statement: str) -> set[str]:
    """The spread tables that the statement names."""
    if OF_DIRECTORY.search(statement):
        return set()
    return set(re.findall(r"\w+", re.sub(r"'[^']*'", "", statement))) & Base.metadata.tables.keys() & SPREAD


def shards_in(statement: str, parameters: Mapping[str, Any], shards: int = SHARDS) -> set[int]:
    """The shards, of so many, of the brands in any of the statement's parameters."""
    found: set[int] = set()
    for name in NAMED_BRANDS.findall(statement):
        value = parameters[name]
        ids = re.findall(r"\d+", value) if isinstance(value, str) else value if isinstance(value, list) else [value]
        found |= {shard_of(int(brand_id), shards) for brand_id in ids if brand_id is not None}
    return found


class Driver:
    """Records the shards that each transaction wrote. `away`: shards whose server does not answer.

    A statement that names no brand asks all servers.
    """

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self.written: list[set[int]] = []
        self.away: set[int] = set()
        self._open: defaultdict[int, set[int]] = defaultdict(set)

    def stop(self, server: int) -> None:
        """Lets a server answer no more."""
        self.away = {shard for shard in range(FIRST, FIRST + SHARDS) if server_of(shard - FIRST) == server}

    def check(self, connection: Any, statement: str, parameters: Mapping[str, Any]) -> None:
        """Notes a statement, or raises the error with which Citus refuses it."""
        if statement == "BEGIN":
            self._open.pop(id(connection), None)
        if statement == "COMMIT":
            self.written.append(self._open.pop(id(connection), set()))
        if SETS.search(statement) and parameters.get("names") != ["lock_timeout"]:
            raise AssertionError(f"set_config reaches no shard: {statement}")
        is_call = CALLS.search(statement) is not None
        if not is_call and not tables_in(statement):
            return
        shards = shards_in(statement, parameters, self.shards)
        if shards & self.away or (self.away and not shards):
            raise error_of("08006", AWAY)
        if not is_call and not shards and NAMED_BRANDS.search(statement) and "LATERAL" in statement:
            raise error_of("0A000", "complex joins are only supported when all distributed tables are co-located")
        if LOCKS.search(statement) and len(shards) != 1:
            raise error_of("0A000", "could not run distributed query with FOR UPDATE/SHARE commands")
        if WRITES_IN_WITH.search(statement):
            raise error_of("22P02", 'invalid input syntax for type bigint: "PGCOPY"')
        if is_call or WRITES.match(statement):
            self._open[id(connection)] |= shards


def error_of(state: str, words: str) -> psycopg.Error:
    """The error that psycopg makes of a server's answer."""
    info: dict[int, bytes | None] = {
        DiagnosticField.SQLSTATE: state.encode(),
        DiagnosticField.MESSAGE_PRIMARY: words.encode(),
    }
    return errors.lookup(state)(words, info=info)


def of_shard(error: psycopg.Error) -> psycopg.Error:
    """The error as Citus passes it on, if it is one of a spread table or a lock."""
    table = error.diag.table_name or ""
    is_spread = table in SPREAD or table.startswith("spend_events")
    if not is_spread and error.sqlstate != errors.LockNotAvailable.sqlstate:
        return error
    words = re.sub(r'(constraint|relation) "(.+?)"', rf'\1 "\2_{FIRST}"', error.diag.message_primary or "")
    return error_of("XX000", words)


@contextmanager
def as_citus(world: World, engine: Engine, shards: int) -> Iterator[Driver]:
    """Makes the connections of the engine answer as those of Citus do, with brands on so many shards."""
    counting = NUMBER.sub("", COUNT_SPEND.replace("{schema}", "public"))
    functions = (SHARD_OF.format(shards), LOCK_SHARD, PREPARE, RUN, counting)
    for statement in (*functions, PLACES.format(shards), *directory_tables.CREATE):
        world.execute(statement.replace("%", "%%"))
    driver = Driver(shards)
    execute, leave, copy = psycopg.Cursor.execute, psycopg.Pipeline.__exit__, psycopg.Cursor.copy

    def is_ours(connection: Any) -> bool:
        return bool(connection.info.parameter_status("application_name") == "spendgate")

    def executed(cursor: Any, query: Any, parameters: Any = None, **options: Any) -> Any:
        if not is_ours(cursor.connection):
            return execute(cursor, query, parameters, **options)
        driver.check(cursor.connection, query.decode() if isinstance(query, bytes) else str(query), parameters or {})
        with as_shard_errors():
            return execute(cursor, query, parameters, **options)

    def left(pipeline: Any, *raised: Any) -> None:
        with as_shard_errors():
            leave(pipeline, *raised)

    @contextmanager
    def copied(cursor: Any, statement: Any, parameters: Any = None, **options: Any) -> Iterator[Any]:
        with as_shard_errors(), copy(cursor, statement, parameters, **options) as made:
            yield made

    engine.dispose()
    event.listen(engine, "connect", _has_citus)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", executed)
        patch.setattr(psycopg.Pipeline, "__exit__", left)
        patch.setattr(psycopg.Cursor, "copy", copied)
        yield driver
    event.remove(engine, "connect", _has_citus)
    engine.dispose()


@contextmanager
def as_shard_errors() -> Iterator[None]:
    """Raises errors of the block as Citus passes them on."""
    try:
        yield
    except psycopg.Error as error:
        known = of_shard(error)
        if known is error:
            raise
        raise known from error


def _has_citus(driver: Any, record: Any) -> None:
    record.info[HAS_CITUS] = True
    driver.cursor_factory = psycopg.ClientCursor
