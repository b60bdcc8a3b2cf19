"""Edits that stop or release campaigns: the page shows the effect, asks, and reports it after saving."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser as Chrome
from playwright.sync_api import expect

from app import access
from domain.access import Role
from tests.web.admin.conftest import PASSWORD, Browser, Open
from tests.web.chromium import Watched
from tests.web.conftest import Browse
from tests.world import UNIT, World

BRAND = {"name": "Hudson Shoes", "configured_status": "enabled", "time_zone": "UTC", "currency": "USD"}
CAMPAIGN = {"name": "Search", "configured_status": "enabled", "platform": "", "external_id": "", "starts_on": ""}
PATIENCE_MILLISECONDS = 30_000
LIMIT = "Daily limit $7,900.00 → $1.50"

# Path, query, form, and what the page says it does.
EDITS: dict[str, tuple[str, dict[str, int], dict[str, Any], str]] = {
    "lower a limit": ("/admin/budgets/edit", {"pk": 1}, {"limit_micros": "1.50"}, f"{LIMIT}: stops 1 campaign"),
    "set a limit": (
        "/admin/budgets/create", {}, {"brand": 1, "campaign": "", "period": "weekly", "limit_micros": "2"},
        "Weekly limit none → $2.00: stops 1 campaign",
    ),
    "pause a brand": (
        "/admin/brands/edit", {"pk": 1}, {**BRAND, "configured_status": "paused"},
        "Status enabled → paused: stops 1 campaign",
    ),
    "end a flight": (
        "/admin/campaigns/edit", {"pk": 1}, {**CAMPAIGN, "ends_on": "2026-06-16"},
        "Flight to none → 2026-06-16: stops 1 campaign",
    ),
    "set a schedule": (
        "/admin/campaigns/1/schedule", {}, {"schedule": "Mon 09:00-10:00"},
        "Schedule always → Mon 09:00-10:00: stops 1 campaign",
    ),
}  # fmt: skip


@pytest.fixture
def catalog(world: World) -> World:
    """A Wednesday noon; a brand with a limit of 7,900, of which its one campaign spent 2."""
    world.set_clock("2026-06-17T12:00:00Z")
    world.spend(world.campaign(world.brand(name="Hudson Shoes", daily=7_900 * UNIT), name="Search"), 2 * UNIT)
    return world


def question(page: str) -> str:
    found = re.search(r"data-consent>.*?<strong>(.*?)</strong>", page, re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize("kind", EDITS)
def test_form_asks_before_it_stops_campaigns_and_reports_the_same_effect_afterwards(
    catalog: World, browser: Open, kind: str
) -> None:
    path, query, form, shown = EDITS[kind]
    someone = browser(Role.OPERATOR)
    audited = catalog.rows("SELECT id FROM audit_entries")
    asked = someone.ask(path, form, **query)
    assert (asked.status_code, question(asked.text)) == (200, f"{shown} now.")
    assert catalog.is_active(1)
    assert catalog.rows("SELECT id FROM audit_entries") == audited
    assert someone.post(path, form, **query).status_code == 303
    assert not catalog.is_active(1)
    assert f"{shown.replace('stops', 'stopped')}." in someone.banners()
    catalog.verify()


def test_returned_form_still_names_the_edited_row(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    for limit, shown in (("1.500", "1.500 can be 1,500.00 or 1.50: write 1500 or 1.50"), ("1.50", f"{LIMIT}: stops")):
        page = someone.ask("/admin/budgets/edit", {"limit_micros": limit}, pk=1).text
        for words in (shown, f'value="{limit}"', "Hudson Shoes, all its campaigns", "$2.00"):
            assert words in page, (limit, words)
    refused = someone.ask("/admin/campaigns/edit", {**CAMPAIGN, "name": "", "starts_on": "x"}, pk=1).text
    assert "serves now" in refused
    assert 'id="name-error"' in refused
    assert 'id="starts_on-error"' in refused
    assert someone.ask("/admin/brands/edit", {"name": "", "configured_status": "paused"}, pk=1).text.count("UTC") > 0


def test_saving_redirects_to_the_page_before_and_never_to_another_site(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    for origin, lands in (
        ("/admin/campaigns/list?sort=id__asc", "/admin/campaigns/list?sort=id__asc"),
        ("/brands/1", "/brands/1"),
        ("https://evil.example/", "/admin/campaigns/list"),
        ("//evil.example/", "/admin/campaigns/list"),
        ("/\\evil.example", "/admin/campaigns/list"),
    ):
        answer = someone.post("/admin/campaigns/edit", {**CAMPAIGN, "name": origin[:20]}, pk=1, _origin=origin)
        assert answer.headers["location"].removeprefix("http://testserver") == lands, origin


def test_form_opened_from_a_dashboard_page_redirects_back_to_it(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    for referer, origin in (
        ("http://testserver/brands/1?q=a", "_origin=%2Fbrands%2F1%3Fq%3Da"),
        ("https://evil.example/x", None),
        ("http://testserver/admin/campaigns/edit?pk=1", None),
    ):
        answer = someone.client.get("/admin/campaigns/edit?pk=1", headers={"Referer": referer}, follow_redirects=False)
        assert answer.status_code == (200 if origin is None else 303)
        assert origin is None or origin in answer.headers["location"]


def test_form_asks_again_when_the_effect_changed_meanwhile(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    asked = someone.ask("/admin/budgets/edit", {"limit_micros": "1.50"}, pk=1)
    token = re.findall(r'name="agreed" value="(\w+)"', asked.text)[0]
    catalog.set_status(1, "paused")
    form = {"limit_micros": "1.50", "agreed": token}
    again = someone.ask("/admin/budgets/edit", form, pk=1)
    assert question(again.text) == f"{LIMIT}: stops and releases no campaign now."
    assert catalog.one("SELECT limit_micros FROM budgets") == {"limit_micros": 7_900 * UNIT}


def test_token_of_one_edit_does_not_confirm_another(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    asked = someone.ask("/admin/budgets/edit", {"limit_micros": "1.50"}, pk=1)
    token = re.findall(r'name="agreed" value="(\w+)"', asked.text)[0]
    other = someone.ask("/admin/budgets/edit", {"limit_micros": "0", "agreed": token}, pk=1)
    assert question(other.text) == "Daily limit $7,900.00 → $0.00: stops 1 campaign now."


def test_edit_that_stops_no_campaign_is_saved_without_asking(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    assert someone.ask("/admin/budgets/edit", {"limit_micros": "7,000.00"}, pk=1).status_code == 303
    assert catalog.one("SELECT limit_micros FROM budgets") == {"limit_micros": 7_000 * UNIT}


def test_an_action_is_refused_without_its_preview(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    for key, name, sentence in (
        ("campaigns", "pause", "Pause 1 campaign: stops 1 campaign now"),
        ("brands", "archive", "Archive 1 brand: stops 1 campaign now"),
        ("budgets", "delete", "Remove 1 budget: stops and releases no campaign now"),
    ):
        address = f"/admin/_api/{key}/action?name={name}&pks=1"
        refused = someone.client.post(address, headers={"X-CSRFToken": someone.token()})
        assert refused.status_code == 400
        assert refused.json()["msg"].startswith(f"{sentence}. Nothing was changed")
        assert someone.preview(key, name, 1)["sentence"] == f"{sentence}."
    assert catalog.is_active(1)
    assert len(catalog.rows("SELECT FROM budgets")) == 1


def sign_in(page: Any, path: str) -> None:
    page.goto(path)
    page.fill("#username", "ops@example.com")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")


def test_enter_key_asks_for_confirmation_then_saves_and_redirects_back(
    world: World, browse: Browse, chrome: Chrome
) -> None:
    campaign = world.campaign(world.brand(name="Hudson Shoes", daily=7_900 * UNIT), name="Search")
    world.spend(campaign, 2 * UNIT)
    access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    with browse() as client:
        page = chrome.new_page(base_url=str(client.base_url), viewport={"width": 1280, "height": 800})
        watched = Watched(page)
        listed = "/admin/budgets/list?sort=id__asc"
        sign_in(page, listed)
        page.locator("[data-sa-name=edit]").click()
        page.fill("[name=limit_micros]", "1.50")
        page.press("[name=limit_micros]", "Enter")
        expect(page.get_by_text(f"{LIMIT}: stops 1 campaign now.")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        assert world.is_active(campaign)
        page.press("[name=limit_micros]", "Enter")
        expect(page.get_by_text(f"{LIMIT}: stopped 1 campaign.")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        assert page.url.endswith(listed)
        assert not world.is_active(campaign)
        page.locator("[data-sa-name=delete][data-sa-is-row-action]").click()
        expect(page.locator("#modal-action")).to_contain_text(
            "Remove 1 budget: releases 1 campaign now.", timeout=PATIENCE_MILLISECONDS
        )
        page.locator("#actionSubmit").click()
        expect(page.get_by_text("Removed 1 budget: released 1 campaign.")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        assert world.is_active(campaign)
        assert watched.faults == []
        page.close()


def someone_pauses(someone: Browser, *ids: int) -> None:
    assert someone.act("campaigns", "pause", *ids).status_code == 200


def statuses(world: World) -> list[str]:
    return [row["configured_status"] for row in world.rows("SELECT configured_status FROM campaigns ORDER BY id")]


@pytest.fixture
def four(world: World) -> list[int]:
    """Campaigns of two brands: two enabled, one paused and one archived by a colleague before."""
    one, two = world.brand(), world.brand()
    made = [world.campaign(brand, name=name) for brand, name in ((one, "A"), (two, "B"), (one, "Paused"), (one, "Old"))]
    world.set_status(made[2], "paused")
    world.set_status(made[3], "archived")
    return made


def test_enable_after_bulk_pause_leaves_rows_paused_or_archived_earlier(
    world: World, browser: Open, four: list[int]
) -> None:
    someone = browser(Role.OPERATOR)
    someone_pauses(someone, *four)
    assert statuses(world) == ["paused", "paused", "paused", "archived"]
    asked = someone.preview("campaigns", "enable", *four)
    assert asked["sentence"] == "Enable 2 campaigns: releases 2 campaigns now."
    assert any("Old (4) stays archived" in note for note in asked["notes"])
    assert any("Paused earlier, and left as they are: Paused (3) by test at" in note for note in asked["notes"])
    assert someone.act("campaigns", "enable", *four).status_code == 200
    assert statuses(world) == ["enabled", "enabled", "paused", "archived"]
    world.verify()


def test_enable_of_mixed_rows_leaves_paused_rows(world: World, browser: Open, four: list[int]) -> None:
    someone = browser(Role.OPERATOR)
    asked = someone.preview("campaigns", "enable", *four)
    assert asked["sentence"] == "Enable 0 campaigns: stops and releases no campaign now."
    assert asked["option"].startswith("Also enable rows that were paused earlier: Paused (3) by test at")
    assert someone.act("campaigns", "enable", *four).status_code == 200
    assert statuses(world) == ["enabled", "enabled", "paused", "archived"]
    assert "Nothing was changed. 2 campaigns are enabled already." in someone.banners()


def test_rows_paused_earlier_are_enabled_if_the_person_checks_the_option(
    world: World, browser: Open, four: list[int]
) -> None:
    someone = browser(Role.OPERATOR)
    someone_pauses(someone, *four[:2])
    assert someone.act("campaigns", "enable", *four, others="on").status_code == 200
    assert statuses(world) == ["enabled", "enabled", "enabled", "archived"]


def test_single_chosen_paused_campaign_is_enabled(world: World, browser: Open, four: list[int]) -> None:
    assert browser(Role.OPERATOR).act("campaigns", "enable", four[2]).status_code == 200
    assert statuses(world)[2] == "enabled"


def test_undo_gives_each_campaign_its_status_back(world: World, browser: Open, four: list[int]) -> None:
    someone = browser(Role.OPERATOR)
    assert someone.act("campaigns", "archive", *four).status_code == 200
    assert statuses(world) == ["archived"] * 4
    page = someone.get("/admin/").text
    (address,) = re.findall(r'href="[^"]*(/admin/undo\?[^"]*)">Undo</a>', page)
    address = address.replace("&amp;", "&")
    asked = someone.client.get(address).text
    assert "Restore the status of 3 campaigns: releases 2 campaigns now." in asked
    assert statuses(world) == ["archived"] * 4
    world.set_status(four[1], "enabled")
    assert "1 campaign changed since" in someone.client.get(address).text
    stale = re.findall(r'name="agreed" value="(\w+)"', asked)[0]
    form = {"csrftoken": someone.token(), "agreed": stale}
    assert someone.client.post(address, data=form, follow_redirects=False).status_code == 200
    assert someone.post(address).status_code == 303
    assert statuses(world) == ["enabled", "enabled", "paused", "archived"]
    assert "There is nothing left to undo." in someone.client.get(address).text
    world.verify()


def test_undo_leaves_a_campaign_that_another_person_paused_again(world: World, browser: Open, four: list[int]) -> None:
    someone = browser(Role.OPERATOR)
    someone_pauses(someone, *four[:2])
    for status in ("enabled", "paused"):
        world.set_status(four[0], status)
    (address,) = re.findall(r'href="[^"]*(/admin/undo\?[^"]*)">Undo</a>', someone.get("/admin/").text)
    address = address.replace("&amp;", "&")
    asked = someone.client.get(address).text
    assert "1 campaign changed since" in asked
    assert "Restore the status of 1 campaign:" in asked
    assert someone.post(address).status_code == 303
    assert statuses(world)[:2] == ["paused", "enabled"]


def test_only_the_author_of_an_action_can_undo_it(world: World, browser: Open, four: list[int]) -> None:
    someone = browser(Role.OPERATOR)
    someone_pauses(someone, *four[:2])
    at = world.one("SELECT max(changed_at) AS at FROM audit_entries")["at"].isoformat()
    for role, status in ((Role.OWNER, 200), (Role.VIEWER, 403)):
        answer = browser(role).get("/admin/undo", noun="campaign", at=at)
        assert answer.status_code == status
        assert "releases" not in answer.text
    for query in ({"noun": "user", "at": at}, {"noun": "campaign", "at": "x"}, {"noun": "campaign"}):
        assert someone.get("/admin/undo", **query).status_code == 404
