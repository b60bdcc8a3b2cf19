"""Platforms through real worker processes with the worker's database role, and a worker killed while it reconciles."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cli.fake_platforms.state import FakePlatform
from db.repository.access.privileges import DatabaseRole
from delivery.outgoing import send
from tests.app.platforms.kit import Connected
from tests.cli.shell import Service, serving
from tests.fake_platforms.fixtures import META_SECRETS, SECRETS
from tests.roles import UrlOf
from tests.world import World, eventually, noon_zone

Start = Callable[[], AbstractContextManager[Service]]
KILLS = 3
ENV = {
    "SPENDGATE_WORKER_PROCESSES": "1",
    "SPENDGATE_WORKER_THREADS": "2",
    # These tests read far more often than once a minute.
    "SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY": "1000000",
    # The history of the platform here is never late.
    "SPENDGATE_PLATFORM_HISTORY_SECONDS": "1",
}


@pytest.fixture
def live(request: pytest.FixtureRequest, world: World, fake: FakePlatform, logins: dict[str, str]) -> Connected:
    """A connected account in real time, in a zone where it is about noon; of Google Ads unless the test says else."""
    fake.time_zone = noon_zone()
    platform = getattr(request, "param", "google_ads")
    return Connected(world, fake, logins[platform], platform=platform)


@pytest.fixture
def start(url_of: UrlOf, tmp_path: Path) -> Start:
    """Returns a function that starts the worker processes; their output is in one file."""

    def started() -> AbstractContextManager[Service]:
        env = {"DATABASE_URL": url_of(DatabaseRole.WORKER), **ENV}
        return serving("-m", "workers", output=tmp_path / "output", env=env)

    return started


def today(zone: str) -> datetime:
    return datetime.now(UTC).astimezone(ZoneInfo(zone))  # noqa: TID251 - real time


def visited_until(connected: Connected, is_true: Callable[[], bool]) -> None:
    """Makes the account due and sends the message of the minute, again and again until `is_true` returns true."""

    def visited() -> bool:
        connected.world.execute(
            "UPDATE platform_connections SET next_read_at = NULL, statuses_read_at = NULL, retry_at = NULL"
        )
        send("visit_platforms")
        time.sleep(0.3)
        return is_true()

    eventually(visited, 60)


@pytest.mark.parametrize("live", ["google_ads", "meta_ads"], indirect=True)
def test_spend_read_by_a_worker_stops_the_campaign_on_the_platform(live: Connected, start: Start) -> None:
    campaign = live.campaign("11")
    day = today(live.fake.time_zone).date()
    live.fake.spend("11", day, 60)
    with start() as worker:
        visited_until(live, lambda: live.spent(campaign, day) == 60)
        live.fake.spend("11", day, 50)
        visited_until(live, lambda: live.there("11") == "paused")
        assert not live.fake.spend("11", day, 1)
        eventually(lambda: live.row(campaign)["confirmed"] == "paused")
        eventually(lambda: bool(worker.logged("platform.confirmed")))
        assert [line["campaign_id"] for line in worker.logged("campaign.paused")] == [campaign]
        output = "\n".join(worker.lines())
    assert live.spent(campaign, day) == 110
    assert live.world.holds(campaign) == {"brand_daily_budget"}
    secrets = (*SECRETS.values(), live.fake.token, *META_SECRETS.values())
    assert not [secret for secret in secrets if secret in output]
    live.world.verify()


def test_workers_killed_while_they_reconcile_reach_the_desired_status(live: Connected, start: Start) -> None:
    """A killed worker leaves a sent change without an answer; the next one reads before it sends."""
    ours, theirs = live.campaign("11"), live.campaign("12", status="paused")
    live.reconcile()
    assert live.world.holds(theirs) == {"platform_paused"}
    for number in range(KILLS):
        live.world.set_status(ours, "enabled" if number % 2 else "paused")
        live.fake.fail("mutate", "apply_then_hang")
        with start():  # and kills it at the end of the block
            visited_until(live, lambda: len(live.fake.requests("mutate")) > number)  # noqa: B023 - at once
        live.world.execute("UPDATE platform_connections SET claimed_until = NULL")  # as it ends after some seconds
    with start():
        visited_until(live, lambda: live.row(ours)["confirmed"] == live.there("11") == "paused")
        eventually(lambda: not live.row(ours)["may_be_applied"])
    assert live.there("12") == "paused"
    changed = {
        operation["update"]["resourceName"].rpartition("/")[2]
        for one in live.fake.requests("mutate")
        for operation in one.body["operations"]
    }
    assert changed == {"11"}
    live.world.verify()
