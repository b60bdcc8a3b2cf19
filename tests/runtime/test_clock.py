"""One clock for every process: real time, or on the embedded servers one that is driven for all of them alike."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime import clock
from runtime.settings import settings
from tests.cli.shell import UNCHANGED, Env, run

START = "2026-03-01T00:00:00Z"
TELL = "from runtime import clock; print(clock.now().isoformat())"
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A home with no servers and no clock yet."""
    for name in ("DATABASE_URL", "REDIS_URL", "SPENDGATE_CLOCK_START", "SPENDGATE_CLOCK_SPEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPENDGATE_HOME", str(tmp_path / "home"))
    forget()
    yield tmp_path / "home"
    forget()


def forget() -> None:
    settings.cache_clear()
    clock.reset()


def drive(monkeypatch: pytest.MonkeyPatch, start: str | None = START, speed: str | None = None) -> None:
    for name, value in (("SPENDGATE_CLOCK_START", start), ("SPENDGATE_CLOCK_SPEED", speed)):
        if value is not None:
            monkeypatch.setenv(name, value)
    forget()


def real() -> datetime:
    return datetime.fromtimestamp(time.time_ns() / 1e9, UTC)


def elsewhere(env: Env = UNCHANGED) -> datetime:
    """What another process of the same home reads."""
    told = run("-c", TELL, env=env)
    assert told.code == 0, told.err
    return datetime.fromisoformat(told.out.strip())


def test_shows_real_time_in_utc_where_nothing_drives_it(home: Path) -> None:
    assert abs(clock.now() - real()) < A_MOMENT
    assert clock.now().tzinfo is UTC
    assert not home.exists()


def test_a_driven_clock_begins_at_its_start_and_runs_at_its_speed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, speed="3600")
    first = clock.now()
    assert timedelta(0) <= first - datetime.fromisoformat(START) < timedelta(hours=1)
    before = real()
    while clock.now() - first < timedelta(hours=1):
        pass
    assert real() - before < timedelta(seconds=3)


def test_a_speed_alone_begins_at_real_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = real()
    drive(monkeypatch, start=None, speed="60")
    assert timedelta(0) <= clock.now() - before < timedelta(minutes=5)


def test_every_process_of_a_home_reads_the_same_clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, speed="60")
    before = clock.now()
    between = elsewhere()
    assert before < between < clock.now()
    forget()
    assert clock.now() > between


def test_a_program_beside_the_embedded_servers_follows_their_clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, speed="60")
    before = clock.now()
    lines = ["DATABASE_URL=postgresql://a:b@127.0.0.1:1/x", "REDIS_URL=redis://127.0.0.1:1/0"]
    lines += [f"SPENDGATE_CLOCK_START={START}", "SPENDGATE_CLOCK_SPEED=60"]
    (home / "env").write_text("\n".join(lines))
    between = elsewhere({"SPENDGATE_CLOCK_START": None, "SPENDGATE_CLOCK_SPEED": None})
    assert before < between < clock.now()


def test_a_clock_asked_for_anew_begins_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch)
    clock.now()
    drive(monkeypatch, start="2030-01-01T00:00:00Z")
    assert clock.now().year == 2030


@pytest.mark.parametrize("kept", ["", "{", "[]", "null", json.dumps({"asked": None})])
def test_a_damaged_file_of_the_clock_is_written_anew(home: Path, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    home.mkdir()
    (home / "clock.json").write_text(kept)
    drive(monkeypatch)
    assert clock.now() - datetime.fromisoformat(START) < A_MOMENT
