"""`spendgate up` on a terminal prints sentences with names, a counting rate and the address."""

import io
import json
import os
import pty
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
from rich.console import Console

from cli.service.narration import SENTENCES_A_SECOND, Names, Narrator, Rate, sentence
from tests.cli.shell import REPOSITORY
from tests.world import UNIT, World

AT = "2026-06-17T12:00:03.000Z"


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=80)


def shown(screen: Console) -> list[str]:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue().splitlines()


def show(narrator: Narrator, event: str, level: str = "info", **fields: Any) -> None:
    narrator.show(json.dumps({"event": event, "level": level, "at": AT, **fields}))


@pytest.fixture
def campaign(world: World) -> int:
    return world.campaign(world.brand(name="Hudson Shoes", currency="EUR"), name="Brand search")


def test_narrator_prints_toggles_with_names_of_campaign_and_brand(world: World, campaign: int, screen: Console) -> None:
    narrator = Narrator(screen)
    show(narrator, "campaign.paused", campaign_id=campaign, brand_id=1, holds=["brand_daily_budget", "user_paused"])
    show(narrator, "campaign.activated", campaign_id=campaign, brand_id=1, holds=["outside_schedule"])
    assert " ".join(" ".join(shown(screen)).split()) == (
        "12:00:03 Brand search (Hudson Shoes) paused: the brand's daily budget is spent; "
        "paused by a person 12:00:03 Brand search (Hudson Shoes) serves again; it was paused: outside its "
        "schedule"
    )


def test_sentence_says_what_the_platform_confirmed_refused_and_a_person_did_there(world: World, campaign: int) -> None:
    names = Names()
    common = {"platform": "google_ads", "brand_id": 1, "campaign_id": campaign}
    shown = [
        sentence({"event": "platform.confirmed", "action": "pause", "delay_seconds": 1.23, **common}, names),
        sentence({"event": "platform.confirmed", "action": "enable", "delay_seconds": None, **common}, names),
        sentence({"event": "platform.refused", "action": "pause", "error": "Try again.", **common}, names),
        sentence({"event": "platform.hand", "is_held": True, **common}, names),
    ]
    assert shown == [
        "Google Ads confirmed the pause of Brand search (Hudson Shoes) after 1.2 s",
        "Google Ads confirmed the release of Brand search (Hudson Shoes)",
        "Google Ads refused the pause of Brand search (Hudson Shoes), which is sent again: Try again.",
        "A person paused Brand search (Hudson Shoes) on Google Ads",
    ]


def test_narrator_strips_terminal_control_characters(world: World, campaign: int, screen: Console) -> None:
    world.execute("UPDATE campaigns SET name = E'[red]\\x1b[2J\\u202e evil'")
    narrator = Narrator(screen)
    show(narrator, "campaign.paused", campaign_id=campaign, holds=["user_paused"])
    narrator.show("a library's \x1b[2J line")
    assert shown(screen) == [
        "12:00:03 [red]\ufffd[2J\ufffd evil (Hudson Shoes) paused: paused by a person",
        "a library's \ufffd[2J line",
    ]


@pytest.mark.parametrize(("of_campaign", "words"), [(True, "Brand search (Hudson Shoes): "), (False, "Hudson Shoes: ")])
def test_sentence_gives_an_exhausted_budget_in_the_currency_of_the_brand(
    world: World, campaign: int, of_campaign: bool, words: str
) -> None:
    event = {
        "event": "budget.exhausted",
        "brand_id": world.brand_of(campaign),
        "campaign_id": campaign if of_campaign else None,
        "hold": "brand_daily_budget",
        "spent_micros": 12 * UNIT,
        "limit_micros": 10 * UNIT,
    }
    assert sentence(event, Names()) == f"{words}the brand's daily budget is spent, €12.00 of €10.00"


def test_sentence_gives_the_id_of_an_unknown_campaign(world: World) -> None:
    event = {"event": "campaign.paused", "campaign_id": 404, "holds": ["a_hold_of_tomorrow"]}
    assert sentence(event, Names()) == "campaign 404 paused: a_hold_of_tomorrow"


def test_narrator_adds_batches_to_the_rate_and_prints_no_line_for_them(screen: Console) -> None:
    narrator = Narrator(screen)
    show(narrator, "service.started", page="http://127.0.0.1:8123/")
    for _ in range(3):
        show(narrator, "spend.ingested", taken=1_000, known=0, rejected=0)
    for operational in ("http.request", "spend.refreshed", "library.uvicorn"):
        show(narrator, operational)
    assert shown(screen) == []
    footer = narrator.footer().plain
    assert "http://127.0.0.1:8123/" in footer
    assert "3,000 events counted, 600.0 per second" in footer
    assert " status" in footer
    show(narrator, "service.stopped")
    assert "8123" not in narrator.footer().plain


def test_rate_averages_over_the_last_seconds() -> None:
    rate = Rate()
    rate.add(100, at=10.0)
    rate.add(50, at=14.0)
    assert (rate.a_second(14.5), rate.a_second(16.0), rate.a_second(30.0)) == (30, 10, 0)


def test_narrator_prints_warnings_and_lines_that_are_not_events(screen: Console) -> None:
    narrator = Narrator(screen)
    show(narrator, "process.restarted", "warning", name="worker", exit_code=-9)
    narrator.show("Traceback [most recent call last]:")
    narrator.show("17")
    assert shown(screen) == [
        "12:00:03 warning: process.restarted name=worker exit_code=-9",
        "Traceback [most recent call last]:",
        "17",
    ]


def test_narrator_prints_only_some_of_very_many_changes(world: World, campaign: int, screen: Console) -> None:
    narrator = Narrator(screen)
    for _ in range(500):
        show(narrator, "campaign.paused", campaign_id=campaign, holds=["user_paused"])
    assert len(shown(screen)) < 500 / 2
    assert len(shown(screen)) >= SENTENCES_A_SECOND


def on_a_terminal(script: str, **env: str) -> tuple[int, str]:
    """Runs the script on a terminal of 80 columns; returns its exit code and output."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm", **env}
    environment.pop("LOG_FORMAT", None)
    program = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(program, stdout=follower, stderr=follower, cwd=REPOSITORY, env=environment) as process:
        os.close(follower)
        output = b""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                part = os.read(leader, 65_536)
            except OSError:  # every process has closed the terminal
                break
            if not part:
                break
            output += part
        os.close(leader)
        return process.wait(60), output.decode()


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_narrator_prints_every_line_of_child_processes(world: World, terminal: str) -> None:
    code, output = on_a_terminal(
        """
        import os, subprocess, sys
        from cli.service.narration import narrated
        print("before")
        with narrated():
            assert os.environ["LOG_FORMAT"] == "json"
            subprocess.run([sys.executable, "-c", '''import json
        for number in range(3_000):
            print(json.dumps({"event": "spend.ingested", "taken": 1}))
        print("a line of another library")'''], check=True)
        assert "LOG_FORMAT" not in os.environ
        print("after")
        """,
        TERM=terminal,
    )
    assert (code, "after" in output) == (0, True), output
    assert output.index("before") < output.index("a line of another library") < output.rindex("after")
    if terminal == "xterm":
        assert "3,000 events counted" in output
