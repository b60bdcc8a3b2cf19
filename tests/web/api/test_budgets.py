"""Budgets over HTTP: limits are set, raised and removed, and each edit is enforced before its response."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.world import UNIT, World

BILLION = 10**15


def make(client: TestClient, brand: int, limit: int = 5 * UNIT, **fields: Any) -> dict[str, Any]:
    made = client.post("/api/budgets/", json={"brand_id": brand, "period": "daily", "limit_micros": limit, **fields})
    assert made.status_code == 201
    budget: dict[str, Any] = made.json()
    return budget


def test_new_budget_is_returned_with_the_spend_of_its_window(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand("Asia/Tokyo")
    campaign = world.campaign(brand)
    world.spend(campaign, 2 * UNIT)
    budget = make(client, brand, period="weekly", campaign_id=campaign)
    assert budget == {
        "id": budget["id"],
        "brand_id": brand,
        "campaign_id": campaign,
        "period": "weekly",
        "limit_micros": 5 * UNIT,
        "changed_at": at.isoformat().replace("+00:00", "Z"),
        "spent_micros": 2 * UNIT,
        "window_first_day": "2026-06-15",
        "window_end_day": "2026-06-22",
    }
    assert client.get(f"/api/budgets/{budget['id']}/").json() == budget


def test_lifetime_budget_has_no_first_and_last_day(world: World, client: TestClient) -> None:
    budget = make(client, world.brand(), period="lifetime")
    assert (budget["window_first_day"], budget["window_end_day"], budget["spent_micros"]) == (None, None, 0)


@pytest.mark.parametrize("of_campaign", [True, False])
def test_raised_limit_releases_the_campaign_and_lowered_limit_pauses_it_in_the_same_commit(
    world: World, client: TestClient, of_campaign: bool
) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    world.spend(campaign, 5 * UNIT)
    budget = make(client, brand, **({"campaign_id": campaign} if of_campaign else {}))
    assert not world.is_active(campaign)
    raised = client.patch(f"/api/budgets/{budget['id']}/", json={"limit_micros": 5 * UNIT + 1})
    assert raised.json()["limit_micros"] == 5 * UNIT + 1
    assert client.get(f"/api/campaigns/{campaign}/").json()["effective_status"] == "active"
    client.patch(f"/api/budgets/{budget['id']}/", json={"limit_micros": 0})
    assert not world.is_active(campaign)
    assert client.delete(f"/api/budgets/{budget['id']}/").status_code == 204
    assert world.is_active(campaign)
    assert client.delete(f"/api/budgets/{budget['id']}/").status_code == 404
    world.verify()


def test_a_second_budget_for_the_same_period_is_a_conflict_and_changes_nothing(
    world: World, client: TestClient
) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    budget = make(client, brand)
    make(client, brand, campaign_id=campaign)
    make(client, brand, period="weekly")
    again = {"brand_id": brand, "period": "daily", "limit_micros": 7}
    refused = client.post("/api/budgets/", json=again)
    assert (refused.status_code, str(budget["id"]) in refused.json()["detail"]) == (409, True)
    assert [error["field"] for error in refused.json()["errors"]] == ["period"]
    assert client.get(f"/api/budgets/{budget['id']}/").json()["limit_micros"] == 5 * UNIT


@pytest.mark.parametrize("limit", [-1, BILLION + 1, 1.5, 1.0, "5", True, None, 10**30])
def test_limit_that_is_not_an_integer_of_micros_is_refused(world: World, client: TestClient, limit: object) -> None:
    brand = world.brand()
    fields = {"brand_id": brand, "period": "daily", "limit_micros": limit}
    assert client.post("/api/budgets/", json=fields).status_code == 422
    budget = make(client, brand, BILLION)
    assert client.patch(f"/api/budgets/{budget['id']}/", json={"limit_micros": limit}).status_code == 422
    assert client.get(f"/api/budgets/{budget['id']}/").json()["limit_micros"] == BILLION


def test_budget_edit_changes_only_the_limit(world: World, client: TestClient) -> None:
    budget = make(client, world.brand())
    for change in ({"limit_micros": 1, "period": "weekly"}, {"campaign_id": 1}, {}):
        assert client.patch(f"/api/budgets/{budget['id']}/", json=change).status_code == 422


def test_budgets_are_found_by_brand_campaign_and_period(world: World, client: TestClient) -> None:
    first, second = world.brand(), world.brand("Asia/Kathmandu")
    campaign = world.campaign(second)
    world.spend(campaign, UNIT)
    plain, daily, weekly = (
        make(client, first),
        make(client, second, campaign_id=campaign),
        make(client, second, period="weekly"),
    )

    def found(**filters: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = client.get("/api/budgets/", params=filters).json()["items"]
        return items

    assert found() == [plain, daily, weekly]
    assert found(brand_id=second) == [daily, weekly]
    assert found(campaign_id=campaign) == [daily]
    assert found(period="weekly") == [weekly]
    assert [budget["spent_micros"] for budget in found()] == [0, UNIT, UNIT]
    assert found(limit=1, after=plain["id"]) == [daily]


def test_a_brand_whose_zone_does_not_exist_does_not_hide_the_budgets_of_others(
    world: World, client: TestClient
) -> None:
    lost = make(client, world.brand("Asia/Tokyo"))
    kept = make(client, world.brand())
    world.execute("ALTER TABLE brands DROP CONSTRAINT ck_brands_time_zone_known")
    world.execute("UPDATE brands SET time_zone = 'Mars/Olympus' WHERE id = %s", lost["brand_id"])
    items = client.get("/api/budgets/").json()["items"]
    assert [item["id"] for item in items] == [lost["id"], kept["id"]]
    assert [item["spent_micros"] for item in items] == [None, 0]
