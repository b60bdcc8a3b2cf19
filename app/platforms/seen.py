"""Campaigns and quotas of ad platforms, as pages, commands and answers show them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from app.platforms import quota
from db.repository.platforms import operations, seen
from db.repository.platforms.seen import SeenCampaign
from db.repository.shared.zones import readable_zones
from domain.edits.words import counted
from domain.platform_words import Standing, delay, in_words, is_reached, length
from domain.platforms import label
from domain.reconcile import Confirmed, Desired, Mode


def on_platforms(
    connection: Connection, ids: Sequence[int], at: datetime, *, shows_account: bool = True
) -> dict[int, dict[str, Any]]:
    """The campaigns whose account is connected, by id, as fields; `words` is a sentence for people.

    Without `shows_account` the sentence leaves out errors of the account, which may name other brands.
    """
    found = seen.campaigns(connection, ids, at) if ids else {}
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


@dataclass(frozen=True, slots=True)
class Summary:
    """All connected accounts: their number by state, their pauses that no platform confirmed, and the quotas.

    `oldest_unconfirmed_pause`: the age of the oldest of these pauses; None if there is none. `quota_left`: the
    operations left in 24 sliding hours, by platform. `usage`: by platform, the highest percentage that an account has
    used of a quota of its own.
    """

    accounts: Mapping[str, int]
    unconfirmed_pauses: int
    oldest_unconfirmed_pause: timedelta | None
    quota_left: Mapping[str, int]
    usage: Mapping[str, int]

    def fields(self) -> dict[str, Any]:
        """The summary as fields for JSON."""
        oldest = self.oldest_unconfirmed_pause
        return {
            "oldest_unconfirmed_pause_seconds": oldest and oldest.total_seconds(),
            "unconfirmed_pauses": self.unconfirmed_pauses,
            "accounts": dict(self.accounts),
            "quota_left": dict(self.quota_left),
            "usage_percent": dict(self.usage),
        }


def states_in_words(summary: Summary) -> str:
    """The accounts by state: `12 ok, 1 failing`."""
    return ", ".join(f"{number} {state}" for state, number in summary.accounts.items())


def in_a_line(summary: Summary) -> str:
    """One line: the accounts by state and the unconfirmed pauses with the age of the oldest."""
    oldest = summary.oldest_unconfirmed_pause
    if oldest is None:
        return f"{states_in_words(summary)}; every pause is confirmed"
    pauses = counted(summary.unconfirmed_pauses, "unconfirmed pause")
    return f"{states_in_words(summary)}; {pauses}, the oldest for {length(oldest)}"


def summarized(connection: Connection, at: datetime) -> Summary | None:
    """The summary of all connected accounts; None if no account is connected."""
    tallies = seen.tally(connection, at)
    if not tallies:
        return None
    by_state = Counter[str]()
    for one in tallies:
        by_state[one.state] += one.accounts
    return Summary(
        by_state,
        sum(one.unconfirmed_pauses for one in tallies),
        age(min((one.oldest_unconfirmed_at for one in tallies if one.oldest_unconfirmed_at), default=None), at),
        quota_left(connection, [one.platform for one in tallies], at),
        seen.usages(connection, at),
    )


def quota_left(connection: Connection, platforms: Sequence[str], at: datetime) -> dict[str, int]:
    """The operations that remain in the sliding day, for pauses too, of each platform that has such a quota."""
    limits = {platform: limit for platform in sorted(set(platforms)) if (limit := quota.daily_limit(platform))}
    return {platform: max(limit - operations.used(connection, platform, at), 0) for platform, limit in limits.items()}
