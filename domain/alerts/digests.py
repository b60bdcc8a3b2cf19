"""The instant at which a brand's digest is due: 09:00 on its own clock."""

from datetime import UTC, date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from domain.periods import ONE_DAY, day_starts_at, local_day, next_transition

DIGEST_AT: Final = time(9)
"""Local time of a digest; `web.api.alert_channels` and `web/templates/admin/alerts.html` have it in words."""


def digest_at(day: date, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) of the local `day` at which the wall clock of `zone` shows 09:00 or later.

    A day that the zone skipped has its digest when the next day starts.
    """
    starts_at, ends_at = day_starts_at(day, zone), day_starts_at(day + ONE_DAY, zone)
    due = datetime.combine(day, DIGEST_AT, tzinfo=zone).astimezone(UTC)
    if due.astimezone(zone).time() != DIGEST_AT:
        due = next_transition(starts_at, zone) or due
    return min(max(due, starts_at), ends_at)


def next_digest_at(at: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of the first digest after `at`, in a brand's time zone `zone`."""
    today = local_day(at, zone)
    return next(due for number in range(3) for due in [digest_at(today + number * ONE_DAY, zone)] if due > at)
