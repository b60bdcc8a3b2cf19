"""Finds campaigns and sources that have fallen silent, and stopped campaigns that still spend, from new events."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from db.repository.alerts import alerts, spend_hours
from db.repository.alerts.spend_hours import HeldCampaign, SilentCampaign, SilentSource
from db.repository.reading.dashboard import hold_history
from db.repository.shared import watermarks
from domain.alerts.kinds import AlertKind
from domain.alerts.silence import (
    HISTORY,
    MIN_SILENCES,
    MIN_SILENT_HOURS,
    full_hours,
    hour_of,
    hour_starts_at,
    is_odd,
    silent_hours,
)
from domain.alerts.states import Changes, Condition, changes_of
from runtime import clock

WATERMARK: Final = "spend_hours"
READ_EVERY: Final = timedelta(minutes=5)
"""Time between two readings of new events; silences are counted in hours."""

SETTLED_SECONDS: Final = 60
"""Seconds before now up to which a reading reads events; later ones may not be committed yet."""

OVERLAP_SECONDS: Final = 120
"""Seconds before the end of the last reading at which the next begins: earlier events may be committed later."""

HELD_GRACE_SECONDS: Final = 3600
"""Seconds after a stop in which spend raises no alert.

Platforms report hourly, and date spend at the moment of their report.
"""


def is_due(connection: Connection, at: datetime) -> bool:
    """Whether `read_events` is due at `at`: it never ran, or has READ_EVERY or more of new events to read."""
    reached = watermarks.reached_by(connection, WATERMARK, at)
    return reached is None or _settled(at) - reached >= READ_EVERY


def _settled(at: datetime) -> datetime:
    """The moment up to which a reading at `at` reads events; later ones may not be committed yet."""
    return at - clock.passed(SETTLED_SECONDS)


Seen = Sequence[tuple[int, datetime]]
"""Stopped campaigns that got spend: (campaign id, moment at which the newest of it occurred)."""


def read_events(connection: Connection, at: datetime) -> Seen:
    """Adds the spend received since the last reading to the hours of its campaigns and sources.

    Returns the stopped campaigns that got some of it, as (campaign id, moment at which the newest of it occurred).
    """
    since = watermarks.reached_by(connection, WATERMARK, at)
    since = (since or at - HISTORY) - clock.passed(OVERLAP_SECONDS)
    return spend_hours.note_spend(connection, since, _settled(at))


def find(connection: Connection, at: datetime, *, seen: Seen) -> Changes:
    """Finds the changes of the alerts about silence, and about stopped campaigns that spend; returns them.

    `seen`: the result of `read_events`. Also moves the watermark up to which events were read, which `read_events` does
    not: if another evaluation is under way and this function is not called, the next run reads the events again.
    """
    watermarks.raise_to(connection, WATERMARK, _settled(at), at)
    last_hour = hour_of(at) - 2
    held = spend_hours.held_but_spending(connection, seen, HELD_GRACE_SECONDS, last_hour)
    found = _changes(connection, AlertKind.HELD_BUT_SPENDING, map(_held, held))
    stale = list(_stale_sources(connection, at))
    found.add(_changes(connection, AlertKind.STALE_FEED, stale))
    found.add(_stopped_changes(connection, stale, at))
    return found


def _changes(connection: Connection, kind: AlertKind, holding: Iterable[Condition]) -> Changes:
    conditions = list(holding)
    return changes_of(alerts.known(connection, kind, [one.subject for one in conditions]), conditions)


def _stopped_changes(connection: Connection, stale: Sequence[Condition], at: datetime) -> Changes:
    """The changes of alerts about campaigns that stopped spending.

    Raises none of a brand with a stale feed (`stale`), because the feed's alert says why its campaigns are silent.
    """
    brands = {condition.brand_id for condition in stale}
    stopped = list(_stopped_campaigns(connection, at))
    found = _changes(connection, AlertKind.SPEND_STOPPED, stopped)
    found.raised = [condition for condition in found.raised if condition.brand_id not in brands]
    return found


def _stopped_campaigns(connection: Connection, at: datetime) -> list[Condition]:
    candidates = spend_hours.silent_campaigns(connection, hour_of(at) - MIN_SILENT_HOURS - 1, MIN_SILENCES)
    history = hold_history(connection, [one.campaign_id for one in candidates], at - HISTORY)
    found = []
    for one in candidates:
        served = full_hours(_active_spans(history[one.campaign_id], at - HISTORY), at)
        lengths = silent_hours(one.hours, hour_of(at), served.__contains__)
        if is_odd(lengths):
            found.append(_stopped(one, lengths))
    return found


def _active_spans(
    changes: Sequence[tuple[datetime, tuple[str, ...]]], since: datetime
) -> list[tuple[datetime, datetime | None]]:
    """The spans after `since` in which a campaign had no hold, as (start, end); an end of None: until now.

    `changes`: (moment, holds from then on), oldest first; if empty, the campaign may serve all the time.
    """
    if not changes:
        return [(since, None)]
    ends = (*(changed_at for changed_at, _ in changes[1:]), None)
    return [(max(changed_at, since), end) for (changed_at, holds), end in zip(changes, ends, strict=True) if not holds]


def _stopped(one: SilentCampaign, lengths: Sequence[int]) -> Condition:
    return Condition(
        AlertKind.SPEND_STOPPED,
        f"campaign:{one.campaign_id}",
        hour_starts_at(one.hours[-1]).isoformat(),
        brand_id=one.brand_id,
        campaign_id=one.campaign_id,
        figures={"silent_hours": lengths[-1], "longest_hours": max(lengths[:-1])},
    )


def _stale_sources(connection: Connection, at: datetime) -> list[Condition]:
    found = []
    for one in spend_hours.silent_sources(connection, hour_of(at) - MIN_SILENT_HOURS - 1, MIN_SILENCES):
        lengths = silent_hours(one.hours, hour_of(at))
        serving = hour_of(at) - hour_of(one.serving_since) - 1
        lengths[-1] = min(lengths[-1], max(serving, 0))
        if is_odd(lengths):
            found.append(_stale(one, lengths))
    return found


def _stale(one: SilentSource, lengths: Sequence[int]) -> Condition:
    return Condition(
        AlertKind.STALE_FEED,
        f"source:{one.brand_id}:{one.source}",
        hour_starts_at(one.hours[-1]).isoformat(),
        brand_id=one.brand_id,
        figures={"source": one.source, "silent_hours": lengths[-1], "longest_hours": max(lengths[:-1])},
    )


def _held(one: HeldCampaign) -> Condition:
    return Condition(
        AlertKind.HELD_BUT_SPENDING,
        f"campaign:{one.campaign_id}",
        str(one.change_id),
        brand_id=one.brand_id,
        campaign_id=one.campaign_id,
        figures={"held_since": one.held_since.isoformat()},
    )
