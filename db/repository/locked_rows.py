"""Which rows that counting writes are locked right now, found without waiting for any of them."""

from collections.abc import Collection
from datetime import date
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.engine import fetched
from db.repository.arrays import array_of

MAX_CAMPAIGNS: Final = 20_000
"""So many campaigns' rows are looked at: each costs a write."""

# The rows of brands, of their counters on some days, and of their campaigns, that another transaction has locked.
LOCKED_ROWS = text("""
    WITH free_brands AS MATERIALIZED (
        SELECT id FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) FOR NO KEY UPDATE SKIP LOCKED
    ), free_brand_days AS MATERIALIZED (
        SELECT brand_id, day FROM brand_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[]))
        FOR NO KEY UPDATE SKIP LOCKED
    ), free_campaign_days AS MATERIALIZED (
        SELECT brand_id, campaign_id, day FROM campaign_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[]))
        FOR NO KEY UPDATE SKIP LOCKED
    ), some_campaigns AS MATERIALIZED (
        SELECT brand_id, id, ctid || ' ' || xmax AS version FROM campaigns
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
        ORDER BY brand_id, id LIMIT :max_campaigns
    ), free_campaigns AS MATERIALIZED (
        SELECT id FROM campaigns WHERE id IN (SELECT id FROM some_campaigns) FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT id, 'brands ' || ctid || ' ' || xmax FROM brands
    WHERE id = ANY(CAST(:brand_ids AS bigint[])) AND id NOT IN (SELECT id FROM free_brands)
    UNION ALL
    SELECT brand_id, 'brand_days ' || ctid || ' ' || xmax FROM brand_days
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[]))
        AND (brand_id, day) NOT IN (SELECT brand_id, day FROM free_brand_days)
    UNION ALL
    SELECT brand_id, 'campaign_days ' || ctid || ' ' || xmax FROM campaign_days
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[]))
        AND (brand_id, campaign_id, day) NOT IN (SELECT brand_id, campaign_id, day FROM free_campaign_days)
    UNION ALL
    SELECT brand_id, 'campaigns ' || version FROM some_campaigns WHERE id NOT IN (SELECT id FROM free_campaigns)
""")


class LockedRow(NamedTuple):
    """A locked row's brand, and the row's place and locker: a lock that passed to another transaction differs."""

    brand_id: int
    lock: str


def locked_rows(connection: Connection, brand_ids: Collection[int], days: Collection[date]) -> set[LockedRow]:
    """The locked rows of these brands, and of their counters on these days.

    Rows that nobody has locked are locked until the transaction ends, which must be at once.
    """
    parameters = {"brand_ids": array_of(brand_ids), "days": array_of(days), "max_campaigns": MAX_CAMPAIGNS}
    (rows,) = fetched(connection, (LOCKED_ROWS, parameters))
    return {LockedRow(*row) for row in rows}
