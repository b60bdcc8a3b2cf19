"""A report uploaded, corrected, imported and undone in a real browser, on the real web process."""

import os
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from domain.access import Role
from tests.web.conftest import Browse
from tests.web.test_browser import PASSWORD, PHONE, WIDE, page_of, serious_faults, sign_in
from tests.world import UNIT, World

CHANGED_AT = datetime(2026, 6, 18, 9, tzinfo=UTC)


def report(folder: Path) -> Path:
    """A report of one campaign in two columns of money, with a row that cannot be read."""
    path = folder / "june.csv"
    path.write_text("campaign_id,date,spend,budget\n7,2026-06-17,12.50,99.00\n7,2026-06-16,7.50,99.00\n7,x,free,1\n")
    os.utime(path, (CHANGED_AT.timestamp(),) * 2)
    return path


def look_at(page: Page, path: Path) -> None:
    """Uploads a file from the list of imports, and waits for its preview."""
    page.get_by_role("link", name="Imports").first.click()
    page.get_by_label("Import a platform's report").set_input_files(path)
    page.get_by_role("button", name="Show the preview").click()
    expect(page.get_by_role("heading", name=path.name)).to_be_visible()


def test_a_report_is_uploaded_corrected_imported_and_undone(
    world: World, browse: Browse, chrome: Browser, tmp_path: Path
) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    campaign = world.campaign(world.brand(zone="UTC"), platform="meta_ads", external_id="7")
    with browse() as client, page_of(chrome, str(client.base_url), viewport=WIDE) as page:
        sign_in(page, "ops@example.com")
        look_at(page, report(tmp_path))
        page.get_by_label("Platform").select_option("meta_ads")
        page.get_by_role("button", name="Update the preview").click()
        expect(page.locator("[data-plan]")).to_contain_text("$20.00")
        page.get_by_label("Spend", exact=True).select_option("budget")
        page.get_by_role("button", name="Update the preview").click()
        expect(page.locator("[data-plan]")).to_contain_text("$198.00")
        expect(page.locator("[data-columns]")).to_contain_text("as chosen")
        page.get_by_label("Spend", exact=True).select_option("spend")
        page.get_by_role("button", name="Update the preview").click()
        expect(page.locator("[data-plan]")).to_contain_text("2026-06-18 09:00:00 UTC")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
            assert serious_faults(page, scheme) == []
        page.get_by_role("button", name="Import it").click()
        expect(page.locator(".alert")).to_contain_text("2 totals counted")
        assert world.spent(campaign) == 20 * UNIT
        expect(page.get_by_role("heading", name="Rows left out")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download all").click()
        assert download.value.path().read_text().splitlines()[0] == "line,cell,reason"
        assert serious_faults(page, "light") == []

        page.get_by_role("link", name="Undo").click()
        page.get_by_role("button", name="Yes, undo it").click()
        expect(page.locator(".alert")).to_contain_text("Put back 2 totals")
        assert world.spent(campaign) == 0
        page.get_by_role("link", name="All imports").click()
        expect(page.locator("[data-imports]")).to_contain_text("undone")
        page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert serious_faults(page, "light") == []
    world.verify()


def test_a_file_without_ids_is_asked_about_and_a_fall_is_confirmed(
    world: World, browse: Browse, chrome: Browser, tmp_path: Path
) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    world.brand(zone="UTC", name="Hudson Shoes")
    with browse() as client, page_of(chrome, str(client.base_url), viewport=WIDE) as page:
        sign_in(page, "ops@example.com")
        for number, amount in enumerate(("10.50", "2.50")):
            path = tmp_path / f"tiktok_{number}.csv"
            path.write_text(f"Campaign name,By Day,Cost\nSpring,2026-06-17,{amount}\n")
            os.utime(path, (CHANGED_AT.timestamp() + number,) * 2)
            look_at(page, path)
            page.locator("[data-question] a").first.click()
            page.get_by_label("In brand").fill("Hudson Shoes")
            page.get_by_role("button", name="Update the preview").click()
            if number:
                expect(page.locator("[data-concern]")).to_contain_text("$10.50 → $2.50")
            page.get_by_role("button", name="import it" if number else "Import it").click()
            expect(page.locator(".alert")).to_contain_text("1 total counted")
    assert world.one("SELECT spent_micros FROM brand_days")["spent_micros"] == 2_500_000
    world.verify()
