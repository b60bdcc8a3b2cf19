"""The admin's lists at 1280 px show long amounts, names and reasons completely."""

from playwright.sync_api import Browser as Chrome

from app import access
from domain.access import Role
from tests.web.admin.conftest import PASSWORD
from tests.web.conftest import Browse
from tests.world import UNIT, World

LONG = "Spring collection 2026 retargeting of visitors who left their basket, all of Scandinavia and the Baltics"
LISTS = ("brands", "campaigns", "budgets", "status-changes", "audit-entries", "rejected-events")

# Cells whose text is cut, and how much wider the table is than its place.
CUT = """() => {
    const table = document.querySelector(".table-responsive");
    const cut = [...table.querySelectorAll("td, td *, th")].filter((element) =>
        element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX !== "visible");
    return [cut.map((element) => element.textContent.trim()), table.scrollWidth - table.clientWidth];
}"""


def test_no_admin_text_is_cut_off_at_1280_pixels(world: World, browse: Browse, chrome: Chrome) -> None:
    brands = [
        world.brand(name="Hudson Shoes and Accessories International Holding", zone="America/Argentina/Buenos_Aires"),
        world.brand(name="Tea" * 30, currency="JPY", zone="Asia/Kathmandu"),
        world.brand(name="Gulf", currency="KWD"),
    ]
    for brand in brands:
        world.limit(999_999_999 * UNIT, "monthly", brand=brand)
        known_as = {"platform": "google_ads", "external_id": f"{brand}{'9' * 20}"}
        campaign = world.campaign(brand, name=LONG, daily=UNIT, weekly=UNIT, **known_as)
        world.spend(campaign, 987_654_321 * UNIT)
        world.set_status(campaign, "paused")
    world.ingest([{"event_id": "none"}])
    access.create_user("ops@example.com", PASSWORD, Role.OWNER, "test")
    with browse() as client:
        page = chrome.new_page(base_url=str(client.base_url), viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        page.goto("/admin/login?next=/admin/brands/list")
        page.fill("#username", "ops@example.com")
        page.fill("#password", PASSWORD)
        with page.expect_navigation(url="**/admin/brands/list"):
            page.click("button[type=submit]")
        for key in LISTS:
            page.goto(f"/admin/{key}/list")
            assert page.evaluate(CUT) == [[], 0], key
            assert page.evaluate("document.documentElement.scrollWidth") == 1280, key
        page.close()


def test_brand_filters_match_names(world: World) -> None:
    from web.admin import site  # noqa: PLC0415 - after the environment is set

    for view in site._views():
        fields = [field for field in getattr(view, "fields", ()) if field.name in {"brand", "campaign"}]
        for field in fields:
            first = view.get_filter_registry().filters_for(field)[0]
            assert first.name == "contains", view.key
