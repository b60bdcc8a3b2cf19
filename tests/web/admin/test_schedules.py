"""The schedule editor's server side: saving, refusing, and the preview through clock changes."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from domain.access import Role
from tests.web.admin.conftest import Open
from tests.world import World


def test_a_schedule_is_saved_enforced_and_audited(world: World, browser: Open) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand(), name="Search")
    someone = browser(Role.OPERATOR)
    path = f"/admin/campaigns/{campaign}/schedule"
    assert someone.post(path, {"schedule": "Mon-Fri 13:00-17:30"}).status_code == 303
    assert world.holds(campaign) == {"outside_schedule"}
    assert "Search serves Mon 13:00-17:30" in someone.banners()
    assert world.one("SELECT changed_by FROM audit_entries WHERE subject = 'schedule'") == {
        "changed_by": "user:operator@example.com"
    }
    assert "Wed 2026-06-17 13:00 UTC" in someone.get("/admin/campaigns/detail", pk=campaign).text
    assert someone.post(path, {"schedule": ""}).status_code == 303
    assert world.is_active(campaign)
    world.verify()


def test_saved_schedule_leads_back_to_the_page_before_and_to_no_other_site(world: World, browser: Open) -> None:
    campaign = world.campaign(world.brand())
    someone = browser(Role.OPERATOR)
    path = f"/admin/campaigns/{campaign}/schedule"
    before = {"referer": str(someone.client.base_url.join("/admin/campaigns/list?page=2"))}
    opened = someone.client.get(path, headers=before, follow_redirects=False)
    origin = dict(parse_qsl(urlsplit(opened.headers["location"]).query))["_origin"]
    assert origin == "/admin/campaigns/list?page=2"
    for sent, reached in ((origin, origin), ("//example.com/", path), ("/\\example.com/", path)):
        saved = someone.post(path, {"schedule": "Mon-Fri 13:00-17:30"}, _origin=sent)
        assert urlsplit(saved.headers["location"]).path == urlsplit(reached).path
        assert "example.com" not in urlsplit(saved.headers["location"]).netloc


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Mon 9-17", "cannot read"),
        ("Moon 09:00-17:00", "is not a day of the week"),
        ("Mon 24:30-25:00", "is not a time between"),
        ("Mon 09:00-10:00, " * 1_000, "is over 10000 characters long"),
    ],
)
def test_invalid_schedule_is_refused_and_the_typed_text_stays(
    world: World, browser: Open, text: str, shown: str
) -> None:
    campaign = world.campaign(world.brand(), schedule="Tue 09:00-10:00")
    someone = browser(Role.OPERATOR)
    answer = someone.post(f"/admin/campaigns/{campaign}/schedule", {"schedule": text})
    assert answer.status_code == 422
    assert shown in answer.text
    assert f">{text.strip()}" in answer.text.replace(",  ", ", ")
    preview = someone.get(f"/admin/campaigns/{campaign}/schedule/preview", schedule=text)
    assert preview.status_code == 422
    assert shown in preview.json()["error"]
    assert len(world.rows("SELECT FROM dayparts")) == 1


@pytest.mark.parametrize("campaign", ["99", "x", "0", "9" * 30])
def test_schedule_page_of_unknown_campaign_is_not_found(world: World, browser: Open, campaign: str) -> None:
    someone = browser(Role.VIEWER)
    for path in (f"/admin/campaigns/{campaign}/schedule", f"/admin/campaigns/{campaign}/schedule/preview"):
        assert someone.get(path).status_code == 404


def test_preview_shows_the_next_seven_days_in_the_brands_time_zone(world: World, browser: Open) -> None:
    world.set_clock("2026-06-17T01:00:00Z")  # still Tuesday in New York
    campaign = world.campaign(world.brand(zone="America/New_York"))
    shown = browser(Role.VIEWER).get(f"/admin/campaigns/{campaign}/schedule/preview", schedule="Sat 22:00-06:00").json()
    assert shown["parts"] == [[6, 1320, 1440], [7, 0, 360]]
    assert shown["time_zone"] == "America/New_York"
    assert shown["total"] == "8 h"
    assert [day["day"] for day in shown["days"]] == [
        "Tue 16 Jun", "Wed 17 Jun", "Thu 18 Jun", "Fri 19 Jun", "Sat 20 Jun", "Sun 21 Jun", "Mon 22 Jun"
    ]  # fmt: skip
    assert [day["stretches"] for day in shown["days"] if day["stretches"]] == [
        [{"from": "22:00", "to": "24:00", "hours": "2 h"}],
        [{"from": "00:00", "to": "06:00", "hours": "6 h"}],
    ]


@pytest.mark.parametrize(
    ("at", "sunday", "note"),
    [
        (
            "2026-03-05T12:00:00Z",
            {"from": "00:00 EST", "to": "06:00 EDT", "hours": "5 h"},
            "forward: this day has 23 h",
        ),
        ("2026-10-29T12:00:00Z", {"from": "00:00 EDT", "to": "06:00 EST", "hours": "7 h"}, "back: this day has 25 h"),
    ],
)
def test_schedule_preview_is_right_over_a_clock_change(
    world: World, browser: Open, at: str, sunday: dict[str, str], note: str
) -> None:
    world.set_clock(at)
    campaign = world.campaign(world.brand(zone="America/New_York"))
    shown = browser(Role.VIEWER).get(f"/admin/campaigns/{campaign}/schedule/preview", schedule="Sun 00:00-06:00").json()
    (day,) = (day for day in shown["days"] if day["stretches"])
    assert day["stretches"] == [sunday]
    assert note in day["note"]


def test_campaign_without_dayparts_is_always_open(world: World, browser: Open) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    shown = browser(Role.VIEWER).get(f"/admin/campaigns/{campaign}/schedule/preview", schedule="always").json()
    assert (shown["parts"], shown["total"]) == ([], "168 h")
    assert all(day["stretches"] == [{"from": "00:00", "to": "24:00", "hours": "24 h"}] for day in shown["days"])
