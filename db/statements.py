"""The text of statements for the driver, with or without the conditions that only Citus needs.

Citus sends a statement whole to the one shard that it reads and writes, if each table in it names the brands. Such a
condition is true already where tables are joined by brand, and can mislead Postgres: it would try each brand of the
array for each row. So it stands in a comment, `/*citus AND brands.id = ANY(…) */`, of which Citus gets the inside. The
few words that Citus must not get stand between `/*plain*/` and `/*end*/`.
"""

import re
from functools import lru_cache
from typing import Final

from sqlalchemy import Dialect, TextClause

COMMENT: Final = re.compile(r"/\*citus (.*?)\*/", re.DOTALL)
PLAIN: Final = re.compile(r"/\*plain\*/.*?/\*end\*/", re.DOTALL)

STATEMENTS_KEPT: Final = 2_000
"""Statements whose text a process keeps; more than the code has."""


def for_citus(statement: str) -> str:
    """The statement for Citus: the inside of `/*citus … */` comments added, the words up to `/*end*/` removed."""
    return COMMENT.sub(r"\1", PLAIN.sub("", statement))


@lru_cache(STATEMENTS_KEPT)
def for_driver(statement: TextClause, dialect: Dialect, is_citus: bool) -> bytes:
    """The statement's text for psycopg, with the conditions for Citus if the server has it."""
    compiled = str(statement.compile(dialect=dialect))
    return (for_citus(compiled) if is_citus else compiled).encode()
