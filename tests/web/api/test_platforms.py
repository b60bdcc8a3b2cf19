"""One platform under all its spellings: every way in finds the same campaign and answers with the canonical name."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from app.ingest.count import count_totals
from app.ingest.ingest import count_totals_now
from tests.world import UNIT, World

SPELLINGS = ("google_ads", "google", "Google", "Google Ads", "adwords", "GOOGLE-ADS", " google ")


@pytest.fixture
def campaign(world: World, client: TestClient) -> dict[str, Any]:
    world.set_clock("2026-06-17T12:00:00Z")
    wanted = {"brand_id": world.brand(), "name": "Search", "platform": "AdWords", "external_id": "77"}
    made: dict[str, Any] = client.post("/api/campaigns/", json=wanted).json()
    assert made["platform"] == "google_ads"
    return made


def test_spend_of_every_spelling_counts_for_one_campaign(
    world: World, client: TestClient, campaign: dict[str, Any]
) -> None:
    for spelling in SPELLINGS:
        event = world.event(campaign["id"], UNIT, platform=spelling, external_id="77")
        world.ingest([{name: value for name, value in event.items() if name != "campaign_id"}])
    assert world.spent(campaign["id"]) == len(SPELLINGS) * UNIT
    assert not world.rejected()


def test_totals_of_every_spelling_are_of_one_campaign(
    world: World, client: TestClient, campaign: dict[str, Any]
) -> None:
    for number, spelling in enumerate(SPELLINGS, start=1):
        total = {"source": "s", "platform": spelling, "external_id": "77", "day": "2026-06-17"}
        figure = {"total_micros": number * UNIT, "as_of": f"2026-06-17T10:00:0{number}Z"}
        count_totals_now([total | figure], count_totals)
    assert world.spent(campaign["id"]) == len(SPELLINGS) * UNIT
    assert not world.rejected()


def test_every_spelling_filters_and_edits(client: TestClient, campaign: dict[str, Any]) -> None:
    here = f"/api/campaigns/{campaign['id']}/"
    for spelling in SPELLINGS:
        listed = client.get("/api/campaigns/", params={"platform": spelling, "external_id": "77"}).json()
        assert [one["id"] for one in listed["items"]] == [campaign["id"]]
        etag = client.get(here).headers["ETag"]
        patched = client.patch(here, json={"platform": spelling})
        assert (patched.json()["platform"], patched.headers["ETag"]) == ("google_ads", etag)


def test_no_spelling_makes_a_second_campaign(client: TestClient, campaign: dict[str, Any]) -> None:
    for spelling in SPELLINGS:
        wanted = {"brand_id": campaign["brand_id"], "name": "Again", "platform": spelling, "external_id": "77"}
        refused = client.post("/api/campaigns/", json=wanted)
        assert refused.status_code == 422, refused.text


def test_an_account_has_one_platform_in_every_spelling(client: TestClient, campaign: dict[str, Any]) -> None:
    wanted = {"account_id": "555", "brand_ids": [campaign["brand_id"]]}
    made = client.post("/api/platform-accounts/", json=wanted | {"platform": "Google"}).json()
    assert made["platform"] == "google_ads"
    for spelling in SPELLINGS:
        assert client.post("/api/platform-accounts/", json=wanted | {"platform": spelling}).status_code == 422
    second = {
        "brand_id": campaign["brand_id"],
        "name": "B",
        "platform": "google",
        "external_id": "78",
        "account": "555",
    }
    assert client.post("/api/campaigns/", json=second).json()["account"] == "555"


def test_an_unknown_platform_is_stored_in_lower_case(world: World, client: TestClient) -> None:
    wanted = {"brand_id": world.brand(), "name": "Own", "platform": " MyDSP ", "external_id": "1"}
    assert client.post("/api/campaigns/", json=wanted).json()["platform"] == "mydsp"
    assert client.post("/api/campaigns/", json=wanted | {"platform": "  "}).status_code == 422
