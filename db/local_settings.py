"""Settings of Postgres for the rest of one transaction, which shards of Citus must have too.

One Postgres server sets them by `set_config`, a statement that is prepared once for all values. Where Citus spreads the
database, the function would set them on the server that runs it alone; each is then a SET LOCAL statement, which Citus
sends to the shards that the transaction uses.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

HAS_CITUS: Final = "has_citus"
"""The key of a connection's info that is true if its database has the extension Citus."""

SET = text("SELECT set_config(:name, :value, true)")

SET_ALL = text("""
    SELECT set_config(name, value, true)
    FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) AS settings(name, value)
""")

# Lets Citus send each later SET LOCAL of the transaction to its shards, and use one connection to each server, which
# sees what the transaction wrote there. Else it refuses to write a table that is whole on each server after it read
# several shards.
FOR_WRITES = text("""
    SELECT set_config('citus.propagate_set_commands', 'local', true),
        set_config('citus.multi_shard_modify_mode', 'sequential', true)
""")

FOR_WRITES_ALWAYS: Final = (
    "SET citus.propagate_set_commands = 'local'; SET citus.multi_shard_modify_mode = 'sequential'"
)
"""The statements that a connection runs once, so that SET LOCAL reaches shards and writes go shard by shard."""

# Lets Citus read several shards of a server at a time until the transaction, which writes nothing, ends.
FOR_READS = text("SELECT set_config('citus.multi_shard_modify_mode', 'parallel', true)")

TEXTS_KEPT: Final = 500
"""Most SET LOCAL statements that a process caches: one for each setting and value."""

Setting = tuple[TextClause, Mapping[str, Any]]


def local_setting(connection: Connection, name: str, value: str) -> Setting:
    """The query that sets `name` to `value` until the transaction ends."""
    return (_set_local(name, value), {}) if has_citus(connection) else (SET, {"name": name, "value": value})


def set_on_shards(settings: Mapping[str, str]) -> list[Setting]:
    """The queries that set all of `settings` until the transaction ends, on a server with Citus and on its shards."""
    return [(_set_local(name, value), {}) for name, value in settings.items()]


def set_here(settings: Mapping[str, str]) -> Setting:
    """The query that sets all of `settings` until the transaction ends, on the connection's own server alone."""
    return SET_ALL, {"names": list(settings), "values": list(settings.values())}


def has_citus(connection: Connection) -> bool:
    """Whether the connection's database had the extension Citus when the connection was opened. Sends no query."""
    return bool(connection.info.get(HAS_CITUS))


@lru_cache(TEXTS_KEPT)
def _set_local(name: str, value: str) -> TextClause:
    quoted = value.replace("'", "''").replace(":", r"\:")
    return text(f"SET LOCAL {name} = '{quoted}'")
