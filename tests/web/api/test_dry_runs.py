"""`?dry_run=true` returns the effect of each edit, with the words and counts of the real edit, and changes nothing."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web.api.conftest import Program
from tests.world import UNIT, World

NOTHING = "stops and releases no campaign now"
LIMIT = "Daily limit $10.00 → $1.50: stops 1 campaign now"
EDITS: dict[str, tuple[str, str, dict[str, Any] | None, str]] = {
    "lower a limit": ("PATCH", "/api/budgets/1/", {"limit_micros": 1_500_000}, LIMIT),
    "remove a limit": ("DELETE", "/api/budgets/1/", None, f"Daily limit $10.00 → none: {NOTHING}"),
    "make a limit": (
        "POST", "/api/budgets/", {"brand_id": 1, "period": "weekly", "limit_micros": UNIT},
        "Weekly limit none → $1.00: stops 1 campaign now",
    ),
    "pause a brand": (
        "PATCH", "/api/brands/1/", {"configured_status": "paused"}, "Status enabled → paused: stops 1 campaign now",
    ),
    "archive a brand": ("DELETE", "/api/brands/1/", None, "Status enabled → archived: stops 1 campaign now"),
    "end a flight": (
        "PATCH", "/api/campaigns/1/", {"ends_on": "2026-06-16"}, "Flight to none → 2026-06-16: stops 1 campaign now",
    ),
    "archive a campaign": ("DELETE", "/api/campaigns/1/", None, "Status enabled → archived: stops 1 campaign now"),
    "set a schedule": (
        "PUT", "/api/campaigns/1/schedule/", {"dayparts": [{"weekday": 1, "starts_minute": 540, "ends_minute": 600}]},
        "Schedule always → Mon 09:00-10:00: stops 1 campaign now",
    ),
    "rename a campaign": ("PATCH", "/api/campaigns/1/", {"name": "B"}, f"Name A → B: {NOTHING}"),
}  # fmt: skip


@pytest.fixture
def brand(world: World) -> int:
    """A brand with a daily limit of 10, whose one campaign spent 2; the clock is at noon on a Wednesday."""
    world.set_clock("2026-06-17T12:00:00Z")
    made = world.brand(daily=10 * UNIT)
    world.spend(world.campaign(made, name="A"), 2 * UNIT)
    return made


@pytest.mark.parametrize("kind", EDITS)
def test_dry_run_returns_the_effect_of_the_edit(world: World, client: TestClient, brand: int, kind: str) -> None:
    method, path, body, sentence = EDITS[kind]
    audited = world.rows("SELECT id FROM audit_entries")
    shown = client.request(method, path, params={"dry_run": "true"}, json=body)
    assert shown.status_code == 200, shown.text
    preview = shown.json()
    assert (preview["dry_run"], preview["sentence"], preview["at_least"]) == (True, sentence, False)
    assert world.rows("SELECT id FROM audit_entries") == audited
    assert world.is_active(1)
    assert client.request(method, path, json=body).is_success
    assert preview["stops"] == (0 if world.is_active(1) else 1)
    toggles = [{"campaign_id": 1, "to_status": "inactive", "holds": sorted(world.holds(1))}]
    assert preview["toggles"] == (toggles if preview["stops"] else [])


def test_dry_run_shows_whether_the_edit_needs_consent(world: World, client: TestClient, brand: int) -> None:
    for micros, asked in ((9 * UNIT, False), (4 * UNIT, True), (20 * UNIT, True)):
        shown = client.patch("/api/budgets/1/?dry_run=true", json={"limit_micros": micros}).json()
        assert (shown["needs_confirmation"], shown["stops"]) == (asked, 0)


def test_dry_run_of_a_create_creates_nothing(world: World, client: TestClient, brand: int) -> None:
    shown = client.post("/api/campaigns/?dry_run=true", json={"brand_id": brand, "name": "B"})
    assert (shown.status_code, shown.json()["dry_run"]) == (200, True)
    assert client.post("/api/brands/?dry_run=true", json={"name": "B"}).status_code == 422
    assert len(world.rows("SELECT FROM campaigns")) == len(world.rows("SELECT FROM brands")) == 1


def test_dry_run_refuses_like_the_edit(world: World, client: TestClient, program: Program, brand: int) -> None:
    other = program(brand=world.brand(), name="other")
    stale = {"If-Match": '"0.0"'}
    assert client.patch("/api/budgets/1/?dry_run=true", json={"limit_micros": 1.5}).status_code == 422
    assert client.patch("/api/budgets/1/?dry_run=true", json={"limit_micros": 1}, headers=stale).status_code == 412
    assert client.delete("/api/budgets/9/?dry_run=true").status_code == 404
    assert other.delete("/api/budgets/1/?dry_run=true").status_code == 404
    assert client.patch("/api/budgets/1/?dry_run=perhaps", json={"limit_micros": 1}).status_code == 422
    assert world.one("SELECT limit_micros FROM budgets") == {"limit_micros": 10 * UNIT}
