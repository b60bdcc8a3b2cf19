"""`spendgate up` on a terminal: what happens, as sentences; below them the address and how fast spend is counted."""

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
from runtime.settings import SettingsError

RATE_SECONDS: Final = 5.0
"""The counting rate is that of the last so many seconds."""

SENTENCES_A_SECOND: Final = 20
LOUD: Final = frozenset({"warning", "error", "critical"})
COUNTED: Final = frozenset({"spend.ingested", "totals.ingested"})

Event = Mapping[str, Any]


class Names:
    """The names of brands and campaigns by their ids, each asked for once."""

    def __init__(self) -> None:
        self._campaigns: dict[int, tuple[str, str]] = {}
        self._brands: dict[int, tuple[str, str]] = {}

    def campaign(self, campaign_id: int) -> str:
        """The campaign's name and its brand's; its id where nobody can be asked."""
        if campaign_id not in self._campaigns:
            self._learn(campaign_id=campaign_id)
        name, brand = self._campaigns.get(campaign_id, (f"campaign {campaign_id}", ""))
        return f"{name} ({brand})" if brand else name

    def brand(self, brand_id: int) -> tuple[str, str]:
        """The brand's name and currency; its id and dollars where nobody can be asked."""
        if brand_id not in self._brands:
            self._learn(brand_id=brand_id)
        return self._brands.get(brand_id, (f"brand {brand_id}", "USD"))

    def _learn(self, campaign_id: int | None = None, brand_id: int | None = None) -> None:
        with suppress(SQLAlchemyError, SettingsError), snapshot() as connection:
            for row in overview.named(connection, campaign_id=campaign_id, brand_id=brand_id):
                self._brands[row["brand_id"]] = row["brand"], row["currency"]
                if row["campaign_id"] is not None:
                    self._campaigns[row["campaign_id"]] = row["campaign"], row["brand"]


def sentence(event: Event, names: Names) -> str | None:
    """What an event tells a person; None for one that only operators look for."""
    name = event.get("event")
    if name == "campaign.paused":
        return f"{names.campaign(event['campaign_id'])} stopped: {in_words(event['holds'])}"
    if name == "campaign.activated":
        return f"{names.campaign(event['campaign_id'])} serves again; it was stopped: {in_words(event['holds'])}"
    if name == "budget.exhausted":
        return _exhausted(event, names)
    if name in {"day.reset", "month.reset"}:
        return f"A new {str(name).partition('.')[0]} began in {', '.join(event['zones'])}"
    if event.get("level") in LOUD:
        told = {key: value for key, value in event.items() if key not in {"event", "level", "at", "exception"}}
        return f"{event['level']}: {name} " + " ".join(f"{key}={value}" for key, value in told.items())
    return None


def _exhausted(event: Event, names: Names) -> str:
    brand, currency = names.brand(event["brand_id"])
    whose = brand if event["campaign_id"] is None else names.campaign(event["campaign_id"])
    spent, limit = money(event["spent_micros"], currency), money(event["limit_micros"], currency)
    return f"{whose}: {hold_in_words(event['hold'])}, {spent} of {limit}"


class Rate:
    """How many inputs were counted, in all and a second."""

    def __init__(self) -> None:
        self.total = 0
        self._recent: list[tuple[float, int]] = []

    def add(self, inputs: int, at: float) -> None:
        """Notes inputs counted at a monotonic second."""
        self.total += inputs
        self._recent.append((at, inputs))

    def a_second(self, at: float) -> float:
        """The rate of the last RATE_SECONDS."""
        self._recent = [(then, inputs) for then, inputs in self._recent if at - then < RATE_SECONDS]
        return sum(inputs for _, inputs in self._recent) / RATE_SECONDS

    def __str__(self) -> str:
        return f"{self.total:,} events counted, {self.a_second(time.monotonic()):,.1f} a second"


class Narrator:
    """Turns the log lines of all processes into what stands on the screen."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._names = Names()
        self._rate = Rate()
        self._page, self._second_step = "", ""
        self._second, self._told, self._untold = 0, 0, 0

    def footer(self) -> Text:
        """What stays in sight below the sentences: the address, what to try next, the rate."""
        if not self._page:
            return Text(str(self._rate) if self._rate.total else "")
        command = "spendgate" if shutil.which("spendgate") else sys.argv[0]
        lines = (
            ("─" * min(self._screen.width, 78), "dim"),
            (f"Spendgate runs: {self._page} (Ctrl-C stops it)", "bold"),
            ("Next, in another terminal:", ""),
            (f"  {command} status     which campaigns serve, and what changed", ""),
            (f"  {command} {self._second_step}", ""),
            (str(self._rate), "cyan"),
        )
        footer = Text(no_wrap=True, overflow="ellipsis")
        for number, (line, style) in enumerate(lines):
            footer.append(("\n" if number else "") + line, style)
        return footer

    def hear(self, line: str) -> None:
        """Tells one line of a log; one that is no event stands as it is."""
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            self._screen.print(printable(line.expandtabs()), markup=False, highlight=False)
            return
        if event["event"] in {"service.started", "service.stopped"}:
            self._page = event.get("page", "")
            self._second_step = "explain 2  why a campaign does not" if event.get("demo") else "--help     what else"
        if event["event"] in COUNTED:
            self._rate.add(event.get("taken", 0), time.monotonic())
        told = sentence(event, self._names)
        if told is not None:
            self._tell(told, event)

    def _tell(self, told: str, event: Event) -> None:
        """Prints a sentence, unless too many came within this second: then only how many more there were."""
        second = int(time.monotonic())
        if second != self._second:
            if self._untold:
                self._screen.print(f"[dim]         … and {self._untold:,} more[/dim]")
            self._second, self._told, self._untold = second, 0, 0
        self._told += 1
        if self._told > SENTENCES_A_SECOND:
            self._untold += 1
            return
        style = {"campaign.paused": "red", "campaign.activated": "green"}.get(
            event["event"], "yellow" if event.get("level") in LOUD else ""
        )
        at = str(event.get("at", ""))[11:19]
        self._screen.print(Text.assemble((f"{printable(at)} ", "dim"), (printable(told), style)), highlight=False)


@contextmanager
def narrated() -> Iterator[None]:
    """Puts a narrator between this process's standard output, its children's too, and the terminal.

    All of them write JSON lines meanwhile.
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
        os.dup2(screen_descriptor, 1)  # the last writer of the pipe: the narrator comes to its end
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
    """Reads to the end whatever happens: processes that cannot write their logs would stop."""
    narrator = Narrator(screen)
    with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines, _footer(narrator, screen):
        for line in lines:
            with suppress(Exception):
                narrator.hear(line.rstrip("\n"))


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
