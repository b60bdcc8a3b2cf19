"""Each statement joins spread tables by the brand, and names the brand of the rows that it writes.

The texts are read as Citus gets them, without a cluster; tests/db/test_statements_on_citus.py lets Citus plan them.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from db.repository.spread.places import SPREAD, brand_column
from tests.db.repository_statements import statements

STRINGS = re.compile(r"'(?:[^']|'')*'")
COMMENTS = re.compile(r"/\*.*?\*/", re.DOTALL)
INNERMOST = re.compile(r"\(([^()]*)\)")
PLACE = re.compile(r"<(\d+)>")
BEGINS_A_BLOCK = re.compile(r" ?(?:SELECT|WITH|INSERT|UPDATE|DELETE)\b")
PARTS = re.compile(r"\b(?:UNION ALL|UNION|EXCEPT|(?=SELECT\b))")
TABLES = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO|USING) (\w+)\b(?! ?<)(?: AS (\w+))?")
WRITES = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)(?: AS (\w+))?")
CHANGES = re.compile(r"^\s*(?:WITH\b.*> )?(?:UPDATE|DELETE FROM) (\w+)")
WITHOUT_COLUMNS = re.compile(r" ?SELECT FROM\b(?!.* WHERE false ?$)")
COMMON_TABLES = re.compile(r"\b(\w+) AS (?:NOT )?(?:MATERIALIZED )?<(\d+)>")

OF_ALL_BRANDS = {"spend_hours.FORGET.0", "hours.FORGET.0", "hours.START_ANEW.0", "connection_edits.FORGET_STATUSES.0"}
"""Statements that delete rows of all brands, on every server: jobs and edits that may fail while one is away."""


FOR_ONE_SERVER = {"reads.HASTEN.0"}
"""Statements in whose place the code sends others to several servers."""


class Block(NamedTuple):
    """A SELECT or a writing statement without the SELECTs in it.

    `defines`: its name, if it is in a WITH. `is_inner`: one around it reads spread tables.
    """

    text: str
    tables: list[tuple[str, str]]
    defines: str
    is_inner: bool

    def names_brand_of(self, table: str, name: str) -> bool:
        """Whether it says which brand the table's rows have: by the table's name in it, or by the column alone."""
        column = brand_column(table)
        alone = column if len(self.tables) == 1 else "brand_id"
        is_join = len(self.tables) > 1 and self.text.lstrip().startswith("SELECT")
        conditions = self.text.partition(" FROM ")[2] if is_join else self.text
        return re.search(rf"\b{name}\.{column}\b|(?<!\.)\b{alone}\b", conditions) is not None


def blocks(statement: str) -> list[Block]:
    """The statement's blocks, from the outermost to the innermost."""
    text = " ".join(COMMENTS.sub("", STRINGS.sub("''", statement)).split())
    inner: list[str] = []
    while match := INNERMOST.search(text):
        inner.append(match[1])
        text = f"{text[: match.start()]}<{len(inner) - 1}>{text[match.end() :]}"
    common = {name for part in (text, *inner) for name, _ in COMMON_TABLES.findall(part)}

    def opened(part: str) -> str:
        return PLACE.sub(lambda match: match[0] if is_block(match[1]) else f"({opened(inner[int(match[1])])})", part)

    def is_block(place: str) -> bool:
        return BEGINS_A_BLOCK.match(inner[int(place)]) is not None

    def walk(whole: str, defines: str, is_inner: bool) -> Iterator[Block]:
        for part in filter(None, PARTS.split(opened(whole))):
            named = [(table, alias or table) for table, alias in TABLES.findall(part) if table in SPREAD]
            tables = [(table, name) for table, name in named if table not in common or table == defines]
            yield Block(part, tables, defines, is_inner)
            defined = {place: name for name, place in COMMON_TABLES.findall(part)}
            for place in PLACE.findall(part):
                yield from walk(inner[int(place)], defined.get(place, ""), is_inner or bool(tables))

    return list(walk(text, "", is_inner=False))


def test_each_join_of_spread_tables_is_by_brand() -> None:
    loose = [
        (name, alias, block.text)
        for name, statement in statements(for_shards=True)
        for block in blocks(statement)
        if len(block.tables) > 1 or (block.is_inner and not block.defines)
        for table, alias in block.tables
        if not block.names_brand_of(table, alias)
    ]
    assert loose == []


def test_no_subquery_asks_all_servers_for_rows_without_columns() -> None:
    """Citus stores the result of such a subquery, and fails to read one that has no columns."""
    asking = {
        name
        for name, statement in statements(for_shards=True)
        for block in blocks(statement)[1:]
        if WITHOUT_COLUMNS.match(block.text) and not block.is_inner
        for table, alias in block.tables
        if not block.names_brand_of(table, alias)
    }
    assert asking == set()


def test_each_written_row_has_its_brand_named() -> None:
    unnamed = {
        name
        for name, statement in statements(for_shards=True)
        for block in blocks(statement)
        for table, alias in WRITES.findall(block.text)
        if table in SPREAD and not block.names_brand_of(table, alias or table)
    }
    assert unnamed == OF_ALL_BRANDS


def test_no_change_of_a_coordinators_table_reads_spread_tables() -> None:
    """Citus changes no row then, without an error, or fails."""
    reading = {
        name
        for name, statement in statements(for_shards=True)
        if any(block.tables for block in blocks(statement))
        for block in blocks(statement)
        for table in CHANGES.findall(block.text)
        if table not in SPREAD
    }
    assert reading == FOR_ONE_SERVER


@pytest.mark.parametrize(
    ("statement", "is_by_brand"),
    [
        ("SELECT 1 FROM campaigns JOIN budgets USING (brand_id)", True),
        ("SELECT 1 FROM campaigns JOIN budgets ON budgets.campaign_id = campaigns.id", False),
        ("SELECT 1 FROM brands WHERE EXISTS (SELECT FROM campaigns WHERE campaigns.brand_id = brands.id)", True),
        ("SELECT 1 FROM budgets WHERE EXISTS (SELECT FROM campaigns WHERE campaigns.id = campaign_id)", False),
        ("WITH budgets AS (SELECT 1 FROM budgets) SELECT 1 FROM campaigns JOIN budgets ON campaign_id = id", True),
    ],
)
def test_joins_without_a_brand_are_found(statement: str, is_by_brand: bool) -> None:
    found = [block for block in blocks(statement) if len(block.tables) > 1 or block.is_inner]
    assert all(block.names_brand_of(*table) for block in found for table in block.tables) is is_by_brand
