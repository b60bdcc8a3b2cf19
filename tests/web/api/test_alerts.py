"""`/api/alerts/`: read, acknowledge and mute, within the brand of the key."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from app.alerts.evaluate import evaluate
from domain.access import KeyScope
from runtime import clock
from tests.cli.shell import shell
from tests.world import World

Program = Callable[..., TestClient]
UNIT = 1_000_000


@pytest.fixture
def brands(world: World) -> tuple[int, int]:
    """Two brands, each with one open alert of the id of the brand."""
    found = []
    for name in ("Hudson", "Other"):
        brand = world.brand(name=name, daily=100 * UNIT)
        world.spend(world.campaign(brand), 80 * UNIT)
        found.append(brand)
        evaluate()
    return found[0], found[1]


def test_alerts_are_listed_by_filters_and_paged_by_cursor(brands: tuple[int, int], client: TestClient) -> None:
    items = client.get("/api/alerts/").json()["items"]
    assert [item["brand_id"] for item in items] == list(brands)
    assert items[0]["sentence"] == "Hudson has spent 80 % of today's budget: $80.00 of $100.00."
    assert items[0]["figures"] == {"period": "daily", "spent_micros": 80 * UNIT, "limit_micros": 100 * UNIT}
    page = client.get("/api/alerts/", params={"limit": 1})
    second = client.get(page.links["next"]["url"]).json()
    assert second == {"items": items[1:], "next_after": None, "epoch": page.json()["epoch"]}
    for name, value, found in (
        ("brand_id", brands[1], items[1:]),
        ("kind", "budget_threshold", items),
        ("kind", "overspend", []),
        ("state", "resolved", []),
    ):
        assert client.get("/api/alerts/", params={name: value}).json()["items"] == found
    assert client.get(f"/api/alerts/{items[1]['id']}/").json() == items[1]


def test_follower_of_alerts_with_an_old_epoch_gets_410(
    world: World, brands: tuple[int, int], client: TestClient
) -> None:
    page = client.get("/api/alerts/", params={"limit": 1}).json()
    followed = {"after": page["next_after"], "epoch": page["epoch"]}
    assert client.get("/api/alerts/", params=followed).status_code == 200
    assert shell("new-epoch", env={"DATABASE_URL": world.url}).code == 0
    gone = client.get("/api/alerts/", params=followed)
    assert (gone.status_code, gone.json()["errors"][0]["field"]) == (410, "epoch")


def test_acknowledgement_is_stored_once_audited_and_taken_back(
    world: World, brands: tuple[int, int], client: TestClient
) -> None:
    for _ in range(2):
        assert client.post("/api/alerts/1/acknowledge/").json()["acknowledged_by"] == "key:bidder"
    assert client.delete("/api/alerts/1/acknowledge/").json()["acknowledged_by"] is None
    audited = world.rows("SELECT changed_by, old, new FROM audit_entries WHERE subject = 'alert' ORDER BY id")
    by, nobody = {"acknowledged_by": "key:bidder"}, {"acknowledged_by": None}
    assert [(row["old"], row["new"]) for row in audited] == [(nobody, by), (by, nobody)]


def test_muted_alert_says_until_when_and_the_mute_can_be_ended(brands: tuple[int, int], client: TestClient) -> None:
    until = (clock.now() + timedelta(hours=8)).isoformat()
    made = client.post("/api/alerts/mutes/", json={"alert_id": 1, "until": until})
    assert made.status_code == 201
    assert client.get("/api/alerts/1/").json()["muted_until"] is not None
    assert client.get("/api/alerts/2/").json()["muted_until"] is None
    (listed,) = client.get("/api/alerts/mutes/").json()["items"]
    assert listed == made.json() | {"muted_at": listed["muted_at"], "until": listed["until"]}
    assert client.delete(f"/api/alerts/mutes/{listed['id']}/").status_code == 204
    assert client.get("/api/alerts/1/").json()["muted_until"] is None
    assert client.delete(f"/api/alerts/mutes/{listed['id']}/").status_code == 404


def test_mute_without_a_zone_in_the_past_or_of_an_unknown_channel_is_refused(
    brands: tuple[int, int], client: TestClient
) -> None:
    later = (clock.now() + timedelta(hours=8)).isoformat()
    for body, status in (
        ({"until": "2030-01-01T00:00:00"}, 422),
        ({"until": "2020-01-01T00:00:00Z"}, 422),
        ({"until": later, "channel_id": 9}, 404),
        ({"until": later, "kind": "nonsense"}, 422),
        ({"until": later, "alert_id": 1, "brand_id": brands[1]}, 422),
    ):
        assert client.post("/api/alerts/mutes/", json=body).status_code == status


def test_key_of_one_brand_sees_and_changes_that_brands_alerts_only(brands: tuple[int, int], program: Program) -> None:
    own = program(brand=brands[0], name="own")
    until = (clock.now() + timedelta(hours=8)).isoformat()
    assert [item["brand_id"] for item in own.get("/api/alerts/").json()["items"]] == [brands[0]]
    assert own.get("/api/alerts/2/").status_code == 404
    assert own.post("/api/alerts/2/acknowledge/").status_code == 404
    assert own.post("/api/alerts/mutes/", json={"until": until}).status_code == 403
    assert own.post("/api/alerts/mutes/", json={"until": until, "alert_id": 2}).status_code == 404
    assert own.post("/api/alerts/mutes/", json={"until": until, "brand_id": brands[1]}).status_code == 403
    assert own.post("/api/alerts/mutes/", json={"until": until, "brand_id": brands[0]}).status_code == 201
    others = program(name="all").post("/api/alerts/mutes/", json={"until": until, "brand_id": brands[1]}).json()
    assert len(own.get("/api/alerts/mutes/").json()["items"]) == 1
    assert own.delete(f"/api/alerts/mutes/{others['id']}/").status_code == 404


def test_key_that_only_reads_may_not_acknowledge(brands: tuple[int, int], program: Program) -> None:
    reader = program(KeyScope.READ)
    assert reader.get("/api/alerts/1/").status_code == 200
    assert reader.post("/api/alerts/1/acknowledge/").status_code == 403
