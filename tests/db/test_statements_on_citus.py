"""Citus plans every statement of db/repository, for brands of one shard and of all."""

import re

import psycopg
import pytest

from tests import citus
from tests.db.repository_statements import statements
from tests.world import World

pytestmark = pytest.mark.skipif(not citus.is_used(), reason=f"{citus.VARIABLE} names no cluster")

VALUES = {
    "bigint": "1",
    "integer": "1",
    "smallint": "1",
    "numeric": "1",
    "double precision": "1",
    "text": "brands",
    "bytea": "x",
    "boolean": "true",
    "date": "2026-06-17",
    "timestamp with time zone": "2026-06-17T00:00:00Z",
    "interval": "1 day",
    "uuid": "02721f1e-9bbc-4739-9b6b-87006c650604",
    "json": "{}",
    "jsonb": "{}",
}
"""A value of each type that statements take."""

SEVERAL = range(1, 101)
"""Ids of brands that lie on all shards."""

BY_SHARD = {
    *("brand_locks.LOCK_BRANDS.0", "locked_rows.LOCKED_BRANDS.0"),
    *("locked_rows.LOCKED_ROWS_OF_BRANDS.0", "facts.FEW_CAMPAIGNS.0", "facts.BUDGETS_OF_FEW.0", "passes.SIZES.0"),
    *("facts.CAMPAIGNS_OF_PART.0", "facts.BUDGETS_OF_PART.0"),
    *("passes.IDS_OF_PARTS.0", "passes.IDS_OF_BRANDS.0", "search.BUDGET_STATES.0"),
}
"""Statements that lock rows or look up each brand of a list: the code sends them for the brands of one shard."""

ON_ONE_SERVER = {
    *("days.KEEP_CHANGED.0", "days.NOTE_UNDONE.0"),
    "reads.HASTEN.0",
    *("counting.LESSEN_HEADROOM.0", "spend.LESSEN_HEADROOM.0"),
}
"""Statements that the code sends to one server alone; several get others in their place."""


OPTIONAL = re.compile(r"(?:\bCOALESCE\((?:CAST\()?|\bCAST\((?=\$\d+ AS [\w\[\]]+\) IS NULL)|DISTINCT FROM )\$(\d+)")
"""A parameter that the statement expects to be NULL at times."""


def value_of(kind: str, number: int) -> str:
    value = VALUES[kind.removesuffix("[]")]
    if not kind.endswith("[]"):
        return value
    ids = ",".join(map(str, SEVERAL[:number])) if kind == "bigint[]" else f'"{value}"'
    return f"{{{ids}}}"


def planned(connection: psycopg.Connection, statement: str, brands: int, without: int = 0) -> None:
    """Plans the statement with a value of its type for each parameter, written into it as the driver does there.

    `without`: the number of the parameter that is NULL.
    """
    connection.execute(f"PREPARE tried AS {statement}".encode())
    (kinds,) = connection.execute(
        "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'tried'"
    ).fetchall()[0]
    connection.execute("DEALLOCATE tried")
    given = [f"CAST('{value_of(kind, brands)}' AS {kind})" for kind in kinds]
    if without:
        given[without - 1] = f"CAST(NULL AS {kinds[without - 1]})"
    text = re.sub(r"\$(\d+)", lambda match: given[int(match[1]) - 1], statement)
    plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {text}".encode()))
    if "Error: Could not get remote plan" in plan:
        # A server refuses it, or lacks the results of subplans, which a plan alone does not make.
        with connection.transaction(force_rollback=True):
            connection.execute(f"EXPLAIN ANALYZE {text}".encode())


@pytest.mark.parametrize("brands", [1, len(SEVERAL)], ids=["one brand", "brands of all shards"])
def test_citus_plans_every_statement(world: World, brands: int) -> None:
    refused = {}
    with psycopg.connect(world.url, autocommit=True, prepare_threshold=None) as connection:
        for name, statement in statements(for_shards=True):
            try:
                planned(connection, statement, brands)
            except psycopg.Error as error:
                refused[name] = str(error)
    expected = ON_ONE_SERVER if brands == 1 else ON_ONE_SERVER | BY_SHARD
    assert {name: why for name, why in refused.items() if name not in expected} == {}


def test_citus_plans_every_statement_without_each_optional_value(world: World) -> None:
    refused, tried = {}, 0
    with psycopg.connect(world.url, autocommit=True, prepare_threshold=None) as connection:
        for name, statement in statements(for_shards=True):
            for number in sorted({int(number) for number in OPTIONAL.findall(statement)}):
                tried += 1
                try:
                    planned(connection, statement, 1, without=number)
                except psycopg.Error as error:
                    refused[name, number] = str(error)
    assert tried > 20
    assert {place: why for place, why in refused.items() if place[0] not in ON_ONE_SERVER} == {}
