"""Monthly reports as pages: the list, one month with its plots, its files, and its print."""

import csv
import json
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from starlette.testclient import TestClient

from app.reports.generate import generate_due, on_demand
from tests.web.chromium import Watched
from tests.web.conftest import Browse
from tests.web.test_browser import serious_faults
from tests.web.test_dashboard import text
from tests.world import UNIT, World

MAY = date(2026, 5, 1)
CAMPAIGNS = 25
MADE = """
    INSERT INTO campaigns (brand_id, name) SELECT %s, format('Campaign %%s <i>', number)
    FROM generate_series(0, %s) AS number RETURNING id
"""


@pytest.fixture
def brand(world: World) -> int:
    """A May with overspend on one day, closed, and then a refund and an import that came late."""
    world.set_clock("2026-05-10T12:00:00Z")
    brand = world.brand("Asia/Kathmandu", "EUR", "Hudson <b>Shoes</b>", daily=10 * UNIT, monthly=40 * UNIT)
    made = (
        "INSERT INTO campaigns (brand_id, name) SELECT %s, format('Campaign %%s <i>', n) FROM generate_series(0, %s) n"
    )
    campaigns = [row["id"] for row in world.rows(f"{made} RETURNING id", brand, CAMPAIGNS - 1)]
    world.tick()
    world.spend(campaigns[0], 11 * UNIT)
    world.set_clock("2026-05-11T06:00:00Z")
    world.tick()
    world.spend(campaigns[1], 3 * UNIT + 1)
    world.set_status(campaigns[2], "paused")
    world.set_clock("2026-06-01T00:00:00Z")
    generate_due()
    world.spend(campaigns[0], -2 * UNIT, "2026-05-12T12:00:00Z")
    world.spend(campaigns[1], 12 * UNIT, "2026-05-13T12:00:00Z")
    world.set_clock("2026-06-03T00:00:00Z")
    generate_due()
    return brand


def test_report_list_shows_each_month_with_its_versions(world: World, brand: int, open_pages: TestClient) -> None:
    text = open_pages.get(f"/brands/{brand}/reports/").text
    for words in (
        "May 2026",
        "€24.00",
        "€10.00",
        f'href="/brands/{brand}/reports/2026-05?version=1"',
        f'href="/brands/{brand}/reports/2026-06"',
        "June so far",
        "Hudson &lt;b&gt;Shoes",
    ):
        assert words in text


def test_report_list_of_a_new_brand_shows_when_the_first_report_is_stored(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-03T00:00:00Z")
    brand = world.brand("Asia/Kathmandu")
    text = open_pages.get(f"/brands/{brand}/reports/").text
    assert "No reports yet" in text
    assert "after the month ends in Asia/Kathmandu" in text


def test_report_page_shows_figures_and_changes_since_it_was_stored(
    world: World, brand: int, open_pages: TestClient
) -> None:
    text = open_pages.get(f"/brands/{brand}/reports/2026-05").text
    for words in (
        "version 2, stored Wed 2026-06-03 05:45 in Asia/Kathmandu",
        "first stored as €14.00, changed by €10.00 since",
        "Month to date against the limit",
        "17:45",
        "the last spend event exceeded the remaining budget",
        "spend was received late",
        "paused by a person",
        "5 other campaigns together",
        "5 other campaigns, on average",
        "Campaign 1 &lt;i&gt;",
    ):
        assert words in text
    assert "<b>Shoes" not in text
    assert text.count("<svg") == text.count("</svg>")


def test_earlier_version_of_a_report_is_shown_unchanged(world: World, brand: int, open_pages: TestClient) -> None:
    text = open_pages.get(f"/brands/{brand}/reports/2026-05?version=1").text
    assert "version 1, stored" in text
    assert "unchanged since the month ended" in text
    assert "2026-05.csv?version=1" in text


def test_report_page_of_the_running_month_shows_figures_so_far(
    world: World, brand: int, open_pages: TestClient
) -> None:
    text = open_pages.get(f"/brands/{brand}/reports/2026-06").text
    assert "month in progress, as of Wed 2026-06-03 05:45" in text
    assert "Nothing was spent so far" in text


def test_report_page_names_missing_campaigns_and_budgets(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-03T00:00:00Z")
    brand = world.brand()
    text = open_pages.get(f"/brands/{brand}/reports/2026-06").text
    assert "There was no campaign" in text
    assert "There was no budget, so spend was not limited" in text


def test_a_month_with_only_refunds_is_drawn_below_the_line(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-03T12:00:00Z")
    brand = world.brand()
    world.spend(world.campaign(brand), -5 * UNIT)
    page = open_pages.get(f"/brands/{brand}/reports/2026-06")
    assert page.status_code == 200
    assert "-$5.00" in page.text


def test_report_page_shows_when_limits_were_reached_and_a_line_for_each_budget(
    world: World, open_pages: TestClient
) -> None:
    world.set_clock("2026-05-30T00:00:00Z")
    brand = world.brand("Asia/Kathmandu", monthly=90 * UNIT)
    search, calm = world.campaign(brand, "Search", daily=5 * UNIT), world.campaign(brand, "Calm", daily=8 * UNIT)
    world.set_clock("2026-05-30T06:00:00Z")
    world.spend(search, 5 * UNIT)
    world.spend(calm, 2 * UNIT)
    world.set_clock("2026-05-30T07:30:00Z")
    world.limit(6 * UNIT, campaign=search)
    world.set_clock("2026-05-30T07:45:00Z")
    world.spend(search, UNIT)
    output = text(open_pages, f"/brands/{brand}/reports/2026-05")
    assert "Search daily on 2026-05-30 in progress $6.00 $6.00 100.0 % 11:45 to 13:15; from 13:30" in output
    assert "the brand monthly $90.00 30 8.8 % 0 of 1" in output
    assert "Calm daily $8.00 1 25.0 % 0 of 1" in output


def test_figures_without_history_are_shown_as_a_dash(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-03T00:00:00Z")
    brand = world.brand()
    world.spend(world.campaign(brand, "Search"), UNIT, "2026-05-20T12:00:00Z")
    output = text(open_pages, f"/brands/{brand}/reports/2026-05")
    assert "Time within budget – unknown: the history of holds starts after this month" in output
    assert "Status changes – not known" in output
    assert "Search $1.00 – –" in output
    assert "0 h 00 min" not in output


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/brands/99/reports/", "There is no brand 99."),
        ("/brands/99/reports/2026-05", "There is no brand 99."),
        ("/brands/1/reports/2026-13", "is not a month such as 2026-10."),
        ("/brands/1/reports/soon.csv", "is not a month such as 2026-10."),
        ("/brands/1/reports/2026-09", "2026-09 has not begun."),
        ("/brands/1/reports/2026-09.json", "2026-09 has not begun."),
        ("/brands/1/reports/2020-01", "2020-01 ended before the brand's first data."),
        ("/brands/1/reports/2026-05?version=9", "There is no version 9 of 2026-05."),
    ],
)
def test_unknown_report_gets_a_not_found_page(
    world: World, brand: int, open_pages: TestClient, address: str, sentence: str
) -> None:
    page = open_pages.get(address)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert sentence in unescape(page.text)


def test_report_files_have_the_content_and_descriptive_names(world: World, brand: int, open_pages: TestClient) -> None:
    table = open_pages.get(f"/brands/{brand}/reports/2026-05.csv")
    assert table.content.startswith("\N{ZERO WIDTH NO-BREAK SPACE}brand_id,".encode())
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert f'filename="brand-{brand}-2026-05-version-2.csv"' in table.headers["content-disposition"]
    rows = list(csv.DictReader(table.content.decode("utf-8-sig").splitlines()))
    assert {row["kind"] for row in rows} == {"spend", "limit", "exhausted", "held", "in_budget", "restated"}
    first = open_pages.get(f"/brands/{brand}/reports/2026-05.json?version=1")
    assert json.loads(first.text)["spent_micros"] == 14 * UNIT + 1
    assert 'version-1.json"' in first.headers["content-disposition"]


def test_viewing_a_stored_report_stores_no_version(world: World, brand: int, open_pages: TestClient) -> None:
    world.spend(1, UNIT, "2026-05-20T12:00:00Z")
    assert "version 2" in open_pages.get(f"/brands/{brand}/reports/2026-05").text
    assert on_demand(brand, MAY)["version"] == 3


def test_reports_need_a_login(world: World, brand: int, browse: Browse) -> None:
    with browse(SPENDGATE_OPEN_DASHBOARD="false") as client:
        for address in ("", "2026-05", "2026-05.csv", "2026-05.json"):
            answer = client.get(f"/brands/{brand}/reports/{address}")
            assert (answer.status_code, "/admin/login" in answer.headers["location"]) == (303, True)


# In a browser


def overflow(page: Page) -> list[str]:
    """The elements beyond the right edge, except tables in a region that scrolls."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter(part => !part.closest(".wide") || getComputedStyle(part.closest(".wide")).overflowX === "visible")
            .filter(part => part.getBoundingClientRect().right > innerWidth + 1)
            .map(part => `${part.tagName} ${part.className}`)"""
    )
    return found


def beyond(page: Page, chosen: str) -> list[str]:
    """The chosen elements beyond the right edge, including those in scrolling regions."""
    found: list[str] = page.evaluate(
        """(chosen) => [...document.querySelectorAll(chosen)]
            .filter(part => part.getBoundingClientRect().right > innerWidth + 1)
            .map(part => part.outerHTML.slice(0, 120))""",
        chosen,
    )
    return found


def test_report_page_prints_completely_and_without_navigation(
    world: World, brand: int, browse: Browse, chrome: Browser, tmp_path: Path
) -> None:
    with browse() as client, chrome.new_page(viewport={"width": 688, "height": 1000}, color_scheme="dark") as page:
        watched = Watched(page)
        page.emulate_media(media="print")
        page.goto(f"{client.base_url}/brands/{brand}/reports/2026-05")
        shown = page.inner_text("body")
        assert "Hudson <b>Shoes</b>, May 2026" in shown
        assert "the last spend event exceeded the remaining budget" in shown
        for gone in ("Sign in", "CSV", "Versions"):
            assert gone not in shown
        assert overflow(page) == []
        style = "getComputedStyle(document.{}).backgroundColor"
        assert page.evaluate(style.format("body")) == "rgb(255, 255, 255)"
        assert page.evaluate(style.format('querySelector(".plot-card")')) == "rgb(255, 255, 255)"
        printed = page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
        assert watched.faults == []
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") >= 2
    assert b"/MediaBox [0 0 594.95996 841.91998]" in printed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_page_fits_a_phone_and_shows_plots_without_javascript(
    world: World, brand: int, browse: Browse, chrome: Browser, scheme: str
) -> None:
    phone: Any = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme, "java_script_enabled": False}
    with browse() as client, chrome.new_page(**phone) as page:
        watched = Watched(page)
        page.goto(f"{client.base_url}/brands/{brand}/reports/2026-05")
        assert overflow(page) == []
        assert page.locator("rect.bar-mark").count() == 5
        assert page.get_by_role("img", name="Bars for the days of May 2026").is_visible()
        assert page.locator(".stacks > svg").count() == 21
        cell = page.get_by_text("17:45", exact=True).first
        assert cell.is_visible()
        assert (
            page.evaluate("node => getComputedStyle(node.closest('td'), '::before').content", cell.element_handle())
            == '"Limit reached at"'
        )
        for address in ("2026-05", ""):
            page.goto(f"{client.base_url}/brands/{brand}/reports/{address}")
            assert beyond(page, ".figures *") == []
        assert watched.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_page_is_accessible(world: World, brand: int, browse: Browse, chrome: Browser, scheme: Any) -> None:
    with browse() as client, chrome.new_page(color_scheme=scheme) as page:
        page.goto(f"{client.base_url}/brands/{brand}/reports/2026-05")
        assert serious_faults(page, scheme) == []
