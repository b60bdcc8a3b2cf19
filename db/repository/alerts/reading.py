"""Reads alerts for people and programs: open alerts, worst first, and pages of all alerts, in id order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from db.repository.alerts.alerts import FIELDS, NAMED
from db.repository.shared.arrays import array_of
from db.repository.shared.rows import plain
from domain.alerts.kinds import AlertKind

# The end of the longest mute that now keeps the alert from every channel.
MUTED_UNTIL: Final = """
    CROSS JOIN LATERAL (
        SELECT max(until) AS muted_until FROM alert_mutes AS mute
        WHERE until > :at AND mute.channel_id IS NULL
            AND (mute.alert_id IS NULL OR mute.alert_id = alerts.id)
            AND (mute.brand_id IS NULL OR mute.brand_id = alerts.brand_id)
            AND (mute.kind IS NULL OR mute.kind = alerts.kind)
    ) AS muted
"""

# Open alerts, those that nobody has acknowledged or muted first, then by kind.
OPEN = text(f"""
    SELECT {FIELDS}, muted_until, count(*) OVER () AS matching
    {NAMED} {MUTED_UNTIL}
    WHERE state = 'open' AND (CAST(:brand_id AS bigint) IS NULL OR alerts.brand_id = :brand_id)
        AND (:everything OR acknowledged_at IS NULL AND muted_until IS NULL)
    ORDER BY acknowledged_at IS NOT NULL OR muted_until IS NOT NULL,
        array_position(CAST(:kinds AS text[]), kind), threshold DESC, raised_at DESC, alerts.id
    LIMIT :limit
""")

PAGE = text(f"""
    SELECT {FIELDS}, muted_until {NAMED} {MUTED_UNTIL}
    WHERE alerts.id > :after
        AND (CAST(:only_brand_id AS bigint) IS NULL OR alerts.brand_id = :only_brand_id)
        AND (CAST(:brand_id AS bigint) IS NULL OR alerts.brand_id = :brand_id)
        AND (CAST(:campaign_id AS bigint) IS NULL OR campaign_id = :campaign_id)
        AND (CAST(:kind AS text) IS NULL OR kind = :kind)
        AND (CAST(:state AS text) IS NULL OR state = :state)
        AND (CAST(:ids AS bigint[]) IS NULL OR alerts.id = ANY(CAST(:ids AS bigint[])))
    ORDER BY alerts.id LIMIT :limit
""")

HIDDEN = text(f"""
    SELECT count(*) FROM alerts {MUTED_UNTIL}
    WHERE state = 'open' AND (CAST(:brand_id AS bigint) IS NULL OR alerts.brand_id = :brand_id)
        AND (acknowledged_at IS NOT NULL OR muted_until IS NOT NULL)
""")  # noqa: S608 - constants, put together once


def open_alerts(
    connection: Connection, at: datetime, limit: int, *, brand_id: int | None = None, everything: bool = False
) -> list[dict[str, Any]]:
    """At most `limit` open alerts, worst first, each with `muted_until` and with `matching`, the number without limit.

    `muted_until`: the end of the longest mute for all channels, None if not muted. `everything`: after the other alerts
    also those that are acknowledged, or muted for all channels. `brand_id`: the only brand; None: all.
    """
    parameters = {
        "at": at,
        "brand_id": brand_id,
        "everything": everything,
        "kinds": array_of(AlertKind),
        "limit": limit,
    }
    return plain(connection.execute(OPEN, parameters))


def hidden(connection: Connection, at: datetime, brand_id: int | None = None) -> int:
    """The number of open alerts that are acknowledged, or muted at `at` for all channels.

    `brand_id` None: of all brands.
    """
    return int(connection.execute(HIDDEN, {"at": at, "brand_id": brand_id}).scalar_one())


def page(
    connection: Connection,
    at: datetime,
    *,
    after: int = 0,
    limit: int = 100,
    only_brand_id: int | None = None,
    brand_id: int | None = None,
    campaign_id: int | None = None,
    kind: str | None = None,
    state: str | None = None,
    ids: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """One page of alerts in id order, after the id `after`; filters of None match all.

    `only_brand_id`: the only brand that the caller may see; None: all.
    """
    parameters = {
        "at": at,
        "after": after,
        "limit": limit,
        "only_brand_id": only_brand_id,
        "brand_id": brand_id,
        "campaign_id": campaign_id,
        "kind": kind,
        "state": state,
        "ids": None if ids is None else array_of(ids),
    }
    return plain(connection.execute(PAGE, parameters))
