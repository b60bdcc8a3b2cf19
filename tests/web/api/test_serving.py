"""The serving feed over HTTP: who may serve, with exact headroom, by ETag, long poll and brand."""

from starlette.testclient import TestClient

from domain.access import KeyScope
from tests.web.api.conftest import Program
from tests.world import UNIT, World


def test_feed_lists_active_campaigns_with_platform_change_and_headroom(world: World, client: TestClient) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(daily=100 * UNIT, monthly=50 * UNIT)
    campaign = world.campaign(
        brand, platform="google", external_id="77", lifetime=30 * UNIT, schedule="Mon-Sun 09:00-17:00"
    )
    world.spend(campaign, 7 * UNIT + 1)
    paused = world.campaign(brand)
    world.set_status(paused, "paused")
    answer = client.get("/api/serving/")
    assert answer.json()["campaigns"] == [
        {
            "campaign_id": campaign,
            "brand_id": brand,
            "platform": "google_ads",
            "external_id": "77",
            "account": None,
            "change_id": None,
            "next_change_at": "2026-06-17T17:00:00+00:00",
            "headroom_micros": 23 * UNIT - 1,
        }
    ]
    assert answer.headers["ETag"] == f'"{answer.json()["snapshot_id"]}"'
    assert answer.headers["Content-Encoding"] == "gzip"


def test_feed_of_a_brands_key_has_that_brand_alone(world: World, program: Program) -> None:
    mine, other = world.brand(), world.brand()
    campaigns = {brand: world.campaign(brand) for brand in (mine, other)}
    client = program(KeyScope.READ, brand=mine)
    assert [one["campaign_id"] for one in client.get("/api/serving/").json()["campaigns"]] == [campaigns[mine]]
    assert client.get("/api/serving/", params={"brand_id": other}).status_code == 404
