"""When spend is read after releases, edits of limits and failures, by the ticks of each minute."""

import json
import threading
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy.exc import OperationalError

from app.platforms import spend, visits
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.queues import queues
from tests.world import World, eventually, moment

TODAY, TOMORROW = date(2026, 6, 17), date(2026, 6, 18)
MINUTE = timedelta(minutes=1)


def sends_read(connected: Connected) -> bool:
    """Runs the tick of a minute; returns whether it sent a message to read spend."""
    before = len(queues().waiting("platforms"))
    visits.enqueue_due([connected.platform], clock.now())
    sent = [json.loads(data)["actor_name"] for data in queues().waiting("platforms")[before:]]
    return "pull_spend" in sent


def reads_until(connected: Connected, at: datetime, minutes: int) -> list[int]:
    """Lets so many minutes after `at` pass; returns those in which spend was read."""
    reads = []
    for minute in range(1, minutes + 1):
        connected.world.set_clock(at + minute * MINUTE)
        connected.world.tick()
        if sends_read(connected):
            connected.pull(is_due=False)
            if connected.connection()["last_read_at"] == clock.now():
                reads.append(minute)
    return reads


def old_campaign(connected: Connected) -> None:
    """Creates a campaign that has been active for a month."""
    connected.campaign("11")
    connected.world.execute("UPDATE campaigns SET created_at = '2026-05-17T12:00Z'")


def test_account_of_a_new_campaign_is_read_again_soon(connected: Connected, world: World) -> None:
    connected.campaign("11")
    assert len(reads_until(connected, clock.now(), 20)) >= 8


@pytest.fixture
def used_up(connected: Connected, world: World) -> int:
    """A campaign whose daily budget is used up, and whose account was read half an hour before midnight."""
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 100)
    connected.pull()
    assert not world.is_active(campaign)
    world.set_clock(moment("2026-06-17T23:30"))
    connected.pull()
    assert connected.connection()["next_read_at"] == moment("2026-06-18T00:30")
    return campaign


def test_released_account_is_read_within_two_minutes_of_midnight(
    connected: Connected, world: World, used_up: int
) -> None:
    assert reads_until(connected, moment("2026-06-17T23:58"), 4)[:1] in ([3], [4])
    assert world.is_active(used_up)


def test_released_account_without_reported_spend_is_read_again_soon(connected: Connected, used_up: int) -> None:
    """The platform reports the spend of the day's first minutes later."""
    reads = reads_until(connected, moment("2026-06-17T23:59"), 40)
    assert len(reads) >= 10
    assert max(later - earlier for earlier, later in pairwise(reads)) <= 8
    connected.fake.spend("11", TOMORROW, 60)
    last = moment("2026-06-17T23:59") + reads[-1] * MINUTE
    connected.world.set_clock(last + 8 * MINUTE)
    connected.pull(is_due=False)
    assert connected.spent(used_up, TOMORROW) == 60


def test_account_that_was_read_since_its_release_is_not_hastened(connected: Connected, used_up: int) -> None:
    reads_until(connected, moment("2026-06-17T23:59"), 3)
    connected.world.execute("UPDATE platform_connections SET next_read_at = '2026-06-18T09:00Z'")
    assert not reads_until(connected, moment("2026-06-18T00:03"), 2)


@pytest.mark.parametrize("is_new", [True, False])
def test_changed_limit_is_paced_within_two_minutes(connected: Connected, world: World, is_new: bool) -> None:
    old_campaign(connected)
    connected.fake.spend("11", TODAY, 9)
    connected.pull()
    world.set_clock(moment("2026-06-17T12:10"))
    connected.pull()
    assert connected.connection()["next_read_at"] == moment("2026-06-17T13:10")
    world.set_clock(moment("2026-06-17T12:20"))
    world.limit(10, "lifetime" if is_new else "daily", brand=connected.brand)
    assert reads_until(connected, moment("2026-06-17T12:20"), 2)


def test_failing_account_near_its_limit_is_tried_every_five_minutes(connected: Connected, world: World) -> None:
    connected.campaign("11")
    connected.fake.spend("11", TODAY, 60)
    connected.pull()
    world.execute("UPDATE platform_connections SET failures = 9, limit_at = %s", moment("2026-06-17T12:01"))
    connected.fake.fail("search", "500")
    connected.pull()
    assert connected.connection()["next_read_at"] == moment("2026-06-17T12:05")


def test_hastened_account_that_fails_is_not_tried_each_minute(connected: Connected, world: World, used_up: int) -> None:
    world.execute("UPDATE platform_connections SET failures = 9")
    connected.fake.fail("search", *["500"] * 50)
    reads_until(connected, moment("2026-06-17T23:59"), 12)
    assert 1 <= connected.connection()["failures"] - 9 <= 3
    assert connected.connection()["next_read_at"] <= clock.now() + 5 * MINUTE
    assert used_up


@pytest.mark.parametrize("kind", ["mutate", "search"])
def test_failure_of_a_change_or_of_statuses_delays_no_read_of_spend(
    connected: Connected, world: World, kind: str
) -> None:
    campaign = connected.campaign("11")
    connected.pull()
    connected.reconcile()
    world.execute("UPDATE platform_connections SET failures = 9, next_read_at = '2026-06-17T12:01Z'")
    world.set_status(campaign, "paused")
    connected.fake.fail(kind, "500")
    connected.reconcile()
    assert connected.connection()["failures"] in (1, 10)
    assert connected.connection()["next_read_at"] == moment("2026-06-17T12:01")


def test_account_that_is_being_read_is_read_by_no_other_worker(connected: Connected, world: World) -> None:
    old_campaign(connected)
    connected.pull()
    connected.fake.latency_seconds = 1.0
    world.set_clock(moment("2026-06-17T13:01"))
    reads = len(connected.fake.requests("search"))
    slow = threading.Thread(target=lambda: connected.pull(is_due=False))
    slow.start()
    eventually(lambda: connected.connection()["next_read_at"] > clock.now())
    assert not sends_read(connected)
    connected.pull(is_due=False)
    slow.join()
    assert len(connected.fake.requests("search")) == reads + 1
    assert connected.connection()["next_read_at"] == moment("2026-06-17T14:01")


def test_read_that_a_locked_brand_ended_is_due_again(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    connected.campaign("11")
    connected.fake.spend("11", TODAY, 5)

    def locked(*_: object) -> None:
        raise OperationalError(None, None, Exception("the brand is locked"))

    monkeypatch.setattr(spend, "count_totals", locked)
    with pytest.raises(OperationalError, match="locked"):
        connected.pull()
    assert connected.connection()["next_read_at"] == clock.now()


def test_connection_that_is_changed_during_a_read_is_read_again(connected: Connected, world: World) -> None:
    connected.campaign("11")
    connected.fake.latency_seconds = 1.0
    slow = threading.Thread(target=connected.pull)
    slow.start()
    eventually(lambda: connected.connection()["described_at"] is not None)
    world.execute("UPDATE platform_connections SET next_read_at = NULL")
    slow.join()
    assert connected.connection()["next_read_at"] is None
