"""The demo: creates brands and enqueues simulated spend for them, as an upstream system would."""

import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import structlog
from more_itertools import sliced
from sqlalchemy import Connection

from app.edits import editing
from app.enforcement import edited
from db.engine import committed, snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from db.repository.reading import overview
from delivery.outgoing import send_events
from domain.inputs.values import MAX_EVENTS_PER_MESSAGE
from domain.money import MICROS_PER_UNIT
from domain.periods import ONE_DAY, Period, day_starts_at, local_day, time_zone
from domain.schedules import Daypart, Schedule, is_open, normalised, parse_schedule
from runtime import clock, logs
from runtime.settings import BAD_SETTINGS_EXIT, SettingsError, settings
from runtime.signals import Stop

log = structlog.get_logger()

BEAT_SECONDS: Final = 1.0
FAST_BEAT_SECONDS: Final = 0.5
REFUND_EVERY: Final = 20
BLINK_MINUTES: Final = 2
BY: Final = "demo"
MICROS_PER_CENT: Final = 10_000
PAST_DAYS: Final = 33
PAST_HOURS: Final = range(5, 24)


@dataclass(frozen=True)
class DemoCampaign:
    """One campaign of the demo; `a_day` is its usual daily spend in units of the brand's currency."""

    name: str
    a_day: int
    schedule: str = ""
    blinks: bool = False
    paused: bool = False
    limits: dict[Period, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DemoBrand:
    """One brand of the demo; limits in units of its currency."""

    name: str
    zone: str
    currency: str
    limits: dict[Period, int]
    campaigns: tuple[DemoCampaign, ...]


BRANDS: Final = (
    DemoBrand(
        "Hudson Shoes", "America/New_York", "USD", {Period.DAILY: 300, Period.MONTHLY: 12_000},
        (
            DemoCampaign("Brand search", 220),
            DemoCampaign("Shopping", 180, limits={Period.DAILY: 120}),
            DemoCampaign("Display, paused by a person", 90, paused=True),
        ),
    ),
    DemoBrand(
        "Khumbu Trekking", "Asia/Kathmandu", "USD", {Period.DAILY: 150},
        (DemoCampaign("Base camp", 160), DemoCampaign("Evenings only", 60, schedule="daily 17:00-23:30")),
    ),
    DemoBrand(
        "Kreuzberg Kaffee", "Europe/Berlin", "EUR", {Period.WEEKLY: 2_500},
        (
            DemoCampaign("Mornings", 120, schedule="Mon-Fri 06:00-11:00"),
            DemoCampaign("Open and shut", 80, blinks=True),
            DemoCampaign("Night owls", 100, schedule="Fri-Sat 22:00-04:00", limits={Period.DAILY: 70}),
        ),
    ),
)  # fmt: skip


def main() -> int:
    """Creates missing demo brands, then sends spend for them until SIGTERM or SIGINT; returns 2 for a bad setting."""
    stop = Stop()
    with stop.on(signal.SIGINT, signal.SIGTERM):
        try:
            settings().required_database_url()
            settings().required_queue_url()
        except SettingsError as error:
            sys.stderr.write(f"{error}\n")
            return BAD_SETTINGS_EXIT
        logs.configure()
        brand_ids = make_brands()
        fast = settings().clock_speed > 1
        spend_until(stop, brand_ids, FAST_BEAT_SECONDS if fast else BEAT_SECONDS, hurry=1 if fast else 2_880)
    return 0


def make_brands() -> set[int]:
    """Creates the demo brands that do not exist yet; returns the ids of all demo brands."""
    with snapshot() as connection:
        known = {brand.name: catalog.brand_made_by(connection, brand.name, BY) for brand in BRANDS}
    return {known[brand.name] or _make_brand(brand) for brand in BRANDS}


def _make_brand(brand: DemoBrand) -> int:
    edit = Edit(BY, clock.now())
    brand_id = committed(
        lambda connection: editing.create_brand(connection, brand.name, brand.zone, brand.currency, edit)
    )

    def fill(connection: Connection) -> None:
        for period, units in brand.limits.items():
            editing.set_budget(connection, brand_id, None, period, units * MICROS_PER_UNIT, edit)
        for campaign in brand.campaigns:
            _make_campaign(connection, brand_id, brand, campaign, edit)

    edited(fill, brand_id)
    log.info("demo.brand_made", brand_id=brand_id, name=brand.name)
    if settings().clock_speed == 1:
        for events in sliced(list(_past_spend(brand, brand_id, edit.at)), MAX_EVENTS_PER_MESSAGE):
            send_events(events)
    return brand_id


def _past_spend(brand: DemoBrand, brand_id: int, at: datetime) -> Iterator[dict[str, Any]]:
    """Yields hourly spend events of the last PAST_DAYS days; each day a campaign stops at its or its brand's limit."""
    zone = time_zone(brand.zone)
    with snapshot() as connection:
        ids = {row["name"]: row["id"] for row in overview.campaigns(connection, at, brand_id=brand_id)}
    for ago in range(PAST_DAYS, 0, -1):
        midnight = day_starts_at(local_day(at, zone) - ago * ONE_DAY, zone)
        spent: Counter[str] = Counter()
        for hour in (midnight + timedelta(hours=hours, minutes=30) for hours in PAST_HOURS):
            for campaign in brand.campaigns:
                own, all_its = campaign.limits.get(Period.DAILY), brand.limits.get(Period.DAILY)
                held = _is_spent(own, spent[campaign.name]) or _is_spent(all_its, spent.total())
                if held or campaign.paused or not is_open(parse_schedule(campaign.schedule), hour, zone):
                    continue
                cents = int(campaign.a_day * 100 / len(PAST_HOURS) * random.uniform(0.4, 1.6))  # noqa: S311
                spent[campaign.name] += cents
                yield _event(ids[campaign.name], cents * MICROS_PER_CENT, hour)


def _is_spent(limit_units: int | None, cents: int) -> bool:
    return limit_units is not None and cents >= limit_units * 100


def _make_campaign(connection: Connection, brand_id: int, brand: DemoBrand, campaign: DemoCampaign, edit: Edit) -> None:
    campaign_id = editing.create_campaign(connection, brand_id, campaign.name, edit)
    schedule = _blinking(edit.at, brand.zone) if campaign.blinks else parse_schedule(campaign.schedule)
    if schedule:
        editing.set_schedule(connection, campaign_id, schedule, edit)
    if campaign.paused:
        editing.edit_campaign(connection, campaign_id, {"configured_status": "paused"}, edit)
    for period, units in campaign.limits.items():
        editing.set_budget(connection, brand_id, campaign_id, period, units * MICROS_PER_UNIT, edit)


def _blinking(at: datetime, zone: str) -> Schedule:
    """Returns a schedule open for BLINK_MINUTES and closed for BLINK_MINUTES in turn, for six hours from `at`.

    A viewer of the demo sees dayparting within minutes.
    """
    parts = []
    for turn in range(90):
        wall = (at + timedelta(minutes=2 * turn * BLINK_MINUTES)).astimezone(time_zone(zone))
        starts = wall.hour * 60 + wall.minute
        parts.append(Daypart(wall.isoweekday(), starts, min(starts + BLINK_MINUTES, 1440)))
    return normalised(parts)


def spend_until(stop: Stop, brand_ids: set[int], beat_seconds: float, *, hurry: float) -> None:
    """Enqueues a batch every `beat_seconds`: active campaigns' spend since the last batch, at `hurry` times real rates.

    Every REFUND_EVERY batches it adds a refund. Returns when `stop` is set.
    """
    usual = {campaign.name: campaign.a_day for brand in BRANDS for campaign in brand.campaigns}
    before, beat = clock.now(), 0
    while not stop.wait(beat_seconds):
        at, beat = clock.now(), beat + 1
        share = (at - before) / timedelta(days=1) * hurry
        with snapshot() as connection:
            rows = [row for brand_id in brand_ids for row in overview.campaigns(connection, at, brand_id=brand_id)]
        campaigns = [row for row in rows if row["name"] in usual]
        events = list(_events(campaigns, usual, share, at))
        if beat % REFUND_EVERY == 0:
            events += _refunds(campaigns, at)
        if events:
            send_events(events)
        before = at


def _events(
    campaigns: Sequence[dict[str, Any]], usual: dict[str, int], share: float, at: datetime
) -> Iterator[dict[str, Any]]:
    for row in campaigns:
        if row["effective_status"] == "active":
            cents = int(usual[row["name"]] * 100 * share * random.uniform(0.6, 1.4))  # noqa: S311
            if cents:
                yield _event(row["id"], cents * MICROS_PER_CENT, at)


def _refunds(campaigns: Sequence[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    """Returns a refund of a fifth of today's spend for one campaign paused by a daily budget, as for invalid clicks."""
    stopped = [row for row in campaigns if any(hold.endswith("_daily_budget") for hold in row["holds"])]
    if not stopped:
        return []
    row = random.choice(stopped)  # noqa: S311
    cents = row["today_micros"] // MICROS_PER_CENT // 5
    return [_event(row["id"], -cents * MICROS_PER_CENT, at)] if cents > 0 else []


def _event(campaign_id: int, amount_micros: int, at: datetime) -> dict[str, Any]:
    return {
        "event_id": str(uuid4()),
        "campaign_id": campaign_id,
        "occurred_at": at.isoformat(),
        "amount_micros": amount_micros,
        "source": "demo",
    }


if __name__ == "__main__":
    sys.exit(main())
