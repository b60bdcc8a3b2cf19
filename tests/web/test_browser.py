"""A person's morning in a real browser, with a real web process and real workers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from db.repository.access.privileges import DatabaseRole
from tests.cli.shell import serving
from tests.roles import UrlOf
from tests.web.chromium import Watched
from tests.web.conftest import Browse
from tests.world import UNIT, World, eventually, noon_zone

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
PATIENCE_MILLISECONDS = 20_000
WIDE, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def page_of(chrome: Browser, base_url: str, **options: object) -> Iterator[Page]:
    """A new page; the test fails if one of its scripts failed or it sent a request to another host."""
    context = chrome.new_context(base_url=base_url, **options)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    watched = Watched(page)
    yield page
    assert watched.faults == []
    context.close()


def sign_in(page: Page, email: str) -> None:
    page.goto("/admin/login")
    page.locator("#username").fill(email)
    page.locator("#password").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_morning_from_the_first_brand_to_the_printed_report(
    world: World, browse: Browse, chrome: Browser, url_of: UrlOf, tmp_path: Path
) -> None:
    from app import access  # noqa: PLC0415
    from domain.access import Role  # noqa: PLC0415 - after the environment is set
    from workers.actors.ingest import ingest_spend  # noqa: PLC0415

    for role in (Role.OWNER, Role.VIEWER):
        access.create_user(f"{role}@example.com", PASSWORD, role, "test")
    with (
        browse(SPENDGATE_OPEN_DASHBOARD="false") as client,
        serving("-m", "workers", output=tmp_path / "worker", env={"DATABASE_URL": url_of(DatabaseRole.WORKER)}),
        page_of(chrome, str(client.base_url), viewport=WIDE) as page,
    ):
        page.goto("/")
        assert "/admin/login" in page.url
        sign_in(page, "owner@example.com")
        make_brand(page)
        for name in ("Brand search", "Mornings"):
            make_campaign(page, name)
        make_budget(page, "5.00")
        campaign, mornings = 1, 2
        open_a_stretch(page, mornings)
        assert world.rows("SELECT * FROM dayparts") != []

        page.goto("/brands/1")
        row = page.locator(f"#campaign-{campaign}")
        expect(row).to_contain_text("active")
        ingest_spend.send(events=[world.event(campaign, 6 * UNIT)])
        expect(row).to_contain_text("inactive", timeout=PATIENCE_MILLISECONDS)
        expect(row).to_contain_text("the brand's daily budget is spent")
        expect(row.locator("[data-label='Serves again']")).to_contain_text("00:00")
        expect(page.locator(".feed")).to_contain_text("$6.00 of $5.00")

        with page_of(chrome, str(client.base_url), storage_state=page.context.storage_state()) as second:
            raise_budget(second, "50.00")
        expect(row.locator(".status")).to_have_text("active", timeout=PATIENCE_MILLISECONDS)

        page.goto("/brands/1/reports/")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.pdf().startswith(b"%PDF")

        with page_of(chrome, str(client.base_url)) as viewer:
            sign_in(viewer, "viewer@example.com")
            viewer.goto("/admin/brands/list")
            expect(viewer.get_by_role("link", name="New brand")).to_have_count(0)
            assert viewer.request.post("/admin/brands/create", form={"name": "Sneaky"}).status == 403
            viewer.goto("/")
            expect(viewer.get_by_role("link", name="Hudson Shoes").first).to_be_visible()
    assert [row["name"] for row in world.rows("SELECT name FROM brands")] == ["Hudson Shoes"]
    world.verify()


def make_brand(page: Page) -> None:
    page.goto("/admin/brands/create")
    page.locator("[name=name]").fill("Hudson Shoes")
    save(page)


def make_campaign(page: Page, name: str) -> None:
    page.goto("/admin/campaigns/create")
    page.locator("[name=name]").fill(name)
    choose_brand(page)
    save(page)


def make_budget(page: Page, limit: str) -> None:
    page.goto("/admin/budgets/create")
    choose_brand(page)
    page.locator("select[name=period]").select_option("daily", force=True)
    page.locator("[name=limit_micros]").fill(limit)
    save(page)


def raise_budget(page: Page, limit: str) -> None:
    page.goto("/admin/budgets/edit?pk=1")
    page.locator("[name=limit_micros]").fill(limit)
    save(page)


def choose_brand(page: Page) -> None:
    """Chooses once the list shows the answer for the typed name, which replaces the options of the first answer."""
    page.locator("#brand + .select2").click()
    with page.expect_response(lambda response: "Hudson" in response.url):
        page.locator(".select2-search__field").fill("Hudson")
    page.get_by_role("option", name="Hudson Shoes").click()
    expect(page.locator("#brand + .select2")).to_contain_text("Hudson Shoes")


def save(page: Page) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()
    if page.locator("[data-consent]").count():
        with page.expect_navigation():
            page.get_by_role("button", name="Yes, save it").click()


def open_a_stretch(page: Page, campaign: int) -> None:
    """Drags over Monday to Friday, from six to eleven."""
    page.goto(f"/admin/campaigns/{campaign}/schedule")
    cell(page, "Monday", 6).drag_to(cell(page, "Friday", 10))
    save(page)


def cell(page: Page, day: str, hour: int) -> Locator:
    return page.get_by_role("gridcell", name=re.compile(f"^{day} {hour:02d}:00 to "))


PAGES = ("/", "/brands/1", "/campaigns/1", "/changes", "/brands/1/reports/", "/platforms", "/campaigns/3")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("dark", "light")
"""Each page is loaded in the first and then shown in the other, as by a person whose system changes at dawn."""

IS_DARK = "document.documentElement.dataset.bsTheme == 'dark'"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_every_page_is_accessible_and_fits_its_screen(world: World, browse: Browse, chrome: Browser) -> None:
    brand = world.brand(name="Hudson Shoes", zone="America/New_York", daily=5 * UNIT, monthly=90 * UNIT)
    held = world.campaign(
        brand, name="A campaign with a name as long as people write them on platforms", daily=3 * UNIT
    )
    world.campaign(brand, name="Mornings", schedule="Mon-Fri 06:00-11:00")
    world.spend(held, 6 * UNIT)
    connect_account(world, brand)
    with browse() as client:
        for viewport in (WIDE, PHONE):
            with page_of(chrome, str(client.base_url), viewport=viewport) as page:
                for address in PAGES:
                    page.emulate_media(color_scheme=SCHEMES[0])
                    page.goto(address)
                    page.wait_for_function("!document.querySelector('.plot > p')")
                    for scheme in SCHEMES:
                        page.emulate_media(color_scheme=scheme)
                        assert page.evaluate(OVERFLOW) == 0, (address, viewport)
                        assert serious_faults(page, scheme) == [], (address, viewport, scheme)


def connect_account(world: World, brand: int) -> None:
    """Connects an account whose login has failed, with a campaign whose pause is not confirmed."""
    world.execute("INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '1234567890')")
    world.execute("INSERT INTO platform_account_brands (brand_id, platform_account_id) VALUES (%s, 1)", brand)
    world.execute(
        "INSERT INTO platform_connections (platform_account_id, mode, credentials, last_error, failed_at)"
        " VALUES (1, 'full', 'env:NONE', 'Google refused the login: Token has been expired or revoked.', now())"
    )
    campaign = world.campaign(brand, platform="google_ads", external_id="9935249409", account="1234567890")
    world.set_status(campaign, "paused")


ADMIN_PAGES = (
    *("/admin/login", "/admin/", "/admin/brands/list", "/admin/brands/create", "/admin/brands/detail?pk=1"),
    *("/admin/campaigns/list", "/admin/campaigns/edit?pk=1", "/admin/campaigns/1/schedule", "/admin/budgets/edit?pk=1"),
    *("/admin/rejected-events/list", "/admin/status-changes/list", "/admin/audit-entries/list", "/admin/users/list"),
    *("/admin/platforms/list", "/admin/platforms/create", "/admin/platforms/edit?pk=1", "/admin/platforms/1/check"),
    *("/admin/api-keys/list", "/admin/api-keys/create"),
)


def test_every_admin_page_is_accessible(world: World, browse: Browse, chrome: Browser) -> None:
    from app import access  # noqa: PLC0415
    from domain.access import Role  # noqa: PLC0415 - after the environment is set

    access.create_user("owner@example.com", PASSWORD, Role.OWNER, "test")
    campaign = world.campaign(world.brand(name="Hudson Shoes", daily=5 * UNIT), schedule="Mon-Fri 06:00-11:00")
    world.spend(campaign, 6 * UNIT)
    world.ingest([{"event_id": "none"}])
    connect_account(world, 1)
    with browse() as client, page_of(chrome, str(client.base_url), viewport=WIDE) as page:
        sign_in(page, "owner@example.com")
        for address in ADMIN_PAGES:
            page.emulate_media(color_scheme=SCHEMES[0])
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 200, address
            assert page.evaluate(IS_DARK), address
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                eventually(lambda: page.evaluate(IS_DARK) is (scheme == "dark"))  # noqa: B023 - called in this round
                assert serious_faults(page, scheme) == [], (address, scheme)


def test_the_documentation_of_the_api_is_readable_and_leads_back(browse: Browse, chrome: Browser) -> None:
    with browse() as client, page_of(chrome, str(client.base_url), viewport=WIDE) as page:
        page.goto("/docs")
        expect(page.locator(".opblock").first).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        assert serious_faults(page, "light") == []
        for method in ("get", "post"):
            page.locator(f".opblock-{method} .opblock-summary-control").first.click()
        expect(page.get_by_role("button", name="Try it out")).to_have_count(2)
        assert serious_faults(page, "light") == []
        page.get_by_role("link", name="Spendgate").first.click()
        expect(page).to_have_url(f"{client.base_url}/")


def serious_faults(page: Page, scheme: str) -> list[tuple[str, list[str]]]:
    """The serious and critical findings of axe, with their elements.

    In dark mode only colours differ, so only contrast is checked.
    """
    return faint(page) if scheme == "dark" else _found(page, {})


def faint(page: Page) -> list[tuple[str, list[str]]]:
    """The findings of axe about contrast."""
    return _found(page, {"runOnly": ["color-contrast", "link-in-text-block"]})


TRANSITIONS_END = "Promise.allSettled(document.getAnimations().map(animation => animation.finished))"
"""Waits for colour transitions, because colours in between have other contrasts."""


def _found(page: Page, chosen: dict[str, Any]) -> list[tuple[str, list[str]]]:
    options: dict[str, Any] = {"resultTypes": ["violations"], **chosen}
    page.evaluate(TRANSITIONS_END)
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("options => axe.run(options)", options)
    return [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
    ]


def test_pages_can_be_used_by_keyboard_alone(world: World, browse: Browse, chrome: Browser) -> None:
    brand = world.brand(name="Hudson Shoes")
    world.campaign(brand, name="Brand search")
    with browse() as client, page_of(chrome, str(client.base_url), viewport=WIDE) as page:
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "Hudson Shoes":
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Hudson Shoes")


REFRESHED = (
    "/?sort=name",
    "/?q=Brand&number=2",
    "/?archived=true",
    "/brands/1?status=active&sort=name",
    "/campaigns/1?days=7",
    "/alerts",
    "/platforms?number=1",
)


def test_page_with_filters_refreshes_by_one_request_that_is_empty_without_a_change(
    world: World, browse: Browse, chrome: Browser
) -> None:
    world.campaign(world.brand())
    world.execute("INSERT INTO brands (name) SELECT 'Brand ' || number FROM generate_series(2, 120) AS number")
    with browse() as client, page_of(chrome, str(client.base_url)) as page:
        for path in REFRESHED:
            page.goto(path)
            assert page.locator("[hx-trigger^='refresh']").count() == 1
            # A minute may begin between two refreshes, and it is on the page.
            assert 304 in {status_of_refresh(page) for _ in range(3)}, path


def status_of_refresh(page: Page) -> int:
    with page.expect_response(lambda response: "hx-request" in response.request.headers) as answer:
        page.evaluate("htmx.trigger(document.body, 'refresh')")
    return answer.value.status


def test_typed_text_and_open_details_survive_a_refresh(world: World, browse: Browse, chrome: Browser) -> None:
    brand = world.brand(name="Hudson Shoes", daily=50 * UNIT)
    campaign = world.campaign(brand, name="Brand search")
    with browse() as client, page_of(chrome, str(client.base_url), viewport=WIDE) as page:
        page.goto(f"/brands/{brand}")
        page.get_by_text("Figures").first.click()
        page.get_by_role("searchbox").fill("Brand")
        world.spend(campaign, 7 * UNIT)
        expect(page.locator("#brand")).to_contain_text("$7.00", timeout=PATIENCE_MILLISECONDS)
        expect(page.get_by_role("searchbox")).to_have_value("Brand")
        expect(page.locator("details").first).to_have_attribute("open", "")
        expect(page.locator("#plot-day canvas")).to_be_visible()


def test_open_page_reports_an_unreachable_server_and_its_return(world: World, browse: Browse, chrome: Browser) -> None:
    world.brand(name="Hudson Shoes")
    with browse() as client:
        context = chrome.new_context(base_url=str(client.base_url))
        page = context.new_page()
        page.goto("/")
        notice = page.get_by_text("The server does not answer.")
        expect(notice).to_be_hidden()
        context.set_offline(True)
        expect(notice).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        context.set_offline(False)
        expect(notice).to_be_hidden(timeout=PATIENCE_MILLISECONDS)
        context.close()


def test_plots_without_javascript_name_the_place_of_their_figures(
    world: World, browse: Browse, chrome: Browser
) -> None:
    brand = world.brand(daily=5 * UNIT)
    with browse() as client, page_of(chrome, str(client.base_url), java_script_enabled=False) as page:
        page.goto(f"/brands/{brand}")
        expect(page.get_by_text("The plot needs JavaScript")).to_have_count(2)
        expect(page.get_by_text("The plot needs JavaScript").first).to_be_visible()
        expect(page.get_by_text("No campaign has changed its status yet.")).to_be_visible()


AXES = """(currency) => {
    const { incrs, values } = moneyAxis(currency);
    const step = incrs.find((step) => step >= 0.25);
    return [...values(null, [0, step, 2 * step], 0, 0, step), ...values(null, [1000, 1500], 0, 0, 500)];
}"""


def test_the_marks_of_an_axis_have_as_many_decimals_as_their_steps_need(
    world: World, browse: Browse, chrome: Browser
) -> None:
    brand = world.brand()
    with browse() as client, page_of(chrome, str(client.base_url)) as page:
        page.goto(f"/brands/{brand}")
        expect(page.locator("#plot-day canvas")).to_be_visible()
        assert page.evaluate(AXES, "USD") == ["$0.00", "$0.50", "$1.00", "$1K", "$1.5K"]
        assert page.evaluate(AXES, "JPY") == ["¥0", "¥1", "¥2", "¥1K", "¥1.5K"]


BANDS = """() => {
    const canvas = document.querySelector("#plot-day canvas"), over = document.querySelector("#plot-day .u-over");
    const dense = canvas.width / canvas.clientWidth, fill = [0xe6, 0xea, 0xf0];
    const painted = (hour) => {
        const x = Math.round((over.offsetLeft + over.clientWidth * hour / 24) * dense);
        const { data } = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height);
        return Array.from({ length: canvas.height }, (_, y) => data.slice(4 * y, 4 * y + 3))
            .filter((pixel) => fill.every((value, place) => pixel[place] === value)).length;
    };
    return Array.from({ length: 60 }, (_, place) => 3.25 + place / 3).filter((hour) => painted(hour) < 5);
}"""
HOURS_BEFORE = """
    INSERT INTO brand_hours (brand_id, day, hour, spent_micros)
    SELECT %s, (now() AT TIME ZONE %s)::date - 7 * weeks, hour, 1000000 * weeks * weeks
    FROM generate_series(1, 2) AS weeks CROSS JOIN generate_series(0, 23) AS hour
"""


def test_band_of_earlier_days_has_no_gap_around_now(world: World, browse: Browse, chrome: Browser) -> None:
    brand = world.brand(zone=noon_zone())
    world.execute(HOURS_BEFORE, brand, noon_zone())
    with browse() as client, page_of(chrome, str(client.base_url), viewport=WIDE, color_scheme="light") as page:
        page.goto(f"/brands/{brand}")
        expect(page.locator("#plot-day canvas")).to_be_visible()
        assert page.evaluate(BANDS) == []


def test_no_admin_page_runs_a_script_that_its_policy_forbids(world: World, browse: Browse, chrome: Browser) -> None:
    from app import access  # noqa: PLC0415
    from domain.access import KeyScope, Role  # noqa: PLC0415 - after the environment is set

    access.create_user("owner@example.com", PASSWORD, Role.OWNER, "test")
    key_id, _ = access.create_key("program", [KeyScope.READ], "test")
    brand = world.brand(name="Hudson Shoes", daily=UNIT)
    campaign = world.campaign(brand, name="Brand search")
    budget = world.one("SELECT id FROM budgets")["id"]
    world.spend(campaign, UNIT)
    world.ingest([{}])
    rejected, change = (world.one(f"SELECT id FROM {table}")["id"] for table in ("rejected_events", "status_changes"))  # noqa: S608
    found = {"brands": brand, "campaigns": campaign, "budgets": budget, "users": 1, "api-keys": key_id}
    pages = [
        *("/admin/", f"/admin/campaigns/{campaign}/schedule"),
        *(f"/admin/{key}/{page}" for key in found for page in ("list", "create")),
        *(f"/admin/{key}/detail?pk={number}" for key, number in found.items()),
        *(f"/admin/{key}/edit?pk={number}" for key, number in found.items() if key != "api-keys"),
        *("/admin/rejected-events/list", f"/admin/rejected-events/detail?pk={rejected}"),
        *("/admin/status-changes/list", f"/admin/status-changes/detail?pk={change}", "/admin/audit-entries/list"),
    ]
    with browse(SPENDGATE_OPEN_DASHBOARD="false") as client, page_of(chrome, str(client.base_url)) as page:
        sign_in(page, "owner@example.com")
        for path in pages:
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 200, path
            policy = answer.headers["content-security-policy"]
            assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
            assert page.evaluate("typeof StarletteAdmin.getIcon") == "function", path
            handlers = (
                "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(a => /^on/.test(a))"
            )
            assert page.evaluate(handlers) == [], path
        page.goto("/admin/campaigns/list")
        size = page.locator("select[data-goes-to-value]").first
        size.select_option(index=1)
        expect(page).to_have_url(re.compile("page_size="))
