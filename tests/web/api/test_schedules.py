"""Ad schedules over HTTP."""

import pytest
from starlette.testclient import TestClient

from tests.world import World


def part(weekday: int, starts_minute: int, ends_minute: int) -> dict[str, int]:
    return {"weekday": weekday, "starts_minute": starts_minute, "ends_minute": ends_minute}


def test_a_schedule_is_always_open_until_it_is_set_and_is_kept_sorted_and_merged(
    world: World, client: TestClient
) -> None:
    world.set_clock("2026-06-17T12:00:00Z")  # a Wednesday
    campaign = world.campaign(world.brand())
    here = f"/api/campaigns/{campaign}/schedule/"
    assert client.get(here).json() == {"dayparts": [], "text": "always"}
    sent = [part(3, 600, 660), part(1, 540, 1050), part(3, 540, 600), part(3, 550, 560)]
    answer = client.put(here, json={"dayparts": sent})
    assert answer.json() == {
        "dayparts": [part(1, 540, 1050), part(3, 540, 660)],
        "text": "Mon 09:00-17:30, Wed 09:00-11:00",
    }
    assert client.get(here).json() == answer.json()
    assert world.holds(campaign) == {"outside_schedule"}
    assert client.put(here, json={"dayparts": []}).json()["text"] == "always"
    assert world.is_active(campaign)
    world.verify()


@pytest.mark.parametrize(
    "bad",
    [
        part(0, 0, 60),
        part(8, 0, 60),
        part(1, -1, 60),
        part(1, 60, 60),
        part(1, 120, 60),
        part(1, 1380, 1441),
        part(1, 1440, 1440),
        {"weekday": 1, "starts_minute": 0},
        {**part(1, 0, 60), "colour": "red"},
        {"weekday": "1", "starts_minute": 0, "ends_minute": 60},
        {"weekday": True, "starts_minute": 0, "ends_minute": 60},
        None,
    ],
)
def test_a_bad_daypart_is_refused_and_the_schedule_stays(world: World, client: TestClient, bad: object) -> None:
    campaign = world.campaign(world.brand(), schedule="Mon 09:00-17:30")
    here = f"/api/campaigns/{campaign}/schedule/"
    assert client.put(here, json={"dayparts": [part(2, 0, 60), bad]}).status_code == 422
    assert client.get(here).json()["text"] == "Mon 09:00-17:30"


def test_setting_an_equal_schedule_is_not_an_edit(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand(), schedule="Mon 09:00-17:30")
    audited = len(world.rows("SELECT 1 FROM audit_entries"))
    client.put(f"/api/campaigns/{campaign}/schedule/", json={"dayparts": [part(1, 540, 600), part(1, 600, 1050)]})
    assert len(world.rows("SELECT 1 FROM audit_entries")) == audited


def test_schedule_of_an_unknown_campaign_is_not_found(client: TestClient) -> None:
    assert client.get("/api/campaigns/7/schedule/").status_code == 404
    assert client.put("/api/campaigns/7/schedule/", json={"dayparts": []}).status_code == 404
