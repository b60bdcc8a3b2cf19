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
EMAIL: Final = "you@example.com"
PREVIEW_HEIGHT: Final = 1000
EARLIER: Final = """Kampagnenbericht
1. November 2026 - 1. November 2026
Tag;Kampagnen-ID;Kampagne;Währungscode;Kosten
2026-11-01;21480211001;Herbststiefel;EUR;18,20
"""
REPORT: Final = """Kampagnenbericht
1. November 2026 - 2. November 2026
Tag;Kampagnen-ID;Kampagne;Währungscode;Kosten
2026-11-01;21480211001;Herbststiefel;EUR;24,65
2026-11-01;21480211002;Wintermäntel;EUR;9,99
2026-11-02;21480211001;Herbststiefel;EUR;21,13
2026-11-02;21480211002;Wintermäntel;EUR;12,40
Gesamt: Konto; --; --;EUR;68,17
"""
STEP: Final = '<p>{caption}</p><img src="data:image/png;base64,{picture}">'


class Service:
    """Runs commands against a running `spendgate up --demo`."""

    def __init__(self, home: Path, port: int) -> None:
        self.env = {**os.environ, "SPENDGATE_HOME": str(home), "PORT": str(port), "COLUMNS": "200"}
        self.page = f"http://127.0.0.1:{port}/"

    def spendgate(self, *arguments: str, given: str = "") -> str:
        """Runs a command to its end; returns what it printed."""
        command = [sys.executable, "-m", "cli", *arguments]
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
    """Writes `dashboard.png`, `pause.png` and `import.png` beside this file."""
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
        page.set_viewport_size({"width": WIDTH, "height": PREVIEW_HEIGHT})
        preview(service, page)
        page.screenshot(path=FOLDER / "import.png")
        browser.close()


def story(service: Service, page: Page) -> list[str]:
    """Creates a campaign that spends, is paused and serves again; returns a picture of each step, as HTML."""
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


def preview(service: Service, page: Page) -> None:
    """Creates campaigns, imports earlier figures, signs in, and opens the preview of a newer report in `page`."""
    brand = service.create("brand", "create", "Kawa Coffee", "--time-zone", "Europe/Berlin", "--currency", "EUR")
    for name, external_id in (("Herbststiefel", "21480211001"), ("Wintermäntel", "21480211002")):
        named = ("--platform", "google_ads", "--external-id", external_id)
        service.create("campaign", "create", name, "--brand", brand, *named)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("earlier.csv", EARLIER), ("Kampagnenbericht.csv", REPORT)):
            (Path(folder) / name).write_text(text)
        service.spendgate("import", f"{folder}/earlier.csv", "--as-of", "2026-11-02T08:00:00Z", "--yes")
        password = service.spendgate("create-admin", EMAIL, "--generate", "--json")
        page.goto(f"{service.page}admin/login")
        page.locator("input[name=username]").fill(EMAIL)
        page.locator("input[name=password]").fill(json.loads(password)["password"])
        page.locator("button[type=submit]").click()
        page.goto(f"{service.page}admin/imports")
        page.locator("input[type=file]").set_input_files(f"{folder}/Kampagnenbericht.csv")
        page.get_by_role("button", name="Show the preview").click()
        expect(page.get_by_text("21480211001").or_(page.get_by_text("Kampagnen-ID")).first).to_be_visible()


def row_of(page: Page) -> bytes:
    """Takes a picture of the page's table of campaigns, as PNG."""
    return page.locator("table", has=page.locator("[id^=campaign-]")).first.screenshot()


def taken(picture: bytes, caption: str) -> str:
    """Returns one step of the story as HTML: the caption above the picture."""
    return STEP.format(caption=caption, picture=base64.b64encode(picture).decode())


def noon_zone() -> str:
    """A zone in which it is about noon now, so that no midnight comes while the pictures are taken."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # noqa: TID251 - as above


@contextmanager
def running() -> Iterator[Service]:
    """Starts the service with the demo, and yields it once three campaigns are inactive.

    Stops it and deletes its data at the end.
    """
    home = Path(tempfile.mkdtemp(prefix="pictures-"))
    home.chmod(0o755)
    service = Service(home / "home", free_port())
    command = [sys.executable, "-m", "cli", "up", "--demo"]
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
    """Polls `is_true` until it returns True. Raises TimeoutError after DEADLINE_SECONDS."""
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
