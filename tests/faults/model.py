"""A model of the product's rules in memory: a second implementation in plain Python that shares no code with it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
AHEAD = timedelta(minutes=5)
OLDEST = timedelta(days=35)
BILLION_UNITS = 10**15

BROKEN: tuple[Any, ...] = (
    "nonsense",
    {"event_id": "17"},
    {"event_id": None},
    {"amount_micros": 1.5},
    {"amount_micros": True},
    {"amount_micros": BILLION_UNITS + 1},
    {"occurred_at": "yesterday"},
    {"occurred_at": "2026-11-22T10:00:00"},
    {"campaign_id": 999},
    {"currency": "XXX"},
)
"""Defects of events: fields that replace those of a good event."""

DaypartMinutes = tuple[int, int, int]
"""Weekday (1 = Monday), start minute, end minute (exclusive)."""


@dataclass
class Brand:
    zone: str
    currency: str = "USD"
    status: str = "enabled"


@dataclass
class Campaign:
    brand: int = 0
    external_id: str = ""
    status: str = "enabled"
    starts_on: date | None = None
    ends_on: date | None = None
    parts: tuple[DaypartMinutes, ...] = ()


@dataclass
class Model:
    """The facts given so far, and the holds and sums that follow from them; campaigns and brands by id."""

    brands: dict[int, Brand] = field(default_factory=dict)
    campaigns: dict[int, Campaign] = field(default_factory=dict)
    limits: dict[tuple[int, int | None, str], int] = field(default_factory=dict)
    ledger: dict[tuple[object, ...], tuple[int, datetime, int]] = field(default_factory=dict)
    campaign_days: dict[int, dict[date, int]] = field(default_factory=lambda: defaultdict(dict))
    brand_days: dict[int, dict[date, int]] = field(default_factory=lambda: defaultdict(dict))
    totals: dict[tuple[str, int, date], tuple[int, datetime]] = field(default_factory=dict)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each input was refused for a reason: (reason, input as JSON)."""

    def take_events(self, payloads: Sequence[Any], at: datetime) -> None:
        for payload in payloads:
            reason = self._unfit(payload, at) or self._count(payload)
            if reason:
                self.rejected[reason, json.dumps(payload)] += 1

    def take_totals(self, payloads: Sequence[Any], at: datetime) -> None:
        for payload in payloads:
            campaign = self._named(payload)
            day, as_of = date.fromisoformat(payload["day"]), datetime.fromisoformat(payload["as_of"])
            assert campaign is not None
            reason: str | None = "in_future"
            if max(as_of, self.midnight(self.campaigns[campaign].brand, day)) <= at + AHEAD:
                reason = self._restate(payload["source"], campaign, day, payload["total_micros"], as_of)
            if reason:
                self.rejected[reason, json.dumps(payload)] += 1

    def holds(self, campaign_id: int, at: datetime) -> set[str]:
        """Every hold of the campaign at this time."""
        campaign = self.campaigns[campaign_id]
        brand = self.brands[campaign.brand]
        wall = at.astimezone(ZoneInfo(brand.zone))
        today, weekday, minute = wall.date(), wall.isoweekday(), wall.hour * 60 + wall.minute
        reasons = {
            "user_paused": campaign.status == "paused",
            "archived": campaign.status == "archived",
            "brand_paused": brand.status != "enabled",
            "flight_not_started": campaign.starts_on is not None and today < campaign.starts_on,
            "flight_ended": campaign.ends_on is not None and today > campaign.ends_on,
            "outside_schedule": bool(campaign.parts)
            and not any(day == weekday and start <= minute < end for day, start, end in campaign.parts),
        }
        for (brand_id, owner, period), limit in self.limits.items():
            if brand_id == campaign.brand and owner in {None, campaign_id}:
                days = self.brand_days[brand_id] if owner is None else self.campaign_days[owner]
                now = _window(period, today)
                spent = sum(micros for day, micros in days.items() if _window(period, day) == now)
                reasons[f"{'brand' if owner is None else 'campaign'}_{period}_budget"] = not (limit and spent < limit)
        return {reason for reason, is_so in reasons.items() if is_so}

    def serves_at(self, campaign_id: int, at: datetime, until: datetime) -> datetime | None:
        """The first quarter hour up to `until` without a hold; all changes in these tests are on quarter hours."""
        moments = (at, *quarters(at, until))
        return next((moment for moment in moments if not self.holds(campaign_id, moment)), None)

    def changes_at(self, campaign_id: int, at: datetime, until: datetime) -> datetime:
        """The first quarter hour after `at` at which the clock alone changes the holds, or `until`."""
        now = self.holds(campaign_id, at)
        return next((moment for moment in quarters(at, until) if self.holds(campaign_id, moment) != now), until)

    def midnight(self, brand_id: int, day: date) -> datetime:
        """The first quarter hour at which the brand's local date is the day or a later one."""
        zone = ZoneInfo(self.brands[brand_id].zone)
        dawn = datetime(day.year, day.month, day.day, tzinfo=UTC) - DAY
        return next(moment for moment in quarters(dawn, dawn + 3 * DAY) if moment.astimezone(zone).date() >= day)

    def _brand(self, campaign: int) -> Brand:
        return self.brands[self.campaigns[campaign].brand]

    def _named(self, payload: dict[str, Any]) -> int | None:
        if "campaign_id" in payload:
            return payload["campaign_id"] if payload["campaign_id"] in self.campaigns else None
        known = (number for number, one in self.campaigns.items() if one.external_id == payload["external_id"])
        return next(known, None)

    def _unfit(self, payload: Any, at: datetime) -> str | None:
        try:
            UUID(payload["event_id"])
            occurred = datetime.fromisoformat(payload["occurred_at"])
            assert type(payload["amount_micros"]) is int
            campaign = self._named(payload)
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
            return "malformed"
        reasons = {
            "no_time_zone": occurred.tzinfo is None,
            "amount_out_of_range": abs(payload["amount_micros"]) > BILLION_UNITS,
            "unknown_campaign": campaign is None,
        }
        if campaign is not None and occurred.tzinfo is not None:
            reasons["wrong_currency"] = payload.get("currency") not in {None, self._brand(campaign).currency}
            reasons["too_old"], reasons["in_future"] = occurred < at - OLDEST, occurred > at + AHEAD
        return next((reason for reason, is_so in reasons.items() if is_so), None)

    def _count(self, payload: dict[str, Any]) -> str | None:
        occurred = datetime.fromisoformat(payload["occurred_at"]).astimezone(UTC)
        campaign = self._named(payload)
        assert campaign is not None
        brand = self.campaigns[campaign].brand
        fact = (campaign, occurred, payload["amount_micros"])
        known = self.ledger.setdefault((brand, payload["event_id"], occurred.year, occurred.month), fact)
        if known is fact:
            self._add(campaign, occurred.astimezone(ZoneInfo(self._brand(campaign).zone)).date(), fact[2])
        return None if known == fact else "conflicting_duplicate"

    def _restate(self, source: str, campaign: int, day: date, micros: int, as_of: datetime) -> str | None:
        before, since = self.totals.get((source, campaign, day), (0, None))
        if since is not None and as_of <= since:
            return "conflicting_duplicate" if as_of == since and micros != before else None
        self.totals[source, campaign, day] = (micros, as_of)
        if micros != before:
            self.ledger[source, campaign, day, as_of] = (campaign, as_of, micros - before)
        if micros != before or since is None:
            self._add(campaign, day, micros - before)
        return None

    def _add(self, campaign: int, day: date, micros: int) -> None:
        for days in (self.campaign_days[campaign], self.brand_days[self.campaigns[campaign].brand]):
            days[day] = days.get(day, 0) + micros


def _window(period: str, day: date) -> tuple[int, ...]:
    names = {
        "daily": (day.year, day.month, day.day),
        "weekly": day.isocalendar()[:2],
        "monthly": (day.year, day.month),
        "yearly": (day.year,),
        "lifetime": (),
    }
    return names[period]


def quarters(after: datetime, until: datetime) -> Iterator[datetime]:
    """The quarter hours after one time, up to and with another."""
    moment = after.replace(minute=after.minute // 15 * 15, second=0, microsecond=0)
    while (moment := moment + QUARTER) <= until:
        yield moment


def parts(days: Iterable[int], *times: tuple[int, int]) -> tuple[DaypartMinutes, ...]:
    """Dayparts given as (start, end) in minutes, on each of the weekdays."""
    return tuple((day, start, end) for day in days for start, end in times)


def broken(payload: dict[str, Any], what: Any) -> Any:
    """The event with one defect."""
    return {**payload, **what} if isinstance(what, dict) else what
