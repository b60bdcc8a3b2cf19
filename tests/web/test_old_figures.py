"""An open page warns that its figures are old after any failure, and removes the warning after recovery."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser as Chrome
from playwright.sync_api import Page, expect

from tests.cli.shell import Service, serving
from tests.ports import free_port
from tests.world import UNIT, World, eventually

PATIENCE_MILLISECONDS = 60_000
Open = tuple[Service, str]


@pytest.fixture
def service(world: World, tmp_path: Path) -> Iterator[Open]:
    """The address of a web process with an open dashboard."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    env = {"PORT": str(port), "SPENDGATE_OPEN_DASHBOARD": "true"}
    with serving("-m", "web", output=tmp_path / "output", env=env) as started:
        eventually(lambda: _answers(address))
        yield started, address


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def opened(chrome: Chrome, address: str) -> Page:
    page = chrome.new_page(base_url=address)
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    return page


@pytest.mark.parametrize("path", ["/", "/changes"])
def test_open_page_reports_a_hung_server_within_ten_seconds_and_recovers(
    world: World, service: Open, chrome: Chrome, path: str
) -> None:
    world.spend(world.campaign(world.brand(name="Hudson Shoes")), UNIT)
    process, address = service
    page = opened(chrome, address)
    page.clock.install()
    page.goto(path)
    eventually(lambda: bool(page.evaluate("performance.now() - receivedAt < 2000")))
    process.send(signal.SIGSTOP)
    page.clock.run_for(10_000)
    assert not page.evaluate("document.getElementById('connection').hidden")
    expect(page.get_by_text("The server does not answer. This page is")).to_be_visible()
    process.send(signal.SIGCONT)
    expect(page.locator("#connection")).to_be_hidden(timeout=PATIENCE_MILLISECONDS)
    page.close()


SPENDS = """() => {
    const time = document.querySelector("time[data-newest]"), now = opened.serverAt + performance.now() - opened.at;
    const told = [];
    time.dataset.newest = "a brand whose spend comes every four seconds";
    for (const secondsAgo of [24, 20, 16, 12]) {
        time.dateTime = new Date(now - 1000 * secondsAgo).toISOString();
        showNewest();
        told.push(time.textContent);
    }
    return told;
}"""


def test_open_page_shows_the_age_of_the_newest_spend_and_when_spend_stops(
    world: World, service: Open, chrome: Chrome
) -> None:
    world.spend(world.campaign(world.brand(name="Hudson Shoes")), UNIT)
    page = opened(chrome, service[1])
    page.goto("/")
    expect(page.locator("time[data-newest]")).to_contain_text("s ago")
    shown = page.evaluate(SPENDS)
    assert shown == ["24 s ago", "20 s ago", "16 s ago: no new spend since", "12 s ago: no new spend since"]
    page.close()


def test_refresh_without_a_change_transfers_almost_nothing(world: World, service: Open, chrome: Chrome) -> None:
    world.spend(world.campaign(world.brand(name="Hudson Shoes")), UNIT)
    page = opened(chrome, service[1])
    page.goto("/")
    with page.expect_response(lambda answer: answer.status == 304):
        page.evaluate("refresh()")
    expect(page.get_by_text("Hudson Shoes")).to_be_visible()
    page.close()
