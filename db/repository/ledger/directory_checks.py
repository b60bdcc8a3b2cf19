"""Compares the directory with the brands and campaigns that it lists, and corrects it.

On several servers, the directory is two tables of the coordinator by which inputs find a campaign's brand.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from db.engine import after_commit, committed, query_pipelined
from db.failures import StaleRead
from db.repository.enforcement.brand_locks import locks_of
from db.repository.shared.arrays import array_of
from db.repository.shared.rows import plain
from db.repository.spread import directory
from db.repository.spread.shards import by_shard
from domain.inputs.campaign_names import KnownCampaign

log = structlog.get_logger()

# A campaign that lost its external id, by a row that was not kept.
TAKE_FROM_OTHERS = text("""
    UPDATE directory_campaigns SET external_id = NULL
    WHERE platform_account_id = :platform_account_id AND external_id = :external_id AND id <> :id
""")

FORGET_CAMPAIGN = text("DELETE FROM directory_campaigns WHERE id = :id AND brand_id = :brand_id")

# Brands of one shard, and some of their campaigns, or all.
BRANDS = text("SELECT id, time_zone, currency FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[]))")

CAMPAIGNS = text("""
    SELECT id, brand_id, platform, platform_account_id, external_id FROM campaigns
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
        AND (CAST(:campaign_ids AS bigint[]) IS NULL OR id = ANY(CAST(:campaign_ids AS bigint[])))
""")

LISTED = text("""
    SELECT id, brand_id, platform, platform_account_id, external_id FROM directory_campaigns
    WHERE brand_id = :brand_id
""")

LISTED_BRAND = text("SELECT id, time_zone, currency FROM directory_brands WHERE id = :brand_id")

# Brands and campaigns whose row in the directory is missing or differs, and rows without a campaign.
WRONG_CAMPAIGNS = text("""
    SELECT brand_id, id AS campaign_id, 'directory' AS table_name FROM (
        (SELECT id, brand_id, platform, platform_account_id, external_id FROM campaigns
         EXCEPT SELECT id, brand_id, platform, platform_account_id, external_id FROM directory_campaigns)
        UNION
        (SELECT id, brand_id, platform, platform_account_id, external_id FROM directory_campaigns
         EXCEPT SELECT id, brand_id, platform, platform_account_id, external_id FROM campaigns)
    ) AS wrong GROUP BY brand_id, id ORDER BY brand_id, id LIMIT :limit
""")

WRONG_BRANDS = text("""
    SELECT id AS brand_id, NULL::bigint AS campaign_id, 'directory' AS table_name FROM (
        SELECT id, time_zone, currency FROM brands EXCEPT SELECT id, time_zone, currency FROM directory_brands
    ) AS wrong ORDER BY id LIMIT :limit
""")


class Named(NamedTuple):
    """A campaign, and the external id under which the directory lists it."""

    campaign_id: int
    brand_id: int
    platform: str
    external_id: str


def check_names(connection: Connection, named: Collection[Named]) -> None:
    """Raises StaleRead if one of the campaigns no longer has the brand, platform and external id given in `named`.

    Call it after locking their brands. Before `committed` retries the transaction, it writes the campaigns' rows in the
    directory again.
    """
    by_brand = _by_brand((one.campaign_id, one.brand_id) for one in named)
    rows = _stored(connection, CAMPAIGNS, by_brand)
    names = {(row.id, row.brand_id, row.platform, row.external_id) for row in rows}
    stale = {(one.campaign_id, one.brand_id) for one in named if tuple(one) not in names}
    if stale:
        raise StaleRead("an external id belongs to another campaign now", first=[partial(refresh, campaigns=stale)])


def check_brands(connection: Connection, campaigns: Iterable[KnownCampaign]) -> None:
    """Raises StaleRead if the brand of one of the campaigns has another time zone or currency by now.

    Before `committed` retries the transaction, it writes the brands' rows in the directory again. Waits for no lock,
    because another program may keep a brand locked for long.
    """
    judged = {one.brand_id: (one.time_zone.key, one.currency) for one in campaigns}
    rows = _stored(connection, BRANDS, dict.fromkeys(judged))
    stale = [row.id for row in rows if judged[row.id] != (row.time_zone, row.currency)]
    if stale:
        raise StaleRead("a brand's time zone or currency has changed", first=[partial(_relist, brand_ids=stale)])


def _relist(connection: Connection, brand_ids: Collection[int]) -> None:
    """Writes the directory's rows of these brands again, without those of their campaigns."""
    _write(connection, _stored(connection, BRANDS, dict.fromkeys(brand_ids)), ())


def refresh(connection: Connection, campaigns: Iterable[tuple[int, int]] = (), brand_ids: Iterable[int] = ()) -> None:
    """Locks the brands of these campaigns and `brand_ids`; writes the directory's rows of all of them again.

    `campaigns`: (campaign id, brand id) pairs. Leaves the row of a campaign that no longer exists.
    """
    by_brand = _by_brand(campaigns) | {brand_id: set[int]() for brand_id in brand_ids}
    query_pipelined(connection, *locks_of(connection, by_brand))
    _write(connection, _stored(connection, BRANDS, by_brand), _stored(connection, CAMPAIGNS, by_brand))


def add_later(connection: Connection, campaigns: Sequence[tuple[int, int]]) -> None:
    """After the commit, writes the directory's rows of these campaigns; logs an error as `directory.failed`.

    `campaigns`: (campaign id, brand id) pairs.
    """

    def add() -> None:
        try:
            committed(partial(refresh, campaigns=campaigns))
        except (SQLAlchemyError, StaleRead) as error:
            log.warning("directory.failed", campaigns=len(campaigns), error=type(error).__name__)

    if campaigns:
        after_commit(connection, add)


def repair_brand(connection: Connection, brand_id: int) -> Iterator[tuple[dict[str, Any], Any, Any]]:
    """Corrects the directory's rows of the locked brand and its campaigns; yields (subject, old, new) for each.

    The subject is `{"campaign_id": …}` for a campaign, empty for the brand. `old`, `new`: the row before and after;
    `old` None: it was missing; `new` None: it was deleted, because the campaign does not exist.
    """
    listed = {row.id: row for row in connection.execute(LISTED, {"brand_id": brand_id})}
    new = {row.id: row for row in _stored(connection, CAMPAIGNS, {brand_id: None})}
    for campaign_id in sorted(listed.keys() | new.keys()):
        old_row, new_row = listed.get(campaign_id), new.get(campaign_id)
        if old_row == new_row:
            continue
        if new_row is None:
            connection.execute(FORGET_CAMPAIGN, {"id": campaign_id, "brand_id": brand_id})
        else:
            _write(connection, (), [new_row])
        yield {"campaign_id": campaign_id}, old_row and dict(old_row._mapping), new_row and dict(new_row._mapping)
    old_brand = connection.execute(LISTED_BRAND, {"brand_id": brand_id}).first()
    for brand in _stored(connection, BRANDS, {brand_id: None}):
        if brand != old_brand:
            _write(connection, [brand], ())
            yield {}, old_brand and dict(old_brand._mapping), dict(brand._mapping)


def wrong_rows(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Campaigns, then brands, whose row in the directory is missing or wrong, at most `limit` of each.

    Includes campaigns that only the directory has. Each has `brand_id`, `campaign_id` (None for a brand), `table_name`.
    """
    return [row for sql in (WRONG_CAMPAIGNS, WRONG_BRANDS) for row in plain(connection.execute(sql, {"limit": limit}))]


def _by_brand(campaigns: Iterable[tuple[int, int]]) -> dict[int, set[int] | None]:
    by_brand = defaultdict[int, set[int]](set)
    for campaign_id, brand_id in campaigns:
        by_brand[brand_id].add(campaign_id)
    return dict(by_brand)


def _stored(connection: Connection, statement: TextClause, by_brand: Mapping[int, set[int] | None]) -> list[Any]:
    """The rows that the statement reads of these brands, shard by shard.

    `by_brand`: by brand id, the ids of the campaigns to read; None: all campaigns of the brand.
    """
    rows = list[Any]()
    for brand_ids in by_shard(connection, by_brand) if by_brand else ():
        wanted = [by_brand[brand_id] for brand_id in brand_ids]
        campaign_ids = None if None in wanted else array_of(sorted(set[int]().union(*(one for one in wanted if one))))
        values = {"brand_ids": array_of(sorted(brand_ids)), "campaign_ids": campaign_ids}
        rows += connection.execute(statement, values)
    return rows


def _write(connection: Connection, brands: Iterable[Any], campaigns: Iterable[Any]) -> None:
    for row in brands:
        connection.execute(directory.KEEP_BRAND, dict(row._mapping))
    for row in campaigns:
        if row.external_id is not None:
            connection.execute(TAKE_FROM_OTHERS, dict(row._mapping))
        connection.execute(directory.KEEP_CAMPAIGN, dict(row._mapping))
