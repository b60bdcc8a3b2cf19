"""Campaigns and quotas of ad platforms, as pages, commands and answers show them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from app.platforms import quota
from db.repository.platforms import operations, seen
from db.repository.platforms.seen import SeenCampaign
from db.repository.shared.zones import readable_zones
from domain.platform_words import Standing, delay, in_words, is_reached
from domain.platforms import label
from domain.reconcile import Confirmed, Desired, Mode


def on_platforms(
    connection: Connection, ids: Sequence[int], at: datetime, *, shows_account: bool = True
) -> dict[int, dict[str, Any]]:
    """The campaigns whose account is connected, by id, as fields; `words` is a sentence for people.

    Without `shows_account` the sentence leaves out errors of the account, which may name other brands.
    """
    found = seen.campaigns(connection, ids) if ids else {}
    zones = readable_zones({row.time_zone for row in found.values()})
    return {
        campaign_id: _fields(row, at, zones.get(row.time_zone, ZoneInfo("UTC")), shows_account=shows_account)
        for campaign_id, row in found.items()
    }


def _fields(row: SeenCampaign, at: datetime, zone: ZoneInfo, *, shows_account: bool) -> dict[str, Any]:
    error = row.last_error or (row.account_error if shows_account else None)
    standing = Standing(
        there=label(row.platform),
        mode=Mode(row.mode),
        desired=Desired(row.desired),
        confirmed=Confirmed(row.confirmed),
        desired_at=row.desired_at,
        confirmed_at=row.confirmed_at,
        paused_by_us=row.paused_by_us,
        is_held_there=row.is_held_there,
        paused_by=row.paused_by,
        error=error,
        waits_until=row.pauses_wait_until,
    )
    took = delay(standing)
    names = ("platform", "mode", "desired", "confirmed", "confirmed_at", "paused_by_us", "attempts", "last_error")
    return {name: getattr(row, name) for name in names} | {
        "unconfirmed_since": None if is_reached(standing.desired, standing.confirmed) else row.desired_at,
        "delay_seconds": None if took is None else took.total_seconds(),
        "words": in_words(standing, at, zone),
    }


def age(moment: datetime | None, at: datetime) -> timedelta | None:
    """The time since the moment, never negative; None without a moment."""
    return None if moment is None else max(at - moment.astimezone(UTC), timedelta())


def quota_left(connection: Connection, platforms: Sequence[str], at: datetime) -> dict[str, int]:
    """The operations that remain in the sliding day, for pauses too, of each platform that has such a quota."""
    limits = {platform: limit for platform in sorted(set(platforms)) if (limit := quota.daily_limit(platform))}
    return {platform: max(limit - operations.used(connection, platform, at), 0) for platform, limit in limits.items()}
