"""Webhook endpoints over HTTP: scopes, brands, secrets shown once, tests, attempts and messages sent again."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from app.notices import runs
from domain.access import KeyScope
from tests.receivers.fixtures import local_webhooks, receiver
from tests.receivers.server import Answer, Receiver
from tests.web.api.conftest import Program
from tests.world import World

__all__ = ["local_webhooks", "receiver"]


def add(client: TestClient, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    """Adds an endpoint and returns the answer's body."""
    made = client.post("/api/webhooks/", json={"url": f"{receiver.url}/hook", **fields})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    assert made.headers["Location"] == f"/api/webhooks/{body['id']}/"
    return body


def test_endpoint_is_made_read_changed_and_removed_and_its_secret_is_shown_once(
    world: World, client: TestClient, receiver: Receiver
) -> None:
    made = add(client, receiver, types=["campaign.paused"], description="Ad server")
    secret = made.pop("secret")
    path = f"/api/webhooks/{made['id']}/"
    assert client.get(path).json() == made
    assert client.get("/api/webhooks/").json()["items"] == [made]
    changed = client.patch(path, json={"types": ["report.ready"], "enabled": False}).json()
    assert (changed["types"], changed["disabled_because"]) == (["report.ready"], "a person disabled it")
    rotated = client.post(f"{path}rotate/").json()["secret"]
    assert rotated != secret
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    entries = world.rows("SELECT changed_by, action, old, new FROM audit_entries WHERE subject = 'webhook' ORDER BY id")
    assert [entry["action"] for entry in entries] == ["create", "edit", "rotate", "remove"]
    assert not any(one in str(entries) for one in (secret, rotated))
    assert all(entry["changed_by"].startswith("key:") for entry in entries)


def test_key_of_one_brand_sees_and_makes_only_endpoints_of_that_brand(
    world: World, program: Program, receiver: Receiver
) -> None:
    mine, other = world.brand(), world.brand()
    everything = add(program(), receiver)
    limited = program(brand=mine)
    made = add(limited, receiver)
    assert made["brand_id"] == mine
    assert [one["id"] for one in limited.get("/api/webhooks/").json()["items"]] == [made["id"]]
    assert limited.post("/api/webhooks/", json={"url": receiver.url, "brand_id": other}).status_code == 404
    for method, path in (
        *(("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "rotate/"), ("POST", "test/")),
        *(("GET", "deliveries/"), ("GET", "attempts/")),
    ):
        body = {"enabled": False} if method == "PATCH" else None
        assert limited.request(method, f"/api/webhooks/{everything['id']}/{path}", json=body).status_code == 404
    resend = {"since_change_id": 0}
    assert limited.post(f"/api/webhooks/{everything['id']}/resend/", json=resend).status_code == 404


def test_test_message_shows_the_answer_and_messages_are_sent_again(
    world: World, client: TestClient, receiver: Receiver
) -> None:
    path = f"/api/webhooks/{add(client, receiver)['id']}/"
    receiver.answer("/hook", Answer(503, body=b"later"))
    tested = client.post(f"{path}test/").json()
    assert (tested["status"], tested["answer"], tested["error"]) == (503, "later", "answered 503")
    receiver.answer("/hook", Answer())
    campaign = world.campaign(world.brand())
    world.set_status(campaign, "paused")
    runs.deliver(int(path.split("/")[3]))
    delivered = client.get(f"{path}deliveries/?state=delivered").json()
    assert [one["campaign_id"] for one in delivered] == [campaign]
    attempts = client.get(f"{path}attempts/").json()
    assert [(one["type"], one["status"]) for one in attempts] == [("campaign.paused", 200), ("endpoint.test", 503)]
    assert client.post(f"{path}resend/", json={"since_change_id": 0}).json() == {"messages": 1}
    assert client.post(f"{path}resend/", json={"first_delivery_id": delivered[0]["id"]}).json() == {"messages": 1}
    assert client.post(f"{path}resend/", json={}).status_code == 422


@pytest.mark.parametrize("fields", [{"types": ["never"]}, {"url": "https://me:pw@example.com/"}, {"url": ""}])
def test_wrong_endpoint_is_refused(client: TestClient, receiver: Receiver, fields: dict[str, Any]) -> None:
    assert client.post("/api/webhooks/", json={"url": receiver.url, **fields}).status_code == 422


def test_reader_may_not_manage_endpoints(program: Program, receiver: Receiver) -> None:
    assert program(KeyScope.READ).post("/api/webhooks/", json={"url": receiver.url}).status_code == 403
