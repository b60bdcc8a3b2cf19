"""Status changes over HTTP: every toggle, in commit order."""

from typing import Any

from starlette.testclient import TestClient

from tests.world import UNIT, World


def test_toggles_are_told_oldest_first_and_from_where_one_left_off(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(daily=5 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 5 * UNIT)
    (paused,) = client.get("/api/status-changes/").json()["items"]
    assert paused == {
        "id": paused["id"],
        "brand_id": brand,
        "campaign_id": campaign,
        "changed_at": at.isoformat().replace("+00:00", "Z"),
        "from_status": "active",
        "to_status": "inactive",
        "holds_before": [],
        "holds_after": ["brand_daily_budget"],
        "cause": "spend",
        "details": {
            "day": "2026-06-17",
            "budgets": {"brand_daily_budget": {"spent_micros": 5 * UNIT, "limit_micros": 5 * UNIT}},
        },
    }
    world.spend(campaign, -UNIT)
    (activated,) = client.get("/api/status-changes/", params={"after": paused["id"]}).json()["items"]
    assert (activated["to_status"], activated["holds_before"]) == ("active", ["brand_daily_budget"])
    assert client.get("/api/status-changes/", params={"after": activated["id"]}).json() == {
        "items": [],
        "next_after": None,
    }


def test_toggles_of_one_brand_or_campaign_and_page_by_page(world: World, client: TestClient) -> None:
    first, second = (world.campaign(world.brand()) for _ in range(2))
    for campaign in (first, second, first):
        world.set_status(campaign, "paused")
        world.set_status(campaign, "enabled")

    def campaigns(**filters: Any) -> list[int]:
        found = client.get("/api/status-changes/", params=filters).json()["items"]
        return [change["campaign_id"] for change in found]

    assert campaigns() == [first, first, second, second, first, first]
    assert campaigns(campaign_id=second) == campaigns(brand_id=world.brand_of(second)) == [second, second]
    page = client.get("/api/status-changes/", params={"limit": 4})
    assert page.json()["next_after"] == page.json()["items"][-1]["id"]
    assert len(client.get(page.links["next"]["url"]).json()["items"]) == 2
