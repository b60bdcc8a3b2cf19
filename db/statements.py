"""The text of statements for the driver, with or without the conditions that only Citus needs.

Citus sends a statement whole to the one shard that it reads and writes, if the statement has a condition on the brands
of each of its tables. Where tables are joined by brand, such a condition changes no result, and can mislead Postgres:
it would try each brand of the array for each row. So the condition stands in a comment `/*citus … */`, and only Citus
gets the inside of the comment. The few words that Citus must not get stand between `/*plain*/` and `/*end*/`.
"""

import re
from functools import lru_cache
from typing import Final

from sqlalchemy import Dialect, TextClause

COMMENT: Final = re.compile(r"/\*citus (.*?)\*/", re.DOTALL)
PLAIN: Final = re.compile(r"/\*plain\*/.*?/\*end\*/", re.DOTALL)

STATEMENTS_KEPT: Final = 2_000
"""Most statements whose text a process caches; the code has fewer."""


def for_citus(statement: str) -> str:
    """The statement for Citus: with the inside of `/*citus … */` comments, without `/*plain*/ … /*end*/`."""
    return COMMENT.sub(r"\1", PLAIN.sub("", statement))


@lru_cache(STATEMENTS_KEPT)
def for_driver(statement: TextClause, dialect: Dialect, is_citus: bool) -> bytes:
    """The statement's text for psycopg, with the conditions for Citus if the server has it."""
    compiled = str(statement.compile(dialect=dialect))
    return (for_citus(compiled) if is_citus else compiled).encode()
