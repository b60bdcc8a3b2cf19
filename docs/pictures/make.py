"""`python -m docs.pictures.make`: takes the pictures of the documentation from the running service, in Chromium."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect, sync_playwright

FOLDER: Final = Path(__file__).parent
DEADLINE_SECONDS: Final = 600
POLL_SECONDS: Final = 1.0
BROWSER_TIMEOUT_MS: Final = 120_000
WIDTH, HEIGHT, MARGIN = 1200, 760, 16

STORY: Final = """
<style>
  body {{ margin: 0; padding: 0 {margin}px 8px; font: 16px system-ui, sans-serif; background: #fff; width: {width}px }}
  p {{ margin: 12px 0 6px; font-weight: 600 }} img {{ width: 100%; display: block }}
</style>{steps}
"""
STEP: Final = '<p>{caption}</p><img src="data:image/png;base64,{picture}">'


class Service:
    """A running `spendgate up --demo`, and the commands of a person beside it."""

    def __init__(self, home: Path, port: int) -> None:
        self.env = {**os.environ, "SPENDGATE_HOME": str(home), "PORT": str(port), "COLUMNS": "200"}
        self.page = f"http://127.0.0.1:{port}/"

    def spendgate(self, *arguments: str, given: str = "") -> str:
        """Runs a command to its end; returns what it printed."""
        command = [sys.executable, "-m", "cli.main", *arguments]
        done = subprocess.run(command, env=self.env, input=given, capture_output=True, text=True, check=True)
        return done.stdout

    def create(self, *arguments: str) -> str:
        """Makes a brand or a campaign; returns its id, the second word of what the command prints."""
        return self.spendgate(*arguments).split()[1]

    def spend(self, campaign_id: str, amount_micros: int) -> None:
        """Sends one spend event and waits until it is committed."""
        event = {
            "event_id": str(uuid.uuid4()),
            "campaign_id": int(campaign_id),
            "occurred_at": datetime.now(UTC).isoformat(),  # noqa: TID251 - an upstream system has a clock of its own
            "amount_micros": amount_micros,
        }
        self.spendgate("send", "--wait", "-", given=json.dumps(event))


def main() -> None:
    """Writes `dashboard.png` and `pause.png` beside this file."""
    with running() as service, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(BROWSER_TIMEOUT_MS)
        page.goto(service.page)
        page.screenshot(path=FOLDER / "dashboard.png")
        steps = story(service, page)
        page.set_content(STORY.format(width=WIDTH - 2 * MARGIN, margin=MARGIN, steps="".join(steps)))
        page.locator("body").screenshot(path=FOLDER / "pause.png")
        browser.close()


def story(service: Service, page: Page) -> list[str]:
    """A campaign before it is paused, while it is paused, and after it came back, as parts of a page."""
    brand = service.create("brand", "create", "Acme Tea", "--time-zone", noon_zone())
    campaign = service.create("campaign", "create", "Brand search", "--brand", brand)
    service.spendgate("budget", "set", "daily", "5", "--brand", brand)
    service.spend(campaign, 3_200_000)
    page.goto(f"{service.page}brands/{brand}")
    row = page.locator(f"#campaign-{campaign}")
    steps = [taken(row_of(page), "$3.20 of $5.00 are spent: the campaign serves.")]
    service.spend(campaign, 2_800_000)
    expect(row).to_contain_text("inactive", timeout=BROWSER_TIMEOUT_MS)
    steps.append(taken(row_of(page), "One more event: $6.00 of $5.00. The same commit paused the campaign."))
    service.spendgate("budget", "set", "daily", "20", "--brand", brand, "--yes")
    expect(row).not_to_contain_text("inactive", timeout=BROWSER_TIMEOUT_MS)
    steps.append(taken(row_of(page), "The limit is $20.00 now: the campaign serves again."))
    return steps


def row_of(page: Page) -> bytes:
    """A picture of the page's table of campaigns."""
    return page.locator("table", has=page.locator("[id^=campaign-]")).first.screenshot()


def taken(picture: bytes, caption: str) -> str:
    """One step of the story as HTML."""
    return STEP.format(caption=caption, picture=base64.b64encode(picture).decode())


def noon_zone() -> str:
    """A zone in which it is about noon now, so that no midnight comes while the pictures are taken."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # noqa: TID251 - as above


@contextmanager
def running() -> Iterator[Service]:
    """The service with the demo, once campaigns have paused; its data is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="pictures-"))
    home.chmod(0o755)
    service = Service(home / "home", free_port())
    command = [sys.executable, "-m", "cli.main", "up", "--demo"]
    process = subprocess.Popen(command, env=service.env, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until((home / "home/env").exists)
        until(lambda: json.loads(service.spendgate("status", "--json"))["campaigns"].get("inactive", 0) >= 3)
        yield service
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(home)


def until(is_true: Callable[[], bool]) -> None:
    """Polls until something is true. Raises TimeoutError after DEADLINE_SECONDS."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_SECONDS)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
