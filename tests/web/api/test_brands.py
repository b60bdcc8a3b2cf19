"""Brands over HTTP."""

import pytest
from starlette.testclient import TestClient

from tests.web.api.conftest import Program
from tests.world import UNIT, World

HOSTILE = ("", " ", "nul\0", "bell\a", "line\nbreak", "x" * 201, None, 7, ["x"])


def test_a_brand_is_made_read_edited_and_archived(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    wanted = {"name": "Hudson Shoes", "time_zone": "America/New_York", "currency": "EUR"}
    made = client.post("/api/brands/", json=wanted)
    assert made.status_code == 201
    brand = made.json()
    assert brand == {
        **wanted,
        "id": brand["id"],
        "configured_status": "enabled",
        "created_at": at.isoformat().replace("+00:00", "Z"),
        "enforcement": None,
    }
    assert made.headers["Location"] == f"/api/brands/{brand['id']}/"
    read = client.get(made.headers["Location"])
    assert (read.json(), read.headers["ETag"]) == (brand, made.headers["ETag"])
    edited = client.patch(made.headers["Location"], json={"name": "Hudson"})
    assert edited.json() == {**brand, "name": "Hudson"}
    for _ in range(2):
        archived = client.delete(made.headers["Location"])
        assert (archived.status_code, archived.json()["configured_status"]) == (200, "archived")
    assert client.get("/api/brands/").json()["items"] == [archived.json()]


def test_brand_defaults_to_utc_and_usd(client: TestClient) -> None:
    brand = client.post("/api/brands/", json={"name": "Plain"}).json()
    assert (brand["time_zone"], brand["currency"]) == ("UTC", "USD")
    assert brand["notice"] == "UTC and USD by default; the first spend fixes the brand's time zone and currency"
    assert "notice" not in client.get(f"/api/brands/{brand['id']}/").json()


def test_a_correction_counts_the_brands_days_anew(world: World, program: Program) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand("UTC", daily=UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, UNIT, "2026-06-17T01:00:00Z")
    path, client = f"/api/brands/{brand}/correct/", program()
    zone = {"time_zone": "America/New_York"}
    assert program(brand=brand).post(path, json=zone).status_code == 403
    assert client.post(f"/api/brands/{brand + 1}/correct/", json=zone).status_code == 404
    assert client.post(path, json={"time_zone": "Mars/Olympus"}).status_code == 422
    dry = client.post(path, json=zone | {"dry_run": True}).json()
    assert (dry["starts"], dry["days"][0]["day"], dry["dry_run"]) == ([campaign], "2026-06-16", True)
    assert client.get(f"/api/brands/{brand}/").json()["time_zone"] == "UTC"
    assert client.post(path, json=zone).json() == dry | {"dry_run": False}
    assert client.get(f"/api/brands/{brand}/").json()["time_zone"] == "America/New_York"
    world.verify()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", name) for name in HOSTILE),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", "localtime"),
        ("time_zone", "posixrules"),
        ("time_zone", "posix/Europe/Berlin"),
        ("time_zone", "right/UTC"),
        ("time_zone", "a\0b"),
        ("currency", "usd"),
        ("currency", "XYZ"),
        ("currency", "DOLLARS"),
        ("id", 7),
        ("configured_status", "archived"),
    ],
)
def test_a_brand_with_a_bad_field_is_refused_by_the_field(
    world: World, client: TestClient, field: str, value: object
) -> None:
    refused = client.post("/api/brands/", json={"name": "Good", field: value})
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == [field]
    assert world.rows("SELECT 1 FROM brands") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", name) for name in HOSTILE),
        ("configured_status", "deleted"),
        ("configured_status", None),
        ("time_zone", None),
        ("currency", "usd"),
        ("created_at", "2026-01-01T00:00:00Z"),
    ],
)
def test_an_edit_with_a_bad_field_changes_nothing(world: World, client: TestClient, field: str, value: object) -> None:
    brand = world.brand()
    before = world.one("SELECT * FROM brands")
    refused = client.patch(f"/api/brands/{brand}/", json={field: value})
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == [field]
    assert world.one("SELECT * FROM brands") == before


def test_zone_and_currency_are_fixed_by_the_first_spend(world: World, client: TestClient) -> None:
    brand = world.brand()
    assert client.patch(f"/api/brands/{brand}/", json={"currency": "EUR"}).json()["currency"] == "EUR"
    world.spend(world.campaign(brand), UNIT)
    for change in ({"time_zone": "Asia/Tokyo"}, {"currency": "USD"}):
        refused = client.patch(f"/api/brands/{brand}/", json=change)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, next(iter(change)))
    assert client.patch(f"/api/brands/{brand}/", json={"currency": "EUR"}).status_code == 200


def test_archived_brand_stops_its_campaigns_until_it_is_enabled(world: World, client: TestClient) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    client.delete(f"/api/brands/{brand}/")
    assert world.holds(campaign) == {"brand_paused"}
    client.patch(f"/api/brands/{brand}/", json={"configured_status": "enabled"})
    assert world.is_active(campaign)


def test_an_empty_edit_changes_nothing_and_is_not_audited(world: World, client: TestClient) -> None:
    brand = world.brand()
    audited = len(world.rows("SELECT 1 FROM audit_entries"))
    assert client.patch(f"/api/brands/{brand}/", json={}).json()["name"] == "Brand"
    assert client.patch(f"/api/brands/{brand}/", json={"name": "Brand"}).status_code == 200
    assert len(world.rows("SELECT 1 FROM audit_entries")) == audited


def test_brands_are_found_by_status_zone_and_part_of_the_name(world: World, client: TestClient) -> None:
    east = world.brand("Asia/Tokyo", name="100% Cotton_Club")
    world.brand(name="100 Cottons")
    client.patch(f"/api/brands/{east}/", json={"configured_status": "paused"})

    def found(**filters: str) -> list[int]:
        return [brand["id"] for brand in client.get("/api/brands/", params=filters).json()["items"]]

    assert found(time_zone="Asia/Tokyo") == found(configured_status="paused") == [east]
    assert found(name_contains="100%") == found(name_contains="N_C") == found(name_contains="cotton_") == [east]
    assert len(found(name_contains="COTTON")) == 2
    assert found(name_contains="\\") == found(time_zone="Asia/Seoul") == []


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "x", str(2**63), "9" * 5000, "%00"])
def test_id_out_of_range_is_refused(client: TestClient, number: str) -> None:
    assert client.get(f"/api/brands/{number}/").status_code == 422


def test_unknown_brand_gets_404(client: TestClient) -> None:
    for answer in (
        client.get("/api/brands/4711/"),
        client.patch("/api/brands/4711/", json={"name": "x"}),
        client.delete("/api/brands/4711/"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json()["detail"] == "brand_id: there is no brand 4711"


def test_large_brand_shows_the_progress_of_its_enforcement(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.passes.CAMPAIGNS_A_PART", 2)
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand()
    campaigns = [world.campaign(brand) for _ in range(5)]
    paused = client.patch(f"/api/brands/{brand}/", json={"configured_status": "paused"}).json()
    closing = {"direction": "closing", "done": 2, "total": None, "words": "pausing campaigns, 2 done"}
    assert paused["enforcement"] == closing
    assert client.get("/api/brands/").json()["items"][0]["enforcement"] == closing
    shown = client.get(f"/api/campaigns/{campaigns[4]}/explain/").json()
    assert (shown["effective_status"], shown["stored_status"], shown["enforcement"]) == ("inactive", "active", closing)
    world.tick()
    assert client.get(f"/api/brands/{brand}/").json()["enforcement"] is None
    assert client.get(f"/api/campaigns/{campaigns[4]}/explain/").json()["enforcement"] is None
