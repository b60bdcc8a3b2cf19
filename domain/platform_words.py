"""Describes for people how a campaign's status here compares with the one its ad platform last reported."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from domain.reconcile import ACTING, Confirmed, Desired, Mode

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """A campaign's statuses here and on its platform.

    `there`: the platform's name for people. `desired_at`: the time of the decision. `confirmed_at`: when `confirmed`
    was first reported; None for either: unknown. `is_held_there`: it has the hold `platform_paused`; `paused_by`: who
    paused it on the platform; None: unknown. `error`: why the last request failed; None: it did not. `waits_until`: the
    platform allows no request before that time; None: it allows one now.
    """

    there: str
    mode: Mode
    desired: Desired
    confirmed: Confirmed
    desired_at: datetime | None = None
    confirmed_at: datetime | None = None
    paused_by_us: bool = False
    is_held_there: bool = False
    paused_by: str | None = None
    error: str | None = None
    waits_until: datetime | None = None


def is_reached(desired: Desired, confirmed: Confirmed) -> bool:
    """Whether the platform has the desired status. A removed campaign counts as paused, because it spends nothing."""
    if desired is Desired.INACTIVE:
        return confirmed in {Confirmed.PAUSED, Confirmed.REMOVED}
    return confirmed is Confirmed.ENABLED


def delay(standing: Standing) -> timedelta | None:
    """The time from the decision to its confirmation.

    None if either time is unknown, or the platform had the status before the decision or does not have it now.
    """
    decided_at, confirmed_at = standing.desired_at, standing.confirmed_at
    if decided_at is None or confirmed_at is None or confirmed_at < decided_at:
        return None
    return confirmed_at - decided_at if is_reached(standing.desired, standing.confirmed) else None


def in_words(standing: Standing, at: datetime, zone: ZoneInfo) -> str:
    """Words such as `paused here at 14:03; Google Ads confirmed after 2.0 s`. `zone`: the brand's, for the times."""
    there = standing.there
    if standing.confirmed is Confirmed.REMOVED:
        return f"removed on {there}"
    if standing.mode is Mode.OFF:
        return f"not watched on {there}: the account's mode is off"
    if standing.is_held_there and standing.confirmed is Confirmed.PAUSED:
        since = _since(standing.confirmed_at, at, zone)
        return f"{standing.paused_by or 'someone'} paused it on {there}{since and f'; seen{since}'}"
    if standing.confirmed is Confirmed.UNKNOWN and standing.error is None and standing.mode not in ACTING:
        return f"{there} has not reported its status yet"
    moment = _since(standing.desired_at, at, zone)
    decided = f"paused here{moment}" if standing.desired is Desired.INACTIVE else f"active here{moment}"
    if is_reached(standing.desired, standing.confirmed):
        return _reached(standing, decided)
    return f"{decided}; {_not_reached(standing, at, zone)}"


def _reached(standing: Standing, decided: str) -> str:
    took = delay(standing)
    if took is not None:
        return f"{decided}; {standing.there} confirmed after {length(took)}"
    if standing.desired is Desired.INACTIVE and not standing.paused_by_us:
        return f"paused on {standing.there}, not by Spendgate"
    return f"{standing.confirmed} on {standing.there}"


def _not_reached(standing: Standing, at: datetime, zone: ZoneInfo) -> str:
    there, since = standing.there, standing.desired_at
    if standing.desired is Desired.ACTIVE and standing.confirmed is Confirmed.PAUSED and not standing.paused_by_us:
        return f"paused on {there}, not by Spendgate"
    if standing.mode is Mode.SHADOW:
        return f"still {standing.confirmed} on {there}, where mode shadow changes nothing"
    if (
        standing.desired is Desired.ACTIVE
        and standing.mode is Mode.PAUSE_ONLY
        and standing.confirmed is Confirmed.PAUSED
    ):
        return f"still paused on {there}, where mode pause_only enables nothing"
    age = "" if since is None else f" for {length(max(at - since, timedelta()))}"
    return f"not confirmed by {there}{age}{_reason(standing, at, zone)}"


def _reason(standing: Standing, at: datetime, zone: ZoneInfo) -> str:
    if standing.error is not None:
        return f": {standing.error}"
    if standing.waits_until is not None and standing.waits_until > at:
        return f": it allows no request before{_since(standing.waits_until, at, zone).removeprefix(' at')}"
    return ""


def _since(moment: datetime | None, at: datetime, zone: ZoneInfo) -> str:
    """` at 14:03`, with the day if the moment is half a day or more away; empty for None."""
    if moment is None:
        return ""
    form = "%H:%M" if abs(at - moment) < DAY / 2 else "%d %b %H:%M"
    return f" at {moment.astimezone(zone):{form}}"


def account_in_words(state: str, error: str | None, waits_until: datetime | None) -> str:
    """Why an account is not read as usual, for the states `waiting`, `failing`, `unread` and `off`; else empty.

    `error`: the last request's error; None: there is none. `waits_until`: the platform allows no request before that
    time; None: it allows one now.
    """
    if state == "waiting" and waits_until is not None:
        return f"the platform allows no requests before {waits_until:%d %b %H:%M %Z}"
    words = {
        "failing": error or "the last request failed",
        "unread": "not read yet",
        "off": "mode off: nothing is read",
    }
    return words.get(state, "")


def length(span: timedelta) -> str:
    """A length of time in its largest unit, such as 2.0 s, 45 s, 6 min, 47 h or 4 days; rounded down from 10 s on."""
    if span < MINUTE:
        return f"{span.total_seconds():.1f} s" if span < timedelta(seconds=10) else f"{span.seconds} s"
    if span < HOUR:
        return f"{span // MINUTE} min"
    return f"{span // HOUR} h" if span < 2 * DAY else f"{span // DAY} days"
