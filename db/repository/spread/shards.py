"""The shards of Citus with rows of brands; Postgres alone is one shard."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.engine import query_pipelined
from db.local_settings import has_citus
from db.repository.shared.arrays import array_of

# The shard of each brand, by its id alone, and the group of its server: all tables that are spread by brand lie there
# together.
SHARDS_OF_BRANDS = text("""
    SELECT brand_id, shard.id, COALESCE((
        SELECT groupid FROM pg_dist_placement AS placement WHERE placement.shardid = shard.id LIMIT 1
    ), 0)
    FROM unnest(CAST(:brand_ids AS bigint[])) AS sent(brand_id)
    CROSS JOIN LATERAL (SELECT get_shard_id_for_distribution_column('brands', brand_id) AS id) AS shard
""")

MAX_CACHED: Final = 1_000_000
"""Most brands in the cache; a full cache is emptied, which bounds its memory."""


class Shard(NamedTuple):
    """A shard by its id, and the server that it is on. The id comes first, since shards are locked in its order."""

    shard_id: int
    server: int


ONE: Final = Shard(0, 0)
"""The shard of all brands on a server without Citus."""

_cache: dict[int, Shard] = {}


def by_shard(connection: Connection, brand_ids: Collection[int]) -> list[frozenset[int]]:
    """The brands grouped by shard, in order of shard ids, which is the order in which all transactions lock brands.

    One group, without a query, where the server has no Citus. The shard of each brand is cached in the process.
    """
    return [brands for _, brands in shards_of(connection, brand_ids)]


def shards_of(connection: Connection, brand_ids: Collection[int]) -> list[tuple[Shard, frozenset[int]]]:
    """(shard, its brands among `brand_ids`) pairs, in order of shard ids; without Citus one pair, with the shard ONE.

    The shard of each brand is cached in the process.
    """
    distinct = frozenset(brand_ids)
    if not has_citus(connection):
        return [(ONE, distinct)]
    known = {brand_id: shard for brand_id in distinct if (shard := _cache.get(brand_id)) is not None}
    missing = distinct - known.keys()
    if missing:
        (rows,) = query_pipelined(connection, (SHARDS_OF_BRANDS, {"brand_ids": array_of(sorted(missing))}))
        if len(_cache) + len(rows) > MAX_CACHED:
            clear_shard_cache()
        known.update((brand_id, Shard(*shard)) for brand_id, *shard in rows)
        _cache.update(known)
    shards = defaultdict[Shard, set[int]](set)
    for brand_id, shard in known.items():
        shards[shard].add(brand_id)
    return [(shard, frozenset(brands)) for shard, brands in sorted(shards.items())]


def by_server(connection: Connection, brand_ids: Collection[int]) -> list[tuple[int, frozenset[int]]]:
    """(server, its brands among `brand_ids`) pairs, in order of servers; without Citus one pair, with server 0."""
    servers = defaultdict[int, set[int]](set)
    for shard, brands in shards_of(connection, brand_ids):
        servers[shard.server] |= brands
    return [(server, frozenset(brands)) for server, brands in sorted(servers.items())]


def clear_shard_cache() -> None:
    """Empties the cache of `shards_of`, after shards may have been split or moved."""
    _cache.clear()
