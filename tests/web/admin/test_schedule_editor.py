"""The schedule editor in a real browser: dragging, keys, typing, copying, the preview."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from app import access
from domain.access import Role
from runtime import clock
from tests.web.admin.conftest import PASSWORD
from tests.web.chromium import Watched
from tests.web.conftest import Browse
from tests.world import World

Editor = Callable[..., Page]


@pytest.fixture
def editor(world: World, browse: Browse, chrome: Browser) -> Iterator[Editor]:
    """Opens the editor of a campaign with this schedule, in a browser with a signed-in person."""
    campaign = world.campaign(world.brand(zone="America/New_York"), name="Search")
    with browse() as client, ExitStack() as stack:
        watched: list[Watched] = []

        def opened(schedule: str = "", role: Role = Role.OPERATOR, **options: Any) -> Page:
            if schedule:
                world.schedule(campaign, schedule)
            access.create_user("ops@example.com", PASSWORD, role, "test")
            page = chrome.new_page(base_url=str(client.base_url), **options)
            stack.callback(page.close)
            watched.append(Watched(page))
            page.goto(f"/admin/campaigns/{campaign}/schedule")
            page.fill("#username", "ops@example.com")
            page.fill("#password", PASSWORD)
            page.click("button[type=submit]")
            expect(page.locator("[data-days] > li")).to_have_count(7)
            return page

        yield opened
        refused = "status of 422"  # the console's line about a refused text
        assert [fault for one in watched for fault in one.faults if refused not in fault] == []


def text(page: Page) -> Any:
    """The text field of the schedule."""
    return page.locator("#schedule-text")


def cell(page: Page, day: str, hour: int) -> Any:
    """One hour of the grid, found by its name for screen readers."""
    return page.get_by_role("gridcell", name=re.compile(f"^{day} {hour:02d}:00 to "))


def test_drag_from_a_closed_hour_opens_hours_and_from_an_open_hour_closes_them(editor: Editor, world: World) -> None:
    page = editor("Sun 00:00-01:00")
    world.set_status(world.one("SELECT id FROM campaigns")["id"], "paused")  # so that no schedule releases it now
    cell(page, "Monday", 9).hover()
    page.mouse.down()
    cell(page, "Wednesday", 16).hover()
    page.mouse.up()
    expect(text(page)).to_have_value("Mon-Wed 09:00-17:00, Sun 00:00-01:00")
    expect(cell(page, "Tuesday", 12)).to_have_accessible_name("Tuesday 12:00 to 13:00, open")
    cell(page, "Tuesday", 12).hover()
    page.mouse.down()
    cell(page, "Tuesday", 13).hover()
    page.mouse.up()
    shown = "Mon 09:00-17:00, Tue 09:00-12:00, Tue 14:00-17:00, Wed 09:00-17:00, Sun 00:00-01:00"
    expect(text(page)).to_have_value(shown)
    expect(page.locator("[data-total]")).to_have_text("23 h in all, America/New_York")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").first).to_contain_text("Search serves Mon 09:00-17:00")
    assert len(world.rows("SELECT FROM dayparts")) == 5


def test_keyboard_moves_selects_and_toggles_hours(editor: Editor) -> None:
    page = editor("Sun 00:00-01:00")
    cell(page, "Monday", 9).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(cell(page, "Tuesday", 10)).to_be_focused()
    page.keyboard.press("Space")
    expect(text(page)).to_have_value("Tue 10:00-11:00, Sun 00:00-01:00")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("[aria-selected=true]")).to_have_count(4)
    page.keyboard.press("Space")
    expect(text(page)).to_have_value("Tue-Wed 10:00-12:00, Sun 00:00-01:00")
    page.keyboard.press("Space")
    expect(text(page)).to_have_value("Sun 00:00-01:00")


def test_typed_schedule_is_drawn_in_the_grid_with_partial_hours(editor: Editor) -> None:
    page = editor()
    expect(page.locator("[data-state]")).to_have_text("Always open: no dayparts")
    text(page).fill("Mon 09:00-17:30, Sat 22:00-06:00")
    expect(cell(page, "Monday", 17)).to_have_accessible_name("Monday 17:00 to 18:00, open 30 of 60 minutes")
    expect(cell(page, "Sunday", 5)).to_have_accessible_name("Sunday 05:00 to 06:00, open")
    expect(cell(page, "Sunday", 6)).to_have_accessible_name("Sunday 06:00 to 07:00, closed")
    expect(text(page)).to_have_value("Mon 09:00-17:30, Sat 22:00-06:00")
    cell(page, "Monday", 17).click()
    expect(text(page)).to_have_value("Mon 09:00-18:00, Sat 22:00-24:00, Sun 00:00-06:00")


def test_invalid_schedule_shows_its_error_while_typing(editor: Editor) -> None:
    page = editor("Mon 09:00-10:00")
    text(page).fill("Mon 9-17")
    expect(page.locator("#text-error")).to_contain_text("cannot read 'Mon 9-17'")
    expect(text(page)).to_have_attribute("aria-invalid", "true")
    text(page).fill("Mon 09:00-17:00")
    expect(page.locator("#text-error")).to_be_empty()
    expect(text(page)).not_to_have_attribute("aria-invalid", "true")
    expect(cell(page, "Monday", 16)).to_have_accessible_name("Monday 16:00 to 17:00, open")


def test_refused_text_leaves_grid_and_preview_on_the_stored_schedule(editor: Editor, world: World) -> None:
    page = editor("Mon 09:00-10:00")
    expect(page.locator("[data-state]")).to_have_text("1 hour a week")
    text(page).fill("Mon 25:00-26:00, rubbish")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#text-error")).to_contain_text(
        "'25:00' is not a time between 00:00 and 24:00; nothing was saved"
    )
    expect(text(page)).to_have_value("Mon 25:00-26:00, rubbish")
    expect(page.locator("[data-state]")).to_have_text("1 hour a week")
    expect(page.locator("[data-days] > li")).to_have_count(7)
    expect(cell(page, "Monday", 9)).to_have_accessible_name("Monday 09:00 to 10:00, open")
    expect(cell(page, "Monday", 10)).to_have_accessible_name("Monday 10:00 to 11:00, closed")
    cell(page, "Monday", 10).click()
    expect(text(page)).to_have_value("Mon 09:00-11:00")
    expect(page.locator("#text-error")).to_be_empty()


def test_schedule_saved_by_somebody_else_meanwhile_is_reported_and_kept(editor: Editor, world: World) -> None:
    page = editor("Mon 09:00-10:00")
    world.schedule(1, "Tue 09:00-10:00")
    text(page).fill("Wed 09:00-10:00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="It was edited since you opened it")).to_be_visible()
    expect(text(page)).to_have_value("Wed 09:00-10:00")
    page.get_by_role("link", name="Open it again").click()
    expect(text(page)).to_have_value("Tue 09:00-10:00")


def test_copy_puts_one_day_onto_others(editor: Editor) -> None:
    page = editor("Mon 09:00-17:30, Tue 00:00-01:00")
    page.get_by_label("Copy this day").select_option("Monday")
    for day in ("Tue", "Fri"):
        page.get_by_label(day, exact=True).check()
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(text(page)).to_have_value("Mon-Tue 09:00-17:30, Fri 09:00-17:30")


def test_schedule_without_open_hours_is_refused_and_does_not_mean_always_open(editor: Editor, world: World) -> None:
    day = f"{clock.now().astimezone(ZoneInfo('America/New_York')) + timedelta(days=3):%A}"
    page = editor(f"{day[:3]} 09:00-10:00")
    cell(page, day, 9).click()
    expect(page.locator("#text-error")).to_contain_text("To stop the campaign, pause it.")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    page.get_by_role("button", name="Always open").click()
    expect(text(page)).to_have_value("always")
    expect(page.locator("#text-error")).to_be_empty()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").first).to_contain_text(
        f"Schedule {day[:3]} 09:00-10:00 → always: releases 1 campaign"
    )
    page.get_by_role("button", name="Yes, save it").click()
    expect(page.get_by_text("Search serves always")).to_be_visible()
    assert world.rows("SELECT FROM dayparts") == []


def test_first_hours_drawn_on_an_always_open_schedule_become_its_open_hours(editor: Editor) -> None:
    page = editor()
    cell(page, "Wednesday", 0).click()
    expect(text(page)).to_have_value("Wed 00:00-01:00")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(text(page)).to_have_value("Wed-Thu 00:00-01:00")


def test_viewer_reads_the_schedule_and_cannot_change_it(editor: Editor) -> None:
    page = editor("Mon 09:00-10:00", Role.VIEWER)
    cell(page, "Monday", 12).click()
    cell(page, "Monday", 9).focus()
    page.keyboard.press("Space")
    expect(cell(page, "Monday", 9)).to_have_accessible_name("Monday 09:00 to 10:00, open")
    expect(cell(page, "Monday", 12)).to_have_accessible_name("Monday 12:00 to 13:00, closed")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    assert text(page).get_attribute("readonly") is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_schedule_editor_fits_a_phone_and_a_tap_toggles_an_hour(editor: Editor, scheme: str) -> None:
    page = editor("Sun 00:00-01:00", viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.dataset.bsTheme") == scheme
    cell(page, "Monday", 9).tap()
    expect(text(page)).to_have_value("Mon 09:00-10:00, Sun 00:00-01:00")
