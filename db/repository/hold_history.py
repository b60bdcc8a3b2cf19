"""The history of holds where it does not lead to today's: an older version beside a migration wrote none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from db.repository.rows import plain

_GAPS: Final = """
    FROM campaigns
    LEFT JOIN LATERAL (
        SELECT holds FROM hold_changes WHERE campaign_id = campaigns.id ORDER BY id DESC LIMIT 1
    ) AS last ON true
    WHERE enforced_at IS NOT NULL AND campaigns.holds IS DISTINCT FROM last.holds
"""

GAPS = text(f"""
    SELECT brand_id, campaigns.id AS campaign_id, campaigns.holds, last.holds AS last_known {_GAPS}
    ORDER BY campaigns.id LIMIT :limit
""")

# Notes what holds now; its brand must be locked, or enforcement would write meanwhile.
CLOSE = text(f"""
    INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause)
    SELECT brand_id, campaigns.id, :at, campaigns.holds, :cause {_GAPS} AND brand_id = ANY(:brand_ids)
""")


def gaps(connection: Connection, limit: int) -> Sequence[dict[str, Any]]:
    """Campaigns whose last known holds are not those of now."""
    return plain(connection.execute(GAPS, {"limit": limit}))


def close_gaps(connection: Connection, brand_ids: Sequence[int], cause: str, at: datetime) -> None:
    """Appends what holds now where the history says something else. The brands must be locked."""
    connection.execute(CLOSE, {"brand_ids": list(brand_ids), "cause": cause, "at": at})
