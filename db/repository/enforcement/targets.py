"""Lists the brands and campaigns that scheduled jobs enforce or compare: due ones, brands of time zones, or all."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

# Each time zone in use, found by a loose index scan. Citus refuses recursion: each server reads its own brands.
ZONES = text("""
    /*citus SELECT DISTINCT time_zone FROM brands ORDER BY time_zone */
    /*plain*/ WITH RECURSIVE zone AS (
        (SELECT time_zone FROM brands ORDER BY time_zone LIMIT 1)
        UNION ALL
        SELECT (SELECT time_zone FROM brands WHERE time_zone > zone.time_zone ORDER BY time_zone LIMIT 1)
        FROM zone WHERE zone.time_zone IS NOT NULL
    )
    SELECT time_zone FROM zone WHERE time_zone IS NOT NULL /*end*/
""")

# Each brand has a fixed second of the day for comparing its counters with the ledger. Brands whose second came since.
COMPARED_SINCE = text("""
    SELECT id, came_at FROM (
        SELECT id, date_trunc('second', CAST(:at AS timestamptz)) - make_interval(secs => mod(
            mod(floor(extract(epoch FROM CAST(:at AS timestamptz)))::bigint, 86400)
                - mod(mod(id, 86400) * 7919, 86400) + 86400,
            86400
        )) AS came_at
        FROM brands
    ) AS due
    WHERE came_at > :since ORDER BY came_at, id
""")

BRANDS_OF_ZONES = text("SELECT id FROM brands WHERE time_zone = ANY(CAST(:zones AS text[])) ORDER BY id")

BRANDS_NEVER_ENFORCED = text("SELECT DISTINCT brand_id FROM campaigns WHERE enforced_at IS NULL ORDER BY brand_id")

ALL_BRANDS = text("SELECT id FROM brands WHERE id > :after ORDER BY id LIMIT :limit")

CAMPAIGNS_AFTER = text("""
    SELECT brand_id, id FROM campaigns WHERE (brand_id, id) > (:after_brand, :after_campaign)
        AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
    ORDER BY brand_id, id LIMIT :limit
""")

# One page of campaigns whose next change has come or that were never enforced, by brand.
DUE = text("""
    SELECT brand_id, id FROM (
        SELECT brand_id, id FROM campaigns WHERE next_change_at <= :at
        UNION
        SELECT brand_id, id FROM campaigns WHERE enforced_at IS NULL
    ) AS due
    WHERE (brand_id, id) > (:after_brand, :after_campaign)
    ORDER BY brand_id, id
    LIMIT :limit
""")


def zones_in_use(connection: Connection) -> list[str]:
    """The names of all time zones that brands have."""
    return list(connection.scalars(ZONES))


def to_compare(connection: Connection, since: datetime, at: datetime) -> list[tuple[int, datetime]]:
    """The brands whose counters became due for a comparison with the ledger after `since`, up to `at`.

    Returns (brand id, when it became due) pairs in order of time. Each brand becomes due at its own second of the day.
    `since` and `at` are at most a day apart.
    """
    parameters = {"since": since, "at": at}
    return [(brand_id, came_at) for brand_id, came_at in connection.execute(COMPARED_SINCE, parameters)]


def brands_of_zones(connection: Connection, zones: Sequence[str]) -> list[int]:
    """The ids of brands with one of these time zones, in order."""
    return list(connection.scalars(BRANDS_OF_ZONES, {"zones": list(zones)}))


def brands_never_enforced(connection: Connection) -> list[int]:
    """The ids of brands with a campaign that was never enforced, in order."""
    return list(connection.scalars(BRANDS_NEVER_ENFORCED))


def brands_after(connection: Connection, brand_id: int, limit: int) -> list[int]:
    """One page of the ids of all brands above `brand_id`, in order."""
    return list(connection.scalars(ALL_BRANDS, {"after": brand_id, "limit": limit}))


def campaigns_after(
    connection: Connection, after: tuple[int, int], limit: int, only_brand_id: int | None = None
) -> list[tuple[int, int]]:
    """One page of all (brand id, campaign id) pairs after `after`, in order. `only_brand_id` None: of all brands."""
    parameters = {"after_brand": after[0], "after_campaign": after[1], "limit": limit, "only_brand_id": only_brand_id}
    return [(brand_id, campaign_id) for brand_id, campaign_id in connection.execute(CAMPAIGNS_AFTER, parameters)]


def due(connection: Connection, at: datetime, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """One page of campaigns that were never enforced, or whose `next_change_at` is at most `at`.

    Returns (brand id, campaign id) pairs in order. `after`: the last pair of the previous page.
    """
    parameters = {"at": at, "after_brand": after[0], "after_campaign": after[1], "limit": limit}
    return [(brand_id, campaign_id) for brand_id, campaign_id in connection.execute(DUE, parameters)]
