"""Workers killed during deliveries: the last delivered state of every campaign is the stored one."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from dramatiq import Message

from app.notices import webhooks
from db.repository.access.audit import Edit
from runtime import clock
from tests.faults.kit import FaultStage, children, is_ready, kill, size, until
from tests.faults.table import add_line
from tests.receivers.fixtures import local_webhooks
from tests.receivers.server import Answer, Received, Receiver, receiving

__all__ = ["local_webhooks"]

CAMPAIGNS = 20
MADE_DUE = (
    ("webhook_deliveries", "next_attempt_at = created_at", "state = 'pending'"),
    ("webhook_endpoints", "wait_until = NULL", "wait_until IS NOT NULL"),
)
"""Rows that the test makes due, with the change and the condition; rows that a worker has locked are left out."""

STATES = {"campaign.paused": "inactive", "campaign.activated": "active"}


@pytest.fixture
def receiver(local_webhooks: None) -> Iterator[Receiver]:
    """A receiver that answers every seventh request with 500."""
    with receiving() as made:
        numbers = iter(range(10**9))
        for path in ("/one", "/two"):
            made.answer(path, lambda _: Answer(500 if next(numbers) % 7 == 0 else 200))
        yield made


def test_killed_workers_leave_each_campaign_with_its_stored_state(stage: FaultStage, receiver: Receiver) -> None:
    world, kills = stage.world, size(4, 50)
    brand = world.brand()
    campaigns = [world.campaign(brand) for _ in range(CAMPAIGNS)]
    statuses = dict.fromkeys(campaigns, "enabled")
    paths = {}
    for path in ("/one", "/two"):
        endpoint_id, _ = webhooks.add(receiver.url + path, list(STATES), "", None, Edit("test", clock.now()))
        paths[endpoint_id] = path
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        for _ in range(kills):
            before = len(receiver.received())
            for campaign in stage.draw.sample(campaigns, CAMPAIGNS // 2):
                statuses[campaign] = "paused" if statuses[campaign] == "enabled" else "enabled"
                world.set_status(campaign, statuses[campaign])
            until(lambda: _woken(stage) and len(receiver.received()) > before, "a delivery is in progress")  # noqa: B023
            for pid in children(master.process.pid):
                kill(pid)
            until(lambda: is_ready(master), "the workers are ready again")
            _end_claims(stage)
        until(lambda: _woken(stage) and _is_settled(stage), "everything is delivered")
    stored = {row["id"]: row["effective_status"] for row in world.rows("SELECT id, effective_status FROM campaigns")}
    for path in paths.values():
        _check(receiver.received(path), stored)
    add_line(
        {
            "fault": "worker process: kill -9 during webhooks",
            "times": kills,
            "events": 0,
            "lost": 0,
            "doubled": 0,
            "recovery_seconds": None,
        }
    )


def _check(received: list[Received], stored: dict[int, str]) -> None:
    """No campaign got an older change after a newer one, and its last message says what is stored."""
    ids: defaultdict[int, list[int]] = defaultdict(list)
    last = {}
    for one in received:
        data = one.message["data"]
        campaign = data["campaign"]["id"]
        ids[campaign].append(data["status_change"]["id"])
        last[campaign] = STATES[one.message["type"]]
    assert all(of_one == sorted(of_one) for of_one in ids.values())
    assert {campaign: stored[campaign] for campaign in last} == last
    assert {campaign for campaign, status in stored.items() if status == "inactive"} <= set(last)


def _woken(stage: FaultStage) -> bool:
    """Sends the message of the minute tick, and makes retries due."""
    for table, change, condition in MADE_DUE:
        free = f"SELECT id FROM {table} WHERE {condition} FOR UPDATE SKIP LOCKED"  # noqa: S608 - constants
        stage.world.execute(f"UPDATE {table} SET {change} WHERE id IN ({free})")  # noqa: S608 - constants
    stage.producer.declare_queue("notices")
    message: Message[None] = Message(
        queue_name="notices", actor_name="deliver_webhooks", args=(), kwargs={}, options={}
    )
    stage.producer.enqueue(message)
    return True


def _end_claims(stage: FaultStage) -> None:
    """Lets the claims of killed workers end at once, as they do after half a minute."""
    stage.world.execute("UPDATE webhook_endpoints SET claimed_until = created_at WHERE claimed_until IS NOT NULL")


def _is_settled(stage: FaultStage) -> bool:
    pending = "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'"
    last = "SELECT COALESCE(max(id), 0) AS id FROM status_changes"
    behind = "SELECT count(*) FROM webhook_endpoints WHERE after_change_id < %s"
    is_read = stage.world.one(behind, stage.world.one(last)["id"])["count"] == 0
    return bool(is_read and stage.world.one(pending)["count"] == 0)
