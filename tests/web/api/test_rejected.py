"""Rejected events over HTTP: listed, and replayed after their cause was fixed."""

from starlette.testclient import TestClient

from tests.world import UNIT, World


def test_rejected_inputs_are_listed_by_reason_and_paged(world: World, client: TestClient) -> None:
    unknown = world.event(4711, UNIT, source="bidder")
    world.ingest([{}, unknown, unknown])
    items = client.get("/api/rejected-events/").json()["items"]
    assert [item["reason"] for item in items] == ["malformed", "unknown_campaign"]
    assert items[1] | {"id": 0, "received_at": ""} == {
        "id": 0,
        "received_at": "",
        "kind": "spend_event",
        "source": "bidder",
        "reason": "unknown_campaign",
        "detail": "no campaign 4711",
        "payload": unknown,
        "times": 2,
    }
    assert client.get("/api/rejected-events/", params={"reason": "malformed"}).json()["items"] == items[:1]
    page = client.get("/api/rejected-events/", params={"limit": 1})
    assert page.json() == {"items": items[:1], "next_after": items[0]["id"]}
    assert client.get(page.links["next"]["url"]).json() == {"items": items[1:], "next_after": None}


def test_replay_counts_a_fixed_input_once_and_keeps_the_others(world: World, client: TestClient) -> None:
    world.ingest([{**world.event(0, UNIT), "campaign_id": None, "platform": "google_ads", "external_id": "7"}, {}])
    bad, mended = (item["id"] for item in client.get("/api/rejected-events/").json()["items"])
    assert client.post(f"/api/rejected-events/{mended}/replay/").json() == {"id": mended, "taken": False}
    campaign = world.campaign(world.brand(), platform="google_ads", external_id="7")
    assert client.post(f"/api/rejected-events/{mended}/replay/").json() == {"id": mended, "taken": True}
    assert world.spent(campaign) == UNIT
    again = client.post(f"/api/rejected-events/{mended}/replay/")
    assert (again.status_code, again.headers["content-type"]) == (404, "application/problem+json")
    assert client.post(f"/api/rejected-events/{bad}/replay/").json()["taken"] is False
    assert [item["id"] for item in client.get("/api/rejected-events/").json()["items"]] == [bad]
    world.verify()
