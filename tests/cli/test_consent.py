"""Edits in a terminal that stop or release campaigns: shown first, asked about, and refused where nobody can answer."""

import os
import pty
import subprocess
import sys

import pytest

from tests.cli.conftest import Spendgate
from tests.cli.shell import PATIENCE_SECONDS, REPOSITORY, environment
from tests.world import UNIT, World

STOPS = "Daily limit $10.00 → $1.50: stops 1 campaign now"


@pytest.fixture
def campaign(world: World) -> int:
    """One of a brand with a limit of 10, of which 2 are spent."""
    made = world.campaign(world.brand(daily=10 * UNIT))
    world.spend(made, 2 * UNIT)
    return made


def in_terminal(answer: str, *argv: str) -> tuple[int, str]:
    """Runs `spendgate ...` with a terminal as its standard input, at which `answer` is typed."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *argv],
            cwd=REPOSITORY,
            env=environment({}),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.write(ours, f"{answer}\n".encode())
        told, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        os.close(ours)
        os.close(theirs)
    return process.returncode, told


def test_without_a_terminal_and_yes_it_is_refused_and_says_what_it_would_do(
    world: World, spendgate: Spendgate, campaign: int
) -> None:
    told = spendgate("budget", "set", "daily", "1.50", "--brand", "1")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("--yes: missing")
    assert STOPS in told.err
    assert world.is_active(campaign)


def test_yes_makes_the_edit_and_says_what_it_did(world: World, spendgate: Spendgate, campaign: int) -> None:
    told = spendgate("budget", "set", "daily", "1.50", "--brand", "1", "--yes")
    assert told.code == 0
    assert "Daily limit $10.00 → $1.50: stopped 1 campaign." in told.out
    assert not world.is_active(campaign)


def test_a_dry_run_says_the_same_and_changes_nothing(world: World, spendgate: Spendgate, campaign: int) -> None:
    unlimited = "Daily limit $10.00 → none: stops and releases no campaign now"
    for command, sentence in (
        (("budget", "set", "daily", "1.50", "--brand", "1"), STOPS),
        (
            ("budget", "remove", "daily", "--brand", "1"),
            unlimited,
        ),
        (("brand", "pause", "1"), "Status enabled → paused: stops 1 campaign now"),
        (("campaign", "archive", "1"), "Status enabled → archived: stops 1 campaign now"),
        (("campaign", "enable", "1"), "Nothing changes: stops and releases no campaign now"),
    ):
        told = spendgate(*command, "--dry-run")
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith(f"{sentence}. A dry run")
    assert "stops 1 campaign now" in spendgate("schedule", "set", "1", nowhere(), "--dry-run").out
    assert world.is_active(campaign)
    assert world.rows("SELECT FROM audit_entries WHERE changed_by LIKE 'cli:%%'") == []


def nowhere() -> str:
    """A schedule that is closed all of today, whatever day it is in the brand's zone."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    opens = datetime.now(UTC) + timedelta(days=3)  # noqa: TID251 - the test runs in real time
    return f"{opens:%a} 09:00-10:00"


@pytest.mark.parametrize(("answer", "code", "is_active"), [("y", 0, False), ("n", 1, True), ("", 1, True)])
def test_a_person_is_asked(world: World, campaign: int, answer: str, code: int, is_active: bool) -> None:
    told = in_terminal(answer, "budget", "set", "daily", "1.50", "--brand", "1")
    assert told[0] == code, told[1]
    assert f"{STOPS}." in told[1]
    assert ("Nothing was changed." in told[1]) is is_active
    assert world.is_active(campaign) is is_active


def test_what_stops_nothing_is_not_asked_about(world: World, spendgate: Spendgate, campaign: int) -> None:
    assert spendgate("budget", "set", "daily", "11", "--brand", "1").code == 0
    assert world.one("SELECT limit_micros FROM budgets") == {"limit_micros": 11 * UNIT}
