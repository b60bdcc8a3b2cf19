"""Finds which rows that counting writes are locked by other transactions, without waiting for them."""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.engine import query_pipelined
from db.repository.shared.arrays import array_of

# Brands whose row another transaction has locked.
LOCKED_BRANDS = text("""
    WITH free AS MATERIALIZED (
        SELECT id FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT brands.id, 'brands ' || brands.ctid || ' ' || brands.xmax FROM brands LEFT JOIN free USING (id)
    WHERE id = ANY(CAST(:brand_ids AS bigint[])) AND free.id IS NULL
""")

# Locked counters of brands and of their campaigns on some days, and locked campaigns, of at most :max_rows each.
LOCKED_ROWS_OF_BRANDS = text("""
    WITH brand_rows AS MATERIALIZED (
        SELECT brand_id, day, ctid || ' ' || xmax AS lock FROM brand_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[])) LIMIT :max_rows
    ), free_brand_rows AS MATERIALIZED (
        SELECT brand_id, day FROM brand_days JOIN brand_rows USING (brand_id, day)
        FOR NO KEY UPDATE OF brand_days SKIP LOCKED
    ), campaign_rows AS MATERIALIZED (
        SELECT brand_id, campaign_id, day, ctid || ' ' || xmax AS lock FROM campaign_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[])) LIMIT :max_rows
    ), free_campaign_rows AS MATERIALIZED (
        SELECT brand_id, campaign_id, day FROM campaign_days JOIN campaign_rows USING (brand_id, campaign_id, day)
        FOR NO KEY UPDATE OF campaign_days SKIP LOCKED
    ), some_campaigns AS MATERIALIZED (
        SELECT brand_id, id, ctid || ' ' || xmax AS lock FROM campaigns
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY brand_id, id LIMIT :max_rows
    ), free_campaigns AS MATERIALIZED (
        SELECT id FROM campaigns JOIN some_campaigns USING (id) FOR NO KEY UPDATE OF campaigns SKIP LOCKED
    )
    SELECT brand_id, 'brand_days ' || lock FROM brand_rows LEFT JOIN free_brand_rows AS free USING (brand_id, day)
    WHERE free IS NULL
    UNION ALL
    SELECT brand_id, 'campaign_days ' || lock
    FROM campaign_rows LEFT JOIN free_campaign_rows AS free USING (brand_id, campaign_id, day)
    WHERE free IS NULL
    UNION ALL
    SELECT brand_id, 'campaigns ' || lock FROM some_campaigns LEFT JOIN free_campaigns AS free USING (id)
    WHERE free IS NULL
""")


class LockedRow(NamedTuple):
    """A locked row. `lock` names its table, position and locking transaction, so a lock by another one differs."""

    brand_id: int
    lock: str


def locked_brand_rows(connection: Connection, brand_ids: Collection[int]) -> set[LockedRow]:
    """The locked rows among these brands.

    Locks the free rows until the transaction ends; end it right after the call.
    """
    (rows,) = query_pipelined(connection, (LOCKED_BRANDS, {"brand_ids": array_of(brand_ids)}))
    return {LockedRow(*row) for row in rows}


def locked_rows_of_brands(
    connection: Connection, brand_ids: Collection[int], days: Collection[date], max_rows: int
) -> set[LockedRow]:
    """The locked rows among the brands' counters on these days and their campaigns; checks `max_rows` of each table.

    Locks the free rows until the transaction ends; end it right after the call.
    """
    parameters = {"brand_ids": array_of(brand_ids), "days": array_of(days), "max_rows": max_rows}
    (rows,) = query_pipelined(connection, (LOCKED_ROWS_OF_BRANDS, parameters))
    return {LockedRow(*row) for row in rows}
