"""Locks brands in the order in which all transactions lock them: shard by shard, and by id."""

from collections.abc import Iterable

from sqlalchemy import Connection, text

from db.engine import Query
from db.repository.shared.arrays import array_of
from db.repository.spread.shards import by_shard

# Locks brands of one shard in id order, because two transactions that lock in different orders deadlock.
LOCK_BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands
    WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
""")


def locks_of(connection: Connection, brand_ids: Iterable[int]) -> list[Query]:
    """The queries that lock the brands, one for each shard; they return (id, time zone, configured status) rows."""
    return [(LOCK_BRANDS, {"brand_ids": array_of(sorted(some))}) for some in by_shard(connection, frozenset(brand_ids))]
