"""`spendgate up` on a terminal: prints log events as sentences above a footer with the address and counting rate."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from cli.output import money
from db.engine import snapshot
from db.repository.ledger.rejected import printable
from db.repository.reading import overview
from domain.holds import hold_in_words, in_words
from domain.platforms import label
from domain.reconcile import Action
from runtime.formats import duration
from runtime.settings import SettingsError

RATE_SECONDS: Final = 5.0
"""Length in seconds of the window over which the counting rate is averaged."""

SENTENCES_A_SECOND: Final = 20
LOUD: Final = frozenset({"warning", "error", "critical"})
PLATFORM_SENTENCES: Final = frozenset({"platform.confirmed", "platform.refused", "platform.hand"})
COUNTED: Final = frozenset({"spend.ingested", "totals.ingested"})

Event = Mapping[str, Any]


class Names:
    """The names of brands and campaigns by id, read from the database and cached."""

    def __init__(self) -> None:
        self._campaigns: dict[int, tuple[str, str]] = {}
        self._brands: dict[int, tuple[str, str]] = {}

    def campaign(self, campaign_id: int) -> str:
        """Returns the campaign's name and its brand's, or "campaign ID" if the database cannot give them."""
        if campaign_id not in self._campaigns:
            self._load(campaign_id=campaign_id)
        name, brand = self._campaigns.get(campaign_id, (f"campaign {campaign_id}", ""))
        return f"{name} ({brand})" if brand else name

    def brand(self, brand_id: int) -> tuple[str, str]:
        """Returns the brand's name and currency, or "brand ID" and USD if the database cannot give them."""
        if brand_id not in self._brands:
            self._load(brand_id=brand_id)
        return self._brands.get(brand_id, (f"brand {brand_id}", "USD"))

    def _load(self, campaign_id: int | None = None, brand_id: int | None = None) -> None:
        with suppress(SQLAlchemyError, SettingsError), snapshot() as connection:
            for row in overview.named(connection, campaign_id=campaign_id, brand_id=brand_id):
                self._brands[row["brand_id"]] = row["brand"], row["currency"]
                if row["campaign_id"] is not None:
                    self._campaigns[row["campaign_id"]] = row["campaign"], row["brand"]


def sentence(event: Event, names: Names) -> str | None:
    """Describes a log event for people in a sentence; None for an event that only operators need."""
    name = event.get("event")
    if name in {"campaign.paused", "campaign.activated"}:
        did = "paused" if name == "campaign.paused" else "serves again; it was paused"
        return f"{names.campaign(event['campaign_id'])} {did}: {in_words(event['holds'])}"
    if name == "budget.exhausted":
        return _exhausted(event, names)
    if name in {"day.reset", "month.reset"}:
        return f"A new {str(name).partition('.')[0]} began in {', '.join(event['zones'])}"
    if name in PLATFORM_SENTENCES:
        return _on_platform(event, names)
    if event.get("level") in LOUD:
        fields = {key: value for key, value in event.items() if key not in {"event", "level", "at", "exception"}}
        return f"{event['level']}: {name} " + " ".join(f"{key}={value}" for key, value in fields.items())
    return None


def _exhausted(event: Event, names: Names) -> str:
    brand, currency = names.brand(event["brand_id"])
    owner = brand if event["campaign_id"] is None else names.campaign(event["campaign_id"])
    spent, limit = money(event["spent_micros"], currency), money(event["limit_micros"], currency)
    return f"{owner}: {hold_in_words(event['hold'])}, {spent} of {limit}"


def _on_platform(event: Event, names: Names) -> str:
    where, campaign = label(event["platform"]), names.campaign(event["campaign_id"])
    if event["event"] == "platform.hand":
        return f"A person {'paused' if event['is_held'] else 'enabled'} {campaign} on {where}"
    change = "pause" if event["action"] == Action.PAUSE else "release"
    if event["event"] == "platform.refused":
        return f"{where} refused the {change} of {campaign}, which is sent again: {event['error']}"
    delay = event["delay_seconds"]
    return f"{where} confirmed the {change} of {campaign}" + ("" if delay is None else f" after {duration(delay)}")


class Rate:
    """Counts inputs in total, and per second over the last RATE_SECONDS."""

    def __init__(self) -> None:
        self.total = 0
        self._recent: list[tuple[float, int]] = []

    def add(self, inputs: int, at: float) -> None:
        """Adds inputs counted at `at`, in seconds of the monotonic clock."""
        self.total += inputs
        self._recent.append((at, inputs))

    def a_second(self, at: float) -> float:
        """Returns inputs per second over the RATE_SECONDS before `at`."""
        self._recent = [(then, inputs) for then, inputs in self._recent if at - then < RATE_SECONDS]
        return sum(inputs for _, inputs in self._recent) / RATE_SECONDS

    def __str__(self) -> str:
        return f"{self.total:,} events counted, {self.a_second(time.monotonic()):,.1f} per second"


class Narrator:
    """Prints the log lines of all processes as sentences for people, and renders the footer."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._names = Names()
        self._rate = Rate()
        self._page, self._platform_page, self._second_step = "", "", ""
        self._second, self._shown, self._hidden = 0, 0, 0

    def footer(self) -> Text:
        """Renders the lines below the sentences: the address, commands to try next and the counting rate."""
        if not self._page:
            return Text(str(self._rate) if self._rate.total else "")
        command = "spendgate" if shutil.which("spendgate") else sys.argv[0]
        there = f"The fake Google Ads, where campaigns of Hudson Shoes spend: {self._platform_page}"
        lines = (
            ("─" * min(self._screen.width, 78), "dim"),
            (f"Spendgate is running: {self._page} (Ctrl-C stops it)", "bold"),
            *([(there, "")] if self._platform_page else []),
            ("Next, in another terminal:", ""),
            (f"  {command} status     list active campaigns and status changes", ""),
            (f"  {command} {self._second_step}", ""),
            (str(self._rate), "cyan"),
        )
        footer = Text(no_wrap=True, overflow="ellipsis")
        for number, (line, style) in enumerate(lines):
            footer.append(("\n" if number else "") + line, style)
        return footer

    def show(self, line: str) -> None:
        """Prints the sentence of a log event, or nothing if only operators need it; any other line as plain text."""
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            self._screen.print(printable(line.expandtabs()), markup=False, highlight=False)
            return
        if event["event"] in {"service.started", "service.stopped"}:
            self._page, self._platform_page = event.get("page", ""), event.get("platform_page") or ""
            self._second_step = (
                "explain 2  explain the status of campaign 2" if event.get("demo") else "--help     list all commands"
            )
        if event["event"] in COUNTED:
            self._rate.add(event.get("taken", 0), time.monotonic())
        text = sentence(event, self._names)
        if text is not None:
            self._print(text, event)

    def _print(self, text: str, event: Event) -> None:
        """Prints a sentence; above SENTENCES_A_SECOND it prints only how many more there were in that second."""
        second = int(time.monotonic())
        if second != self._second:
            if self._hidden:
                self._screen.print(f"[dim]         … and {self._hidden:,} more[/dim]")
            self._second, self._shown, self._hidden = second, 0, 0
        self._shown += 1
        if self._shown > SENTENCES_A_SECOND:
            self._hidden += 1
            return
        style = {"campaign.paused": "red", "campaign.activated": "green"}.get(
            event["event"], "yellow" if event.get("level") in LOUD else ""
        )
        at = str(event.get("at", ""))[11:19]
        self._screen.print(Text.assemble((f"{printable(at)} ", "dim"), (printable(text), style)), highlight=False)


@contextmanager
def narrated() -> Iterator[None]:
    """Redirects the standard output of this process and its children to a narrator, which prints to the terminal.

    Within the block LOG_FORMAT is json. Restores output and LOG_FORMAT at the end.
    """
    screen_descriptor = os.dup(1)
    read_end, write_end = os.pipe()
    before = os.environ.get("LOG_FORMAT")
    sys.stdout.flush()
    os.dup2(write_end, 1)
    os.close(write_end)
    os.environ["LOG_FORMAT"] = "json"
    screen_file = os.fdopen(screen_descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    screen = Console(file=screen_file)
    thread = threading.Thread(target=_narrate, args=(read_end, screen), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(screen_descriptor, 1)  # closes the pipe's last writer, so the narrator's thread ends
        thread.join(timeout=5)
        screen_file.close()
        os.close(screen_descriptor)
        _restore("LOG_FORMAT", before)


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def _narrate(read_end: int, screen: Console) -> None:
    """Shows each line of the pipe until it closes. Ignores errors, because a full pipe would block all processes."""
    narrator = Narrator(screen)
    with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines, _footer(narrator, screen):
        for line in lines:
            with suppress(Exception):
                narrator.show(line.rstrip("\n"))


@contextmanager
def _footer(narrator: Narrator, screen: Console) -> Iterator[None]:
    if screen.is_dumb_terminal:
        screen.print(narrator.footer())
        yield
        return
    with Live(console=screen, get_renderable=_renderable(narrator), refresh_per_second=2, transient=False):
        yield


def _renderable(narrator: Narrator) -> Callable[[], Text]:
    return narrator.footer
