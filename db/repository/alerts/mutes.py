"""Reads the mutes in force and the thresholds of brands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.shared.deletions import ROWS_A_BATCH
from db.repository.shared.rows import plain

MUTES = text("""
    SELECT alert_mutes.id, alert_mutes.brand_id, brands.name AS brand, kind, alert_id, channel_id,
        alert_channels.name AS channel, until, muted_at, muted_by
    FROM alert_mutes LEFT JOIN brands ON brands.id = alert_mutes.brand_id
    LEFT JOIN alert_channels ON alert_channels.id = channel_id
    WHERE until > :at ORDER BY until, alert_mutes.id
""")

FORGET = text("""
    DELETE FROM alert_mutes WHERE id IN (SELECT id FROM alert_mutes WHERE until < :before LIMIT :limit)
""")

THRESHOLDS = text("SELECT thresholds FROM alert_settings WHERE brand_id = :brand_id")


def mutes(connection: Connection, at: datetime) -> list[dict[str, Any]]:
    """The mutes in force at `at`, with the names of brand and channel, sorted by their end."""
    return plain(connection.execute(MUTES, {"at": at}))


def forget(connection: Connection, before: datetime) -> int:
    """Deletes at most ROWS_A_BATCH mutes that ended before that moment; returns how many."""
    return connection.execute(FORGET, {"before": before, "limit": ROWS_A_BATCH}).rowcount


def thresholds(connection: Connection, brand_id: int) -> tuple[int, ...] | None:
    """The brand's own thresholds in percent; None if it has the default ones."""
    found: Sequence[int] | None = connection.scalar(THRESHOLDS, {"brand_id": brand_id})
    return None if found is None else tuple(found)
