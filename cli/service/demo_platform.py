"""The demo's fake Google Ads: served by `spendgate up --demo`, where the connected brand's campaigns spend."""

import json
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.fake_platforms.server import serving
from cli.fake_platforms.state import PAUSED, FakeCampaign, FakePlatform
from cli.fake_platforms.store import load, save
from cli.service.demo_brands import BRANDS, DemoBrand, past_spend
from domain.money import MICROS_PER_UNIT
from domain.periods import Period, local_day
from domain.zones import time_zone
from runtime import clock
from runtime.embedded.home import write_private
from runtime.settings import DEMO_FILE, settings
from runtime.signals import Stop

PLATFORM: Final = "google_ads"
SECRETS_VARIABLE: Final = "SPENDGATE_DEMO_CREDENTIALS"
CREDENTIALS: Final = f"env:{SECRETS_VARIABLE}"
STATE_FILE: Final = "demo-platform.json"

HURRY: Final = 720
"""Factor on the usual spend of campaigns on the fake platform in real time, so that a minute uses up a budget."""

SPENT_AT_START_PERCENT: Final = 60
"""Percent of its daily limit, or else of its usual day, that a campaign has spent today when the demo begins."""

LATENCY_SECONDS: Final = 0.2
REFUSE_EVERY: Final = 7
OPERATIONS_A_DAY: Final = 1_000_000
READ_SECONDS: Final = 1
SAVE_SECONDS: Final = 1.0
CREDIT_EVERY: Final = 75
"""Saves of the state between two credits for invalid clicks, each a fifth of a paused campaign's spend of today."""


@contextmanager
def fake_platform(stop: Stop, home: Path) -> Iterator[str]:
    """Serves the fake platform during the block and yields its URL; this process, its children and commands use it.

    The platform's state is stored in `home`, so that the next run continues with it. Sets `stop` at the end.
    """
    platform, path = demo_platform(), home / STATE_FILE
    if not load(platform, path) and settings().clock_speed == 1:
        _add_past(platform)
    with serving(platform) as url:
        variables = _variables(platform, url)
        os.environ.update(variables)
        write_private(home / DEMO_FILE, "".join(f"{name}={value}\n" for name, value in variables.items()))
        settings.cache_clear()
        ticking = threading.Thread(target=_tick, args=(stop, platform, path), daemon=True)
        ticking.start()
        try:
            yield url
        finally:
            stop.set()
            ticking.join()
            (home / DEMO_FILE).unlink(missing_ok=True)


def demo_platform() -> FakePlatform:
    """Returns the account of the demo's connected brand; its campaigns spend by Spendgate's clock."""
    brand = connected_brand()
    platform = FakePlatform(account_id=brand.account, time_zone=brand.zone, currency=brand.currency, clock=clock.now)
    platform.latency_seconds, platform.refuse_every = LATENCY_SECONDS, REFUSE_EVERY
    platform.operations_a_day = OPERATIONS_A_DAY
    hurry = 1 if settings().clock_speed > 1 else HURRY
    for campaign in brand.campaigns:
        there = str(brand.external_id(campaign))
        platform.campaigns[there] = FakeCampaign(
            there, name=f"{campaign.name} ({brand.name})", micros_a_day=campaign.a_day * MICROS_PER_UNIT * hurry
        )
    return platform


def connected_brand() -> DemoBrand:
    """The demo's brand with an account on the fake platform."""
    return next(brand for brand in BRANDS if brand.account)


def _add_past(platform: FakePlatform) -> None:
    """Adds spend of the past weeks, and for today SPENT_AT_START_PERCENT, so that a budget runs out soon."""
    brand, at = connected_brand(), clock.now()
    zone = time_zone(brand.zone)
    for past in past_spend(brand, at):
        spend = platform.campaigns[str(brand.external_id(past.campaign))].spend
        day = local_day(past.at, zone)
        spend[day] = spend.get(day, 0) + past.cents * MICROS_PER_UNIT // 100
    for campaign in brand.campaigns:
        if not campaign.paused:
            usual = campaign.limits.get(Period.DAILY, campaign.a_day) * MICROS_PER_UNIT
            spent = usual * SPENT_AT_START_PERCENT // 100
            platform.campaigns[str(brand.external_id(campaign))].spend[local_day(at, zone)] = spent


def _variables(platform: FakePlatform, url: str) -> dict[str, str]:
    secrets = {"client_id": "demo", "client_secret": "demo-secret", "refresh_token": platform.refresh_token}
    return {
        SECRETS_VARIABLE: json.dumps(secrets),
        "SPENDGATE_GOOGLE_ADS_URL": url,
        "SPENDGATE_GOOGLE_TOKEN_URL": f"{url}/token",
        "SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY": str(OPERATIONS_A_DAY),
        "SPENDGATE_PLATFORM_READ_SECONDS": str(READ_SECONDS),
    }


def _tick(stop: Stop, platform: FakePlatform, path: Path) -> None:
    """Lets campaigns spend, stores the state and every CREDIT_EVERY saves credits invalid clicks, until `stop`."""
    ticks = 0
    while not stop.wait(SAVE_SECONDS):
        ticks += 1
        platform.serve()
        if ticks % CREDIT_EVERY == 0:
            _credit(platform)
        save(platform, path)
    save(platform, path)


def _credit(platform: FakePlatform) -> None:
    """Takes a fifth off today's spend of one paused campaign, as platforms do for invalid clicks."""
    today = platform.today()
    if today is None:
        return
    with platform.lock:
        paused = [one for one in platform.campaigns.values() if one.status == PAUSED and one.spend.get(today)]
        if paused:
            campaign = random.choice(paused)  # noqa: S311
            campaign.spend[today] -= campaign.spend[today] // 5
