"""Confirmation of edits that pause or resume campaigns: asked on a terminal, refused without one."""

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
    """A campaign of a brand that spent 2 of its daily limit of 10."""
    made = world.campaign(world.brand(daily=10 * UNIT))
    world.spend(made, 2 * UNIT)
    return made


def in_terminal(answer: str, *argv: str) -> tuple[int, str]:
    """Runs `spendgate ...` on a terminal and types `answer`; returns its exit code and output."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *argv],
            cwd=REPOSITORY,
            env=environment({}),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.write(ours, f"{answer}\n".encode())
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        os.close(ours)
        os.close(theirs)
    return process.returncode, output


def test_edit_without_terminal_and_yes_is_refused_and_names_its_effect(
    world: World, spendgate: Spendgate, campaign: int
) -> None:
    result = spendgate("budget", "set", "daily", "1.50", "--brand", "1")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("--yes: add --yes")
    assert STOPS in result.err
    assert world.is_active(campaign)


def test_edit_with_yes_is_made_and_prints_its_effect(world: World, spendgate: Spendgate, campaign: int) -> None:
    result = spendgate("budget", "set", "daily", "1.50", "--brand", "1", "--yes")
    assert result.code == 0
    assert "Daily limit $10.00 → $1.50: stopped 1 campaign." in result.out
    assert not world.is_active(campaign)


def test_edit_with_dry_run_prints_its_effect_and_changes_nothing(
    world: World, spendgate: Spendgate, campaign: int
) -> None:
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
        result = spendgate(*command, "--dry-run")
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(f"{sentence}. A dry run")
    assert "stops 1 campaign now" in spendgate("schedule", "set", "1", closed_today(), "--dry-run").out
    assert world.is_active(campaign)
    assert world.rows("SELECT FROM audit_entries WHERE changed_by LIKE 'cli:%%'") == []


def closed_today() -> str:
    """Returns a schedule that is closed all day today, in every time zone."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    opens = datetime.now(UTC) + timedelta(days=3)  # noqa: TID251 - the test runs in real time
    return f"{opens:%a} 09:00-10:00"


@pytest.mark.parametrize(("answer", "code", "is_active"), [("y", 0, False), ("n", 1, True), ("", 1, True)])
def test_edit_on_a_terminal_asks_and_follows_the_answer(
    world: World, campaign: int, answer: str, code: int, is_active: bool
) -> None:
    exit_code, output = in_terminal(answer, "budget", "set", "daily", "1.50", "--brand", "1")
    assert exit_code == code, output
    assert f"{STOPS}." in output
    assert ("Nothing was changed." in output) is is_active
    assert world.is_active(campaign) is is_active


def test_edit_that_pauses_no_campaign_is_made_without_asking(world: World, spendgate: Spendgate, campaign: int) -> None:
    assert spendgate("budget", "set", "daily", "11", "--brand", "1").code == 0
    assert world.one("SELECT limit_micros FROM budgets") == {"limit_micros": 11 * UNIT}
