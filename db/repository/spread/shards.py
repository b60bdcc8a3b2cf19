"""The shards of Citus with rows of brands; Postgres alone is one shard."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, text

from db.engine import query_pipelined
from db.local_settings import has_citus
from db.repository.shared.arrays import array_of

# The shard of each brand, by its id alone: all tables that are spread by brand lie there together.
SHARDS_OF_BRANDS = text("""
    SELECT brand_id, get_shard_id_for_distribution_column('brands', brand_id)
    FROM unnest(CAST(:brand_ids AS bigint[])) AS sent(brand_id)
""")

MAX_CACHED: Final = 1_000_000
"""Brands in the cache; a full cache is emptied, which bounds its memory."""

_cache: dict[int, int] = {}


def by_shard(connection: Connection, brand_ids: Collection[int]) -> list[frozenset[int]]:
    """The brands by shard, in order of shard ids, which is the order in which all transactions lock brands.

    One group, without a query, where the server has no Citus. Each process asks for the shard of a brand once.
    """
    distinct = frozenset(brand_ids)
    if not has_citus(connection):
        return [distinct]
    known = {brand_id: shard for brand_id in distinct if (shard := _cache.get(brand_id)) is not None}
    missing = distinct - known.keys()
    if missing:
        (rows,) = query_pipelined(connection, (SHARDS_OF_BRANDS, {"brand_ids": array_of(sorted(missing))}))
        if len(_cache) + len(rows) > MAX_CACHED:
            clear_shard_cache()
        known.update((brand_id, shard) for brand_id, shard in rows)
        _cache.update(known)
    shards = defaultdict[int, set[int]](set)
    for brand_id, shard in known.items():
        shards[shard].add(brand_id)
    return [frozenset(brands) for _, brands in sorted(shards.items())]


def clear_shard_cache() -> None:
    """Empties the cache of `by_shard`, after shards may have been split."""
    _cache.clear()
