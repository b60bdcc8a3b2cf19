"""Spreads the tables over the servers of a Citus cluster, in `spendgate migrate`; does nothing on plain Postgres."""

from db.pool import unpooled_engine
from db.repository.ledger import count_on_shard
from db.repository.spread import citus
from domain.errors import InvalidValue
from runtime.settings import settings


def spread() -> list[str]:
    """Spreads the tables that are not spread yet over the servers; returns their names. Does nothing without Citus.

    One transaction spreads all of these tables or none. Then deletes the rows that spread tables still have on the
    coordinator, also for tables that an earlier run spread before it was killed. Raises InvalidValue if a table is
    spread otherwise than it must be.
    """
    with unpooled_engine().begin() as connection:
        if not citus.has_citus(connection):
            return []
        unlike = list(citus.drift(citus.tables(connection)))
        if unlike:
            raise InvalidValue("citus", "; ".join(unlike))
        done = citus.spread_missing(connection, settings().citus_shards)
        count_on_shard.create(connection)
        with_local_rows = citus.with_local_rows(connection)
    for name in with_local_rows:
        with unpooled_engine().begin() as connection:
            citus.free_local_rows(connection, name)
    return done
