"""Holds that are set and lifted over HTTP."""

import pytest
from starlette.testclient import TestClient

from tests.web.api.conftest import Program
from tests.world import UNIT, World

PAUSED_THERE = "platform_paused"


def place(campaign: int, hold: str = PAUSED_THERE) -> str:
    return f"/api/campaigns/{campaign}/holds/{hold}/"


def test_set_hold_survives_other_edits_until_it_is_lifted(world: World, client: TestClient) -> None:
    brand = world.brand(daily=UNIT)
    campaign = world.campaign(brand)
    assert client.put(place(campaign)).json()["holds"] == [PAUSED_THERE]
    assert client.put(place(campaign)).json()["holds"] == [PAUSED_THERE]
    world.spend(campaign, UNIT)
    assert world.holds(campaign) == {PAUSED_THERE, "brand_daily_budget"}
    world.limit(2 * UNIT, brand=brand)
    world.set_status(campaign, "paused")
    world.set_status(campaign, "enabled")
    world.tick()
    assert world.holds(campaign) == {PAUSED_THERE}
    assert client.delete(place(campaign)).json()["effective_status"] == "active"
    assert client.delete(place(campaign)).json()["holds"] == []
    edits = world.rows("SELECT old, new FROM audit_entries WHERE new ? 'set_holds' ORDER BY id")
    assert [(edit["old"]["set_holds"], edit["new"]["set_holds"]) for edit in edits] == [
        ([], [PAUSED_THERE]),
        ([PAUSED_THERE], []),
    ]
    world.verify()


def test_dry_run_says_which_campaign_a_hold_stops_and_sets_nothing(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    preview = client.put(place(campaign), params={"dry_run": True}).json()
    assert preview["stops"] == 1
    assert world.is_active(campaign)


@pytest.mark.parametrize("hold", ["user_paused", "brand_daily_budget", "unheard_of"])
def test_hold_that_cannot_be_set_by_hand_is_refused(world: World, client: TestClient, hold: str) -> None:
    campaign = world.campaign(world.brand())
    answer = client.put(place(campaign, hold))
    assert answer.status_code == 422
    assert PAUSED_THERE in answer.json()["detail"]
    assert world.is_active(campaign)


def test_key_of_another_brand_can_set_no_hold(world: World, program: Program) -> None:
    campaign = world.campaign(world.brand())
    assert program(brand=world.brand()).put(place(campaign)).status_code == 404
    assert world.is_active(campaign)


def test_explanation_says_what_lifts_the_hold(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    client.put(place(campaign))
    explained = client.get(f"/api/campaigns/{campaign}/explain/").json()
    assert [(hold["because"], hold["lifts_at"]) for hold in explained["holds"]] == [("paused on the ad platform", None)]


@pytest.mark.parametrize("stored", ["{platform_paused}", "{}"])
def test_refresh_enforces_a_hold_that_was_set_or_lifted_by_sql(world: World, client: TestClient, stored: str) -> None:
    from workers.actors.schedule import refresh_spend  # noqa: PLC0415 - after the environment is set

    campaign = world.campaign(world.brand())
    if stored == "{}":
        client.put(place(campaign))
    world.execute("UPDATE campaigns SET set_holds = %s", stored)
    refresh_spend()
    assert world.is_active(campaign) == (stored == "{}")
    world.verify()
