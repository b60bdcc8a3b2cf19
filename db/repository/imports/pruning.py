"""Deletes rows of import_days that no undo can need any more."""

from datetime import date

from sqlalchemy import Connection, text

from db.repository.shared.deletions import ROWS_A_BATCH
from db.repository.shared.rows import plain

# The brands with rows; jumps through the primary key from one brand to the next.
BRANDS = text("""
    /*citus SELECT DISTINCT brand_id FROM import_days ORDER BY brand_id */
    /*plain*/ WITH RECURSIVE found AS (
        SELECT min(brand_id) AS brand_id FROM import_days
        UNION ALL
        SELECT (SELECT min(brand_id) FROM import_days WHERE brand_id > found.brand_id) FROM found
        WHERE found.brand_id IS NOT NULL
    )
    SELECT brand_id FROM found WHERE brand_id IS NOT NULL /*end*/
""")

# A row is needed while the day has its total, or has the total that undoing it restored, or a later import replaced its
# total and may be undone. Days before `floor` take no totals any more.
PRUNE = text("""
    WITH unneeded AS (
        SELECT one.brand_id, one.campaign_id, one.day, one.import_id FROM import_days AS one
        LEFT JOIN reported_totals AS own
            ON own.brand_id = one.brand_id AND own.source = one.source AND own.campaign_id = one.campaign_id
            AND own.day = one.day
        WHERE one.brand_id = :brand_id
            AND (
                one.day < CAST(:floor AS date)
                OR own.as_of IS DISTINCT FROM COALESCE(one.undone_as_of, one.as_of)
                AND NOT EXISTS (
                    SELECT FROM import_days AS later
                    WHERE one.undone_as_of IS NULL AND later.brand_id = one.brand_id
                        AND later.campaign_id = one.campaign_id AND later.day = one.day AND later.source = one.source
                        AND later.before_as_of = one.as_of
                )
                AND (one.undone_as_of IS NULL OR one.import_id IN (SELECT id FROM imports WHERE status = 'undone'))
            )
        LIMIT :limit
    )
    DELETE FROM import_days AS ours USING unneeded
    WHERE /*citus ours.brand_id = :brand_id AND */ (ours.brand_id, ours.campaign_id, ours.day, ours.import_id)
        = (unneeded.brand_id, unneeded.campaign_id, unneeded.day, unneeded.import_id)
""")


def brands(connection: Connection) -> list[int]:
    """The ids of brands with rows in `import_days`."""
    return [row["brand_id"] for row in plain(connection.execute(BRANDS))]


def prune(connection: Connection, brand_id: int, floor: date | None) -> int:
    """Deletes at most ROWS_A_BATCH of a brand's rows in `import_days` that no undo can need; returns how many.

    `floor`: totals of earlier days are refused, because the ledger dropped their months; None if it dropped none.
    """
    return connection.execute(PRUNE, {"brand_id": brand_id, "floor": floor, "limit": ROWS_A_BATCH}).rowcount
