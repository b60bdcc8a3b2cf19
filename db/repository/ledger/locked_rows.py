"""Finds rows of brands, counters and campaigns that other transactions have locked, without waiting for them."""

from collections.abc import Collection, Mapping
from datetime import date
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text

from db.engine import query_pipelined
from db.repository.shared.arrays import array_of
from db.repository.spread.shards import by_shard

# Brands whose row another transaction has locked.
LOCKED_BRANDS = text("""
    WITH free AS MATERIALIZED (
        SELECT id FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT brands.id, brands.xmax, 'brands ' || brands.ctid FROM brands LEFT JOIN free USING (id)
    WHERE id = ANY(CAST(:brand_ids AS bigint[])) AND free.id IS NULL
""")

# Transactions that wait for a lock themselves.
WAITING_TRANSACTIONS = text("""
    WITH locks AS MATERIALIZED (SELECT pid, transactionid, mode, granted FROM pg_locks)
    SELECT transactionid FROM locks
    WHERE mode = 'ExclusiveLock' AND transactionid IS NOT NULL AND granted
        AND pid IN (SELECT pid FROM locks WHERE NOT granted)
""")

# Locked counters of brands and of their campaigns on some days, and locked campaigns. Looks at :max_rows of each table.
LOCKED_ROWS_OF_BRANDS = text("""
    WITH brand_rows AS MATERIALIZED (
        SELECT brand_id, day, xmax AS locked_by, ctid AS position FROM brand_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[])) LIMIT :max_rows
    ), free_brand_rows AS MATERIALIZED (
        SELECT brand_id, day FROM brand_days JOIN brand_rows USING (brand_id, day)
        /*citus WHERE brand_days.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
        FOR NO KEY UPDATE OF brand_days SKIP LOCKED
    ), campaign_rows AS MATERIALIZED (
        SELECT brand_id, campaign_id, day, xmax AS locked_by, ctid AS position FROM campaign_days
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND day = ANY(CAST(:days AS date[])) LIMIT :max_rows
    ), free_campaign_rows AS MATERIALIZED (
        SELECT brand_id, campaign_id, day FROM campaign_days JOIN campaign_rows USING (brand_id, campaign_id, day)
        /*citus WHERE campaign_days.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
        FOR NO KEY UPDATE OF campaign_days SKIP LOCKED
    ), some_campaigns AS MATERIALIZED (
        SELECT brand_id, id, xmax AS locked_by, ctid AS position FROM campaigns
        WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY brand_id, id LIMIT :max_rows
    ), free_campaigns AS MATERIALIZED (
        SELECT brand_id, id FROM campaigns JOIN some_campaigns USING (brand_id, id)
        /*citus WHERE campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
        FOR NO KEY UPDATE OF campaigns SKIP LOCKED
    )
    SELECT brand_id, locked_by, 'brand_days ' || position
    FROM brand_rows LEFT JOIN free_brand_rows AS free USING (brand_id, day)
    WHERE free IS NULL
    UNION ALL
    SELECT brand_id, locked_by, 'campaign_days ' || position
    FROM campaign_rows LEFT JOIN free_campaign_rows AS free USING (brand_id, campaign_id, day)
    WHERE free IS NULL
    UNION ALL
    SELECT brand_id, locked_by, 'campaigns ' || position
    FROM some_campaigns LEFT JOIN free_campaigns AS free USING (brand_id, id)
    WHERE free IS NULL
""")


class LockedRow(NamedTuple):
    """A locked row. `locked_by`: the id of the locking transaction. `position`: table and place, as `brands (0,1)`."""

    brand_id: int
    locked_by: str
    position: str


def locked_brand_rows(
    connection: Connection, brand_ids: Collection[int], *, counts_waiting: bool = False
) -> set[LockedRow]:
    """Finds the rows in `brands` of these brands that another transaction has locked, and locks the free ones.

    Leaves out rows locked by a transaction that itself waits for a lock, because it goes on when that wait ends;
    `counts_waiting` includes them. The free rows stay locked until the transaction ends; end it right after the call.
    """
    return _locked(connection, LOCKED_BRANDS, brand_ids, {}, counts_waiting)


def locked_rows_of_brands(
    connection: Connection,
    brand_ids: Collection[int],
    days: Collection[date],
    max_rows: int,
    *,
    counts_waiting: bool = False,
) -> set[LockedRow]:
    """Finds rows that another transaction has locked among the brands' campaigns and counters, and locks the free ones.

    `days`: the days of the counters. `max_rows`: the most rows that are checked of each table, on Citus of each table
    and shard. Leaves out rows locked by a transaction that itself waits for a lock, unless `counts_waiting`. The free
    rows stay locked until the transaction ends; end it right after the call.
    """
    parameters = {"days": array_of(days), "max_rows": max_rows}
    return _locked(connection, LOCKED_ROWS_OF_BRANDS, brand_ids, parameters, counts_waiting)


def _locked(
    connection: Connection,
    find: TextClause,
    brand_ids: Collection[int],
    parameters: Mapping[str, object],
    counts_waiting: bool,
) -> set[LockedRow]:
    queries = [(find, {**parameters, "brand_ids": array_of(some)}) for some in by_shard(connection, brand_ids)]
    rows = list(chain.from_iterable(query_pipelined(connection, *queries)))
    if not rows or counts_waiting:
        return {LockedRow(*row) for row in rows}
    (waiting,) = query_pipelined(connection, (WAITING_TRANSACTIONS, {}))
    ids = {transaction_id for (transaction_id,) in waiting}
    return {LockedRow(*row) for row in rows if row[1] not in ids}
