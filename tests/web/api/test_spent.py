"""Spend queries over HTTP, by the brand's local days."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.world import UNIT, World


@pytest.fixture
def spent(world: World) -> World:
    """Brand 1 in Tokyo, where the local day is already the 18th, with campaigns 1 and 2, and 3 without spend."""
    world.set_clock("2026-06-17T18:00:00Z")
    brand = world.brand("Asia/Tokyo", currency="JPY")
    first, second, _ = (world.campaign(brand, name=name) for name in ("First", "Second", "Third"))
    world.spend(first, UNIT, "2026-05-31T14:59:59Z")
    world.spend(first, 2 * UNIT, "2026-05-31T15:00:00Z")
    world.spend(first, 3 * UNIT)
    world.spend(second, 4 * UNIT)
    return world


def test_spend_is_listed_by_day_up_to_the_brands_today(spent: World, client: TestClient) -> None:
    shown = client.get("/api/spend/", params={"brand_id": 1}).json()
    assert shown == {
        "brand_id": 1,
        "campaign_id": None,
        "currency": "JPY",
        "first_day": "2026-05-20",
        "last_day": "2026-06-18",
        "spent_micros": 10 * UNIT,
        "items": [
            {"day": "2026-05-31", "spent_micros": UNIT},
            {"day": "2026-06-01", "spent_micros": 2 * UNIT},
            {"day": "2026-06-18", "spent_micros": 7 * UNIT},
        ],
        "next_after": None,
    }


def test_spend_query_includes_both_days(spent: World, client: TestClient) -> None:
    def total(first: str, last: str) -> int:
        params: dict[str, Any] = {"brand_id": 1, "from": first, "to": last}
        return int(client.get("/api/spend/", params=params).json()["spent_micros"])

    assert total("2026-05-31", "2026-05-31") == UNIT
    assert total("2026-06-01", "2026-06-17") == 2 * UNIT
    assert total("2026-06-01", "2026-06-18") == 9 * UNIT
    assert total("2026-06-02", "2026-06-17") == 0


def test_spend_is_listed_by_month_campaign_and_total(spent: World, client: TestClient) -> None:
    def items(**more: Any) -> object:
        return client.get("/api/spend/", params={"brand_id": 1, **more}).json()["items"]

    assert items(by="month") == [
        {"month": "2026-05", "spent_micros": UNIT},
        {"month": "2026-06", "spent_micros": 9 * UNIT},
    ]
    assert items(by="campaign") == [
        {"campaign_id": 1, "name": "First", "spent_micros": 6 * UNIT},
        {"campaign_id": 2, "name": "Second", "spent_micros": 4 * UNIT},
    ]
    assert items(by="campaign", campaign_id=2) == [{"campaign_id": 2, "name": "Second", "spent_micros": 4 * UNIT}]
    assert items(by="total") == [{"total": True, "spent_micros": 10 * UNIT}]
    assert items(by="total", campaign_id=3) == [{"total": True, "spent_micros": 0}]
    assert items(by="month", campaign_id=3) == items(by="campaign", campaign_id=3) == []


def test_spend_by_campaign_is_paged_and_its_sum_covers_all_pages(spent: World, client: TestClient) -> None:
    answer = client.get("/api/spend/", params={"brand_id": 1, "by": "campaign", "limit": 1})
    page = answer.json()
    assert ([item["campaign_id"] for item in page["items"]], page["next_after"]) == ([1], 1)
    last = client.get(answer.links["next"]["url"]).json()
    assert ([item["campaign_id"] for item in last["items"]], last["next_after"]) == ([2], None)
    assert page["spent_micros"] == last["spent_micros"] == 10 * UNIT


def test_spend_query_by_campaign_uses_its_brand(spent: World, client: TestClient) -> None:
    shown = client.get("/api/spend/", params={"campaign_id": 2}).json()
    assert (shown["brand_id"], shown["campaign_id"], shown["spent_micros"]) == (1, 2, 4 * UNIT)


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [
        ({}, 422, "brand_id"),
        ({"brand_id": 2}, 404, "brand_id"),
        ({"campaign_id": 9}, 404, "campaign_id"),
        ({"brand_id": 1, "from": "2026-06-02", "to": "2026-06-01"}, 422, "from"),
        ({"brand_id": 1, "from": "2025-05-14", "to": "2026-06-18"}, 422, "from"),
        ({"brand_id": 1, "from": "1990-01-01", "to": "2199-12-31"}, 422, "from"),
        ({"brand_id": 1, "from": "yesterday"}, 422, "from"),
        ({"brand_id": 1, "to": "1990-01-01"}, 200, None),
        ({"brand_id": 1, "from": "2199-12-31"}, 422, "from"),
        ({"brand_id": 1, "from": "2025-05-15", "to": "2026-06-18"}, 200, None),
        ({"brand_id": 1, "by": "hour"}, 422, "by"),
    ],
)
def test_unanswerable_spend_query_is_refused_with_its_field(
    spent: World, client: TestClient, params: dict[str, Any], status: int, field: str | None
) -> None:
    answer = client.get("/api/spend/", params=params)
    assert answer.status_code == status
    if field:
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]


def test_a_campaign_of_another_brand_is_refused(spent: World, client: TestClient) -> None:
    other = spent.brand()
    answer = client.get("/api/spend/", params={"brand_id": other, "campaign_id": 1})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "campaign_id")


def test_spend_is_read_from_the_counters_alone(spent: World, client: TestClient) -> None:
    spent.execute("ALTER TABLE spend_events RENAME TO hidden_events")
    for by in ("day", "month", "campaign", "total"):
        assert client.get("/api/spend/", params={"brand_id": 1, "by": by}).json()["spent_micros"] == 10 * UNIT
