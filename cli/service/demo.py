"""The demo: creates brands, connects one to the fake platform and sends simulated spend for the others."""

import random
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import structlog
from more_itertools import sliced
from sqlalchemy import Connection

from app.edits import editing
from app.enforcement import edited
from app.platforms import connecting
from app.platforms.connecting import NewConnection
from cli.service.demo_brands import BRANDS, DemoBrand, DemoCampaign, past_spend
from cli.service.demo_platform import CREDENTIALS, PLATFORM
from db.engine import committed, snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from db.repository.reading import overview
from delivery.outgoing import send, send_events
from domain.inputs.values import MAX_EVENTS_PER_MESSAGE
from domain.money import MICROS_PER_UNIT
from domain.reconcile import Mode
from domain.schedules import Daypart, Schedule, normalised, parse_schedule
from domain.zones import time_zone
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


def main() -> int:
    """Creates missing demo brands, then runs the demo until SIGTERM or SIGINT; returns 0, or 2 for a bad setting."""
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
    """Creates the demo brands that do not exist yet; returns the ids of all brands whose spend is sent as events.

    Connects every other brand to its account on the fake platform, where its campaigns spend.
    """
    with snapshot() as connection:
        known = {brand.name: catalog.brand_made_by(connection, brand.name, BY) for brand in BRANDS}
    fed_by_events = set()
    for brand in BRANDS:
        brand_id = known[brand.name] or _make_brand(brand)
        if brand.account:
            _connect(brand, brand_id)
        else:
            fed_by_events.add(brand_id)
    return fed_by_events


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
    if settings().clock_speed == 1 and not brand.account:
        _send_past_spend(brand, brand_id, edit.at)
    return brand_id


def _connect(brand: DemoBrand, brand_id: int) -> None:
    """Connects the brand's account with mode `full` and gives its campaigns their external ids, unless all have one."""
    edit = Edit(BY, clock.now())
    with snapshot() as connection:
        rows = overview.campaigns(connection, edit.at, brand_id=brand_id)
    ids = {row["name"]: row["id"] for row in rows if row["external_id"] is None}
    missing = [campaign for campaign in brand.campaigns if campaign.name in ids]
    if not missing:
        return
    connecting.add(NewConnection(PLATFORM, brand.account, [brand_id], Mode.FULL, CREDENTIALS), edit)

    def name(connection: Connection) -> None:
        for campaign in missing:
            there = {"platform": PLATFORM, "external_id": brand.external_id(campaign), "account": brand.account}
            editing.edit_campaign(connection, ids[campaign.name], there, edit)

    edited(name, brand_id)


def _send_past_spend(brand: DemoBrand, brand_id: int, at: datetime) -> None:
    with snapshot() as connection:
        ids = {row["name"]: row["id"] for row in overview.campaigns(connection, at, brand_id=brand_id)}
    spent = past_spend(brand, at)
    events = [_event(ids[past.campaign.name], past.cents * MICROS_PER_CENT, past.at) for past in spent]
    for some in sliced(events, MAX_EVENTS_PER_MESSAGE):
        send_events(some)


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


def spend_until(stop: Stop, brand_ids: Collection[int], beat_seconds: float, *, hurry: float) -> None:
    """Enqueues a batch every `beat_seconds`: active campaigns' spend since the last batch, at `hurry` times real rates.

    Every REFUND_EVERY batches it adds a refund. With each batch it also enqueues `visit_platforms`, more often than the
    scheduler does, because the demo spends a day in minutes. Returns when `stop` is set.
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
        send("visit_platforms")
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
    """Returns one refund, as for invalid clicks: a fifth of today's spend of a campaign that a daily budget paused.

    Returns an empty list if there is no such campaign, or it spent nothing today.
    """
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
