"""Webhooks through real worker processes with the worker's database role, and receivers that misbehave."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.notices import webhooks
from app.notices.slots import THREADS_A_SLOT
from db.repository.access.audit import Edit
from db.repository.access.privileges import DatabaseRole
from delivery.outgoing import send
from runtime import clock
from tests.cli.shell import Service, serving
from tests.receivers.fixtures import local_webhooks, receiver
from tests.receivers.server import Answer, Received, Receiver
from tests.roles import UrlOf
from tests.world import World, eventually

__all__ = ["local_webhooks", "receiver"]

Start = Callable[..., AbstractContextManager[Service]]
THREADS = 4
PAUSED = "campaign.paused"


@pytest.fixture
def start(url_of: UrlOf, tmp_path: Path) -> Start:
    """Returns a function that starts one worker process with few threads; `env` are further variables."""

    def started(**env: str) -> AbstractContextManager[Service]:
        sizes = {"SPENDGATE_WORKER_PROCESSES": "1", "SPENDGATE_WORKER_THREADS": str(THREADS)}
        whole = {"DATABASE_URL": url_of(DatabaseRole.WORKER), **sizes, **env}
        return serving("-m", "workers", output=tmp_path / "output", env=whole)

    return started


def add(receiver: Receiver, path: str, *types: str) -> tuple[int, str]:
    """Adds an endpoint; returns its id and its secret."""
    return webhooks.add(receiver.url + path, types, "", None, Edit("test", clock.now()))


def pause(world: World, count: int = 1) -> list[int]:
    """Campaigns of a new brand that spend pauses."""
    brand = world.brand(daily=10)
    campaigns = [world.campaign(brand) for _ in range(count)]
    world.spend(campaigns[0], 10)
    return campaigns


def attempts(world: World, endpoint_id: int) -> list[dict[str, Any]]:
    """The endpoint's attempts in their order, with the state of their delivery."""
    return world.rows(
        "SELECT webhook_attempts.*, state, next_attempt_at FROM webhook_attempts"
        " JOIN webhook_deliveries ON webhook_deliveries.id = delivery_id WHERE endpoint_id = %s ORDER BY 1",
        endpoint_id,
    )


def test_spend_wakes_workers_that_deliver_the_signed_pause(world: World, receiver: Receiver, start: Start) -> None:
    _, secret = add(receiver, "/hook", PAUSED)
    with start():
        (campaign,) = pause(world)
        eventually(lambda: bool(receiver.received("/hook")), 120)
        (one,) = receiver.received("/hook")
        message = Webhook(secret).verify(one.body.decode(), one.headers)
        assert (message["type"], message["data"]["campaign"]["id"]) == (PAUSED, campaign)
        world.limit(20, brand=world.brand_of(campaign))
        world.spend(campaign, 10)
        eventually(lambda: len(receiver.received("/hook")) == 2, 60)


def test_each_misbehaving_receiver_is_noted_and_delays_no_other(world: World, receiver: Receiver, start: Start) -> None:
    answers = {
        "/hang": Answer(instead=receiver.hang),
        "/drip": Answer(instead=receiver.drip),
        "/redirect": Answer(302, {"Location": f"{receiver.url}/elsewhere"}),
        "/gone": Answer(410),
        "/busy": Answer(429, {"Retry-After": "3000"}),
        "/broken": Answer(500, body=b"\xff\0stack" + b"." * 100_000),
        "/good": Answer(204, body=b""),
    }
    made = {}
    for path, answer in answers.items():
        receiver.answer(path, answer)
        made[path], _ = add(receiver, path, PAUSED)
    with start():
        pause(world)
        for path in answers:
            eventually(lambda: bool(attempts(world, made[path])), 120)  # noqa: B023 - used within the turn
    found = {path: attempts(world, endpoint_id)[0] for path, endpoint_id in made.items()}
    statuses = {
        "/redirect": 302,
        "/gone": 410,
        "/busy": 429,
        "/broken": 500,
        "/good": 204,
        "/hang": None,
        "/drip": None,
    }
    assert {path: one["status"] for path, one in found.items()} == statuses
    assert all("within 15 s" in found[path]["error"] for path in ("/hang", "/drip"))
    assert receiver.received("/elsewhere") == []
    assert found["/gone"]["state"] == "failed"
    assert not world.one("SELECT enabled FROM webhook_endpoints WHERE id = %s", made["/gone"])["enabled"]
    assert found["/busy"]["next_attempt_at"] - found["/busy"]["attempted_at"] >= timedelta(seconds=3000)
    assert found["/broken"]["answer"].startswith("��stack")
    assert len(found["/broken"]["answer"]) <= 1_024
    assert (found["/good"]["state"], len(receiver.received("/good"))) == ("delivered", 1)


def test_name_with_a_private_address_is_not_reached(
    world: World, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = add(receiver, "/private", PAUSED)
    world.execute("UPDATE webhook_endpoints SET url = replace(url, '127.0.0.1', 'localhost')")
    with start(SPENDGATE_WEBHOOK_ALLOW_PRIVATE="false"):
        pause(world)
        eventually(lambda: bool(attempts(world, made)), 120)
    assert attempts(world, made)[0]["error"] == "the host has an address of a private or reserved network"
    assert receiver.received() == []


def test_hanging_endpoints_leave_worker_threads_to_all_other_work(
    world: World, receiver: Receiver, start: Start
) -> None:
    in_progress, most, lock = 0, 0, threading.Lock()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        nonlocal in_progress, most
        with lock:
            in_progress += 1
            most = max(most, in_progress)
        receiver.hang(handler)

    hanging = [add(receiver, f"/hang/{number}", PAUSED)[0] for number in range(20)]
    for number in range(20):
        receiver.answer(f"/hang/{number}", Answer(instead=hang))
    with start():
        pause(world)
        for endpoint_id in hanging:
            send("deliver", endpoint_id)
        eventually(lambda: in_progress > 0, 120)
        other = world.campaign(world.brand())
        send("ingest_spend", events=[world.event(other, 7)])
        eventually(lambda: world.spent(other) == 7, 60)
        assert most <= THREADS // THREADS_A_SLOT


def test_messages_of_one_campaign_that_fail_delay_no_other_campaign(
    world: World, receiver: Receiver, start: Start
) -> None:
    made, _ = add(receiver, "/hook", PAUSED)
    poisonous: list[int] = []

    def answer(one: Received) -> Answer:
        is_poisonous = one.message["data"]["campaign"]["id"] in poisonous
        return Answer(instead=receiver.hang) if is_poisonous else Answer()

    receiver.answer("/hook", answer)
    brand = world.brand(daily=10)
    campaigns = [world.campaign(brand) for _ in range(20)]
    poisonous.append(campaigns[0])
    with start():
        world.spend(campaigns[5], 10)
        query = "SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = %s AND state = 'delivered'"
        eventually(lambda: world.one(query, made)["count"] == 19, 120)
        eventually(lambda: bool(world.rows("SELECT FROM webhook_attempts WHERE error LIKE 'no complete%%'")), 60)
    states = world.rows("SELECT campaign_id FROM webhook_deliveries WHERE state = 'pending'")
    assert [row["campaign_id"] for row in states] == poisonous
