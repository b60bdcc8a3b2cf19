"""Workers killed while they reconcile: the platform ends with the desired statuses, and people's pauses stay."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dramatiq import Message

from cli.fake_platforms.server import serving
from cli.fake_platforms.state import API, FakePlatform
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.fake_platforms.fixtures import SECRETS
from tests.faults.kit import FaultStage, children, is_ready, kill, size, until
from tests.faults.table import add_line

CAMPAIGNS = 12
FAULTS = ("", "hang", "apply_then_hang", "500", "apply_then_500")
"""Faults of the change during which the workers die; without one they die at any moment after it."""

LATENCY_SECONDS = 0.02
VISITS_SECONDS = 0.2
PERSON = "anna@example.com"
HELD_BY_HAND = CAMPAIGNS // 3
HELD = "SELECT external_id FROM campaigns WHERE 'platform_paused' = ANY(set_holds) ORDER BY id"
TABLE, FREE = "platform_connections", "claimed_until IS NULL OR claimed_until < now()"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    """A fake Google Ads for the processes that the test starts."""
    platform = FakePlatform(latency_seconds=LATENCY_SECONDS)
    with serving(platform) as url:
        monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_URL", url)
        monkeypatch.setenv("SPENDGATE_GOOGLE_TOKEN_URL", f"{url}/token")
        monkeypatch.setenv("SPENDGATE_PLATFORM_DEADLINE_SECONDS", "2")
        monkeypatch.setenv("SPENDGATE_PLATFORM_HISTORY_SECONDS", "1")
        monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY", "1000000")
        yield platform


def test_killed_workers_leave_each_campaign_with_its_desired_status(
    fake: FakePlatform, stage: FaultStage, tmp_path: Path
) -> None:
    """A person's change is read before the next kill, since of two changes between two reads only the last is seen."""
    world, kills = stage.world, size(4, 50)
    login = tmp_path / "google.json"
    login.write_text(json.dumps(SECRETS))
    connected = Connected(world, fake, f"file:{login}")
    campaigns = {str(number): connected.campaign(str(number)) for number in range(11, 11 + CAMPAIGNS)}
    statuses = dict.fromkeys(campaigns, "enabled")
    recoveries = []
    with stage.workers(threads=2) as master:
        until(lambda: is_ready(master), "the workers are ready")
        until(lambda: _is_settled(stage, fake), "all statuses are known")
        for _ in range(kills):
            fake.received.clear()
            fake.faults.clear()
            fake.fail("mutate", stage.draw.choice(FAULTS))
            for name in stage.draw.sample(sorted(campaigns), CAMPAIGNS // 2):
                statuses[name] = "paused" if statuses[name] == "enabled" else "enabled"
                world.set_status(campaigns[name], statuses[name])
            until(lambda: _visited(stage) and bool(fake.requests("mutate")), "a change is sent")
            for pid in children(master.process.pid):
                kill(pid)
            killed_at = time.monotonic()
            world.execute(f"UPDATE {TABLE} SET claimed_until = NULL")  # noqa: S608 - as it ends after some seconds
            until(lambda: is_ready(master), "the workers are ready again")
            until(lambda: _is_settled(stage, fake), "the platform has the desired statuses")
            recoveries.append(round(time.monotonic() - killed_at, 1))
            _change_by_hand(stage, fake)
            until(lambda: _is_settled(stage, fake), "the person's change is respected")
    _check(fake)
    world.verify()
    line = {"fault": "worker process: kill -9 during reconciliation", "times": kills, "recovery_seconds": recoveries}
    add_line(line | {"events": 0, "lost": 0, "doubled": 0})


def _change_by_hand(stage: FaultStage, fake: FakePlatform) -> None:
    """A person pauses a campaign that is enabled there, or enables one that a person paused.

    With HELD_BY_HAND of them held, enables one of those: among the next ones to toggle some must need a change there.
    """
    held = {row["external_id"] for row in stage.world.rows(HELD)}
    last = {one.campaign_id: one.by for one in fake.activities if one.status == "paused"}
    free = [one for one in fake.campaigns.values() if one.status == "enabled" or last.get(one.id) == PERSON]
    some = [one for one in free if one.id in held] if len(held) >= HELD_BY_HAND else free
    chosen = stage.draw.choice(some or free)
    fake.change(chosen.id, "paused" if chosen.status == "enabled" else "enabled", PERSON, clock.now())


def _check(fake: FakePlatform) -> None:
    """Spendgate enabled only campaigns whose last pause was its own, and both it and the person changed some."""
    paused_by: dict[str, str] = {}
    for one in fake.activities:
        if one.status == "paused":
            paused_by[one.campaign_id] = one.by
        elif one.by == API:
            assert paused_by[one.campaign_id] == API, one
    assert {one.by for one in fake.activities} == {API, PERSON}


def _visited(stage: FaultStage) -> bool:
    """Makes the account due, unless a worker has it, and sends the message of the minute."""
    stage.world.execute(
        f"UPDATE {TABLE} SET next_read_at = NULL, statuses_read_at = NULL, retry_at = NULL"  # noqa: S608 - constants
        f" WHERE platform_account_id IN (SELECT platform_account_id FROM {TABLE} WHERE {FREE} FOR UPDATE SKIP LOCKED)"
    )
    stage.producer.declare_queue("platforms")
    message: Message[None] = Message(
        queue_name="platforms", actor_name="visit_platforms", args=(), kwargs={}, options={}
    )
    stage.producer.enqueue(message)
    time.sleep(VISITS_SECONDS)
    return True


def _is_settled(stage: FaultStage, fake: FakePlatform) -> bool:
    """Visits the account; returns whether each campaign has its desired status there, known and confirmed here."""
    _visited(stage)
    rows = stage.world.rows(
        "SELECT external_id, effective_status, confirmed, may_be_applied FROM campaigns"
        " LEFT JOIN platform_statuses ON platform_statuses.brand_id = campaigns.brand_id AND campaign_id = id"
    )
    wanted = {"active": "enabled", "inactive": "paused"}
    return all(
        wanted[row["effective_status"]] == row["confirmed"] == fake.campaigns[row["external_id"]].status
        and not row["may_be_applied"]
        for row in rows
    )
