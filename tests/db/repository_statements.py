"""Every statement of db/repository, found by walking its modules."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

from sqlalchemy import TextClause
from sqlalchemy.dialects import postgresql

import db.repository
from db.statements import for_citus

OF_CITUS = ("db.repository.spread.citus", "db.repository.spread.shards", "db.repository.ledger.count_on_shard")
"""Modules whose statements call functions that only Citus has."""

OF_SEVERAL_SERVERS = (
    *(f"db.repository.spread.{name}" for name in ("platform_holds", "directory", "directory_tables")),
    "db.repository.ledger.directory_checks",
)
"""Modules whose statements use functions and tables that only a database of several servers has."""


def statements(*, for_shards: bool = False) -> Iterator[tuple[str, str]]:
    """Each statement by module, constant name and number, with $1, $2 … for its values. Without settings by SET.

    `for_shards`: as Citus gets it; else leaves out those of OF_SEVERAL_SERVERS. Leaves out those of OF_CITUS.
    """
    left_out = OF_CITUS if for_shards else (*OF_CITUS, *OF_SEVERAL_SERVERS)
    for module in pkgutil.walk_packages(db.repository.__path__, "db.repository."):
        if module.name in left_out:
            continue
        place = module.name.rpartition(".")[2]
        for name, value in vars(importlib.import_module(module.name)).items():
            for number, clause in enumerate(value if isinstance(value, tuple) else (value,)):
                if isinstance(clause, TextClause):
                    text = numbered(clause, for_shards=for_shards)
                    if not text.lstrip().startswith("SET "):
                        yield f"{place}.{name}.{number}", text


def numbered(clause: TextClause, *, for_shards: bool = False) -> str:
    """The statement's text with $1, $2 … for its values."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own is not annotated
    text = str(clause.compile(dialect=dialect))
    return re.sub(r"%\((\w+)\)s", number, for_citus(text) if for_shards else text).replace("%%", "%")
