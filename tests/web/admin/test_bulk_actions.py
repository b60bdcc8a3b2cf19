"""The question before a bulk action, in a real browser, names the number of rows and the rows."""

from playwright.sync_api import Browser, expect

from app import access
from domain.access import Role
from tests.web.admin.conftest import PASSWORD
from tests.web.chromium import Watched
from tests.web.conftest import Browse
from tests.world import UNIT, World


def test_confirmation_question_names_the_number_and_the_rows(world: World, browse: Browse, chrome: Browser) -> None:
    brand = world.brand(name="Hudson Shoes", daily=UNIT)
    for name in ("Search", "Video", "Shop"):
        world.campaign(brand, name=name)
    access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    with browse() as client:
        page = chrome.new_page(base_url=str(client.base_url))
        watched = Watched(page)
        page.goto("/admin/campaigns/list?sort=id__asc")
        page.fill("#username", "ops@example.com")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        question = page.locator("[data-sa-hook=action-confirmation]")
        for row in (0, 2):
            page.locator("[data-sa-hook=row-checkbox]").nth(row).check()
        page.locator("#actions-dropdown button").click()
        page.locator("#actions-dropdown").get_by_text("Pause").click()
        expect(question).to_contain_text("2 chosen: Search (1); Shop (3).")
        page.goto("/admin/budgets/list")
        page.locator("[data-sa-name=delete][data-sa-is-row-action]").click()
        expect(question).to_contain_text("1 chosen: daily, Hudson Shoes (1).")
        assert watched.faults == []
        page.close()
