"""All processes share one clock: real time, or a driven clock on the embedded servers."""

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
PRINT_NOW = "from runtime import clock; print(clock.now().isoformat())"
ONE_SECOND = timedelta(seconds=1)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Yields a home without servers and without a clock file."""
    for name in ("DATABASE_URL", "REDIS_URL", "SPENDGATE_CLOCK_START", "SPENDGATE_CLOCK_SPEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPENDGATE_HOME", str(tmp_path / "home"))
    clear_caches()
    yield tmp_path / "home"
    clear_caches()


def clear_caches() -> None:
    settings.cache_clear()
    clock.reset()


def drive(monkeypatch: pytest.MonkeyPatch, start: str | None = START, speed: str | None = None) -> None:
    for name, value in (("SPENDGATE_CLOCK_START", start), ("SPENDGATE_CLOCK_SPEED", speed)):
        if value is not None:
            monkeypatch.setenv(name, value)
    clear_caches()


def real() -> datetime:
    return datetime.fromtimestamp(time.time_ns() / 1e9, UTC)


def now_in_another_process(env: Env = UNCHANGED) -> datetime:
    """Returns the time that another process of the same home reads."""
    result = run("-c", PRINT_NOW, env=env)
    assert result.code == 0, result.err
    return datetime.fromisoformat(result.out.strip())


def test_now_returns_real_time_in_utc_without_a_driven_clock(home: Path) -> None:
    assert abs(clock.now() - real()) < ONE_SECOND
    assert clock.now().tzinfo is UTC
    assert not home.exists()


def test_driven_clock_begins_at_its_start_and_runs_at_its_speed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, speed="3600")
    first = clock.now()
    assert timedelta(0) <= first - datetime.fromisoformat(START) < timedelta(hours=1)
    before = real()
    while clock.now() - first < timedelta(hours=1):
        pass
    assert real() - before < timedelta(seconds=3)


def test_driven_clock_without_a_start_begins_at_real_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = real()
    drive(monkeypatch, start=None, speed="60")
    assert timedelta(0) <= clock.now() - before < timedelta(minutes=5)


def test_processes_of_one_home_share_the_driven_clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, speed="60")
    before = clock.now()
    between = now_in_another_process()
    assert before < between < clock.now()
    clear_caches()
    assert clock.now() > between


def test_other_programs_follow_the_clock_of_the_embedded_servers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, speed="60")
    before = clock.now()
    lines = ["DATABASE_URL=postgresql://a:b@127.0.0.1:1/x", "REDIS_URL=redis://127.0.0.1:1/0"]
    lines += [f"SPENDGATE_CLOCK_START={START}", "SPENDGATE_CLOCK_SPEED=60"]
    (home / "env").write_text("\n".join(lines))
    between = now_in_another_process({"SPENDGATE_CLOCK_START": None, "SPENDGATE_CLOCK_SPEED": None})
    assert before < between < clock.now()


def test_driven_clock_with_another_start_begins_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch)
    clock.now()
    drive(monkeypatch, start="2030-01-01T00:00:00Z")
    assert clock.now().year == 2030


@pytest.mark.parametrize("kept", ["", "{", "[]", "null", json.dumps({"asked": None})])
def test_damaged_clock_file_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    home.mkdir()
    (home / "clock.json").write_text(kept)
    drive(monkeypatch)
    assert clock.now() - datetime.fromisoformat(START) < ONE_SECOND
