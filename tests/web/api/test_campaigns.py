"""Campaigns over HTTP: created, edited, enforced at once, and explained."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from app.explanations import explained
from db.engine import snapshot
from runtime import clock
from tests.world import UNIT, World


def test_a_campaign_is_made_read_edited_and_archived(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    wanted = {
        "brand_id": world.brand(),
        "name": "Brand search",
        "platform": "google_ads",
        "external_id": "77",
        "starts_on": "2026-06-01",
        "ends_on": "2026-06-17",
    }
    made = client.post("/api/campaigns/", json=wanted)
    assert made.status_code == 201
    campaign = made.json()
    assert campaign == {
        **wanted,
        "id": campaign["id"],
        "account": None,
        "on_platform": None,
        "configured_status": "enabled",
        "effective_status": "active",
        "holds": [],
        "next_change_at": "2026-06-18T00:00:00Z",
        "created_at": at.isoformat().replace("+00:00", "Z"),
    }
    here = made.headers["Location"]
    assert client.get(here).headers["ETag"] == made.headers["ETag"]
    edited = client.patch(here, json={"platform": None, "external_id": None, "ends_on": "2026-06-16"}).json()
    assert (edited["platform"], edited["external_id"]) == (None, None)
    assert (edited["effective_status"], edited["holds"]) == ("inactive", ["flight_ended"])
    for _ in range(2):
        archived = client.delete(here)
        assert (archived.status_code, archived.json()["holds"]) == (200, ["archived", "flight_ended"])
    world.verify()


def test_a_campaign_made_under_a_spent_budget_is_held_in_the_same_answer(world: World, client: TestClient) -> None:
    brand = world.brand(daily=0)
    made = client.post("/api/campaigns/", json={"brand_id": brand, "name": "Late"}).json()
    assert (made["effective_status"], made["holds"]) == ("inactive", ["brand_daily_budget"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "\0"),
        ("platform", "a\0b"),
        ("platform", ""),
        ("external_id", "\x1b[1m"),
        ("external_id", "x" * 201),
        ("starts_on", "2026-02-30"),
        ("starts_on", "20260601"),
        ("starts_on", 0),
        ("starts_on", "1989-12-31"),
        ("ends_on", "2200-01-01"),
        ("ends_on", "2026-05-31"),
        ("brand_id", "1"),
        ("brand_id", True),
        ("brand_id", 1.0),
        ("brand_id", 2**63),
        ("effective_status", "active"),
    ],
)
def test_a_campaign_with_a_bad_field_is_refused_by_the_field(
    world: World, client: TestClient, field: str, value: object
) -> None:
    good = {"brand_id": world.brand(), "name": "Good", "starts_on": "2026-06-01"}
    refused = client.post("/api/campaigns/", json={**good, field: value})
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == [field]
    assert world.rows("SELECT 1 FROM campaigns") == []


def test_platform_and_external_id_name_one_campaign(world: World, client: TestClient) -> None:
    brand = world.brand()
    world.campaign(brand, platform="google_ads", external_id="77")
    other = world.campaign(brand)
    known = {"platform": "google_ads", "external_id": "77"}
    for refused in (
        client.post("/api/campaigns/", json={"brand_id": brand, "name": "Twin", **known}),
        client.patch(f"/api/campaigns/{other}/", json=known),
    ):
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "external_id")


def test_a_campaign_stays_with_its_brand(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    refused = client.patch(f"/api/campaigns/{campaign}/", json={"brand_id": world.brand()})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "brand_id")


def test_campaigns_are_found_by_each_filter(world: World, client: TestClient) -> None:
    first, second = world.brand(), world.brand(daily=0)
    free = world.campaign(first, name="Brand search", platform="google_ads", external_id="7")
    held = world.campaign(second, name="Retargeting")
    paused = world.campaign(second, name="Brand 50%")
    world.set_status(paused, "paused")

    def found(**filters: Any) -> list[int]:
        return [campaign["id"] for campaign in client.get("/api/campaigns/", params=filters).json()["items"]]

    assert found() == [free, held, paused]
    assert found(brand_id=second) == [held, paused]
    assert found(effective_status="active") == [free]
    assert found(configured_status="paused") == found(hold="user_paused") == [paused]
    assert found(hold="brand_daily_budget") == [held, paused]
    assert found(platform="google_ads") == found(platform="google_ads", external_id="7") == [free]
    assert found(name_contains="brand") == [free, paused]
    assert found(name_contains="50%") == [paused]
    assert found(brand_id=first, hold="user_paused") == found(external_id="8") == []
    for bad in ({"hold": "x"}, {"effective_status": "x"}, {"brand_id": 0}, {"name_contains": "\0"}, {"limit": 501}):
        assert client.get("/api/campaigns/", params=bad).status_code == 422


def test_list_is_read_page_by_page_to_its_end(world: World, client: TestClient) -> None:
    brand = world.brand()
    made = [world.campaign(brand) for _ in range(5)]
    world.campaign(world.brand())
    seen, url = [], f"/api/campaigns/?limit=2&brand_id={brand}&name_contains=camp"
    pages = 0
    while url:
        answer = client.get(url)
        page = answer.json()
        seen += [campaign["id"] for campaign in page["items"]]
        pages += 1
        assert len(page["items"]) <= 2
        if page["next_after"] is None:
            assert "Link" not in answer.headers
        else:
            assert f"after={page['next_after']}" in answer.links["next"]["url"]
        url = answer.links.get("next", {}).get("url", "")
    assert (seen, pages) == (made, 3)


def test_a_full_last_page_has_no_next(world: World, client: TestClient) -> None:
    brand = world.brand()
    for _ in range(2):
        world.campaign(brand)
    assert client.get("/api/campaigns/?limit=2").json()["next_after"] is None


def test_a_held_campaign_is_explained_with_figures_and_when_it_serves_again(world: World, client: TestClient) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand("America/New_York", daily=10 * UNIT)
    campaign = world.campaign(brand, lifetime=11 * UNIT)
    world.spend(campaign, 10 * UNIT)
    shown = client.get(f"/api/campaigns/{campaign}/explain/").json()
    assert (shown["effective_status"], shown["stored_status"]) == ("inactive", "inactive")
    assert shown["serves_at"] == "2026-06-18T04:00:00Z"
    assert shown["holds"] == [
        {
            "hold": "brand_daily_budget",
            "because": "the brand's daily budget is spent",
            "lifts_at": "2026-06-18T04:00:00Z",
            "spent_micros": 10 * UNIT,
            "limit_micros": 10 * UNIT,
            "window_first_day": "2026-06-17",
            "window_end_day": "2026-06-18",
        }
    ]
    world.spend(campaign, UNIT)
    shown = client.get(f"/api/campaigns/{campaign}/explain/").json()
    assert shown["serves_at"] is None
    lifetime = shown["holds"][1]
    assert (lifetime["hold"], lifetime["lifts_at"]) == ("campaign_lifetime_budget", None)
    assert (lifetime["window_first_day"], lifetime["window_end_day"]) == (None, None)


def test_api_leaves_out_no_field_of_an_explanation(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand(daily=UNIT))
    world.spend(campaign, UNIT)
    with snapshot() as connection:
        fields = explained(connection, campaign, clock.now()).fields()
    shown = client.get(f"/api/campaigns/{campaign}/explain/").json()
    assert shown.keys() == fields.keys()
    assert shown["holds"][0].keys() == fields["holds"][0].keys()


def test_an_active_campaign_serves_now(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    shown = client.get(f"/api/campaigns/{campaign}/explain/").json()
    assert shown["holds"] == []
    assert shown["at"] == shown["serves_at"] == at.isoformat().replace("+00:00", "Z")
