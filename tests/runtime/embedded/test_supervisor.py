"""The supervisor restarts and stops real processes, which record events in a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.embedded.supervisor import Program, supervise
from runtime.signals import Stop

REPOSITORY = Path(__file__).parents[3]
PATIENCE_SECONDS = 60

NOTE = """
import os, pathlib, signal, subprocess, sys, time
def note(word):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{word}\\n")
"""
SLEEP = "note(os.getpid())\ntime.sleep(600)"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    path.touch()
    return path


def program(notes: Path, script: str, name: str = "worker") -> Program:
    return Program(name, (sys.executable, "-c", NOTE + script), {"NOTES": str(notes)})


@contextmanager
def supervised(*programs: Program, grace_seconds: float = PATIENCE_SECONDS) -> Iterator[tuple[Future[int], Stop]]:
    stop = Stop()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(supervise, programs, stop=stop, grace_seconds=grace_seconds)
        try:
            yield result, stop
        finally:
            stop.set()
            result.result(PATIENCE_SECONDS)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def lines(notes: Path, count: int) -> list[str]:
    """Waits until `notes` has `count` lines and returns them."""
    wait_for(lambda: notes.read_text().count("\n") >= count)
    return notes.read_text().splitlines()[:count]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def test_supervise_runs_a_program_with_its_environment_and_stops_it_by_sigterm(notes: Path) -> None:
    script = """
signal.signal(signal.SIGTERM, lambda *_: (note("said goodbye"), sys.exit(0)))
note(os.environ["GREETING"] + " " + ("HOME" in os.environ and "at home"))
time.sleep(600)
"""
    greeter = program(notes, script)
    greeter = Program(greeter.name, greeter.argv, {**greeter.env, "GREETING": "hello"})
    with supervised(greeter) as (result, stop):
        assert lines(notes, 1) == ["hello at home"]
        stop.set()
        assert result.result(PATIENCE_SECONDS) == 0
    assert notes.read_text().splitlines() == ["hello at home", "said goodbye"]


def test_supervise_restarts_a_killed_program_and_logs_it(notes: Path) -> None:
    with capture_logs() as logs, supervised(program(notes, SLEEP)):
        (first,) = lines(notes, 1)
        os.kill(int(first), signal.SIGKILL)
        _, second = lines(notes, 2)
    assert first != second
    assert logs == [{"event": "process.restarted", "log_level": "warning", "name": "worker", "exit_code": -9}]
    assert not is_alive(int(second))


def test_supervise_doubles_the_delay_before_each_restart(notes: Path) -> None:
    with supervised(program(notes, "note(time.monotonic()); sys.exit(1)")):
        first, second, third = map(float, lines(notes, 3))
    assert second - first >= 0.5
    assert third - second >= 1.0


def test_supervise_kills_the_group_of_a_dead_program_before_its_restart(notes: Path) -> None:
    script = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
note(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
    with supervised(program(notes, script), grace_seconds=0.1):
        leader, child = map(int, lines(notes, 1)[0].split())
        os.kill(leader, signal.SIGKILL)
        second_leader, second_child = map(int, lines(notes, 2)[1].split())
        assert not is_alive(child)
        assert is_alive(second_child)
    assert not is_alive(second_leader)
    assert not is_alive(second_child)


def test_supervise_kills_a_program_that_ignores_sigterm_after_the_grace_period(notes: Path) -> None:
    deaf = program(notes, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP, "deaf")
    with capture_logs() as logs, supervised(deaf, grace_seconds=0.5) as (result, stop):
        (pid,) = lines(notes, 1)
        stop.set()
        assert result.result(PATIENCE_SECONDS) == 0
        assert not is_alive(int(pid))
    assert logs == [{"event": "process.killed", "log_level": "warning", "name": "deaf", "grace_seconds": 0.5}]


@pytest.mark.parametrize("exit_code", [2, 78])
def test_supervise_stops_all_programs_when_one_refuses_its_settings(notes: Path, exit_code: int) -> None:
    refuses = program(
        notes,
        f"""
while not pathlib.Path(os.environ["NOTES"]).read_text():
    time.sleep(0.02)
sys.exit({exit_code})
""",
    )
    with supervised(program(notes, SLEEP), refuses) as (result, _):
        assert result.result(PATIENCE_SECONDS) == 2
    (pid,) = lines(notes, 1)
    assert not is_alive(int(pid))


def test_missing_program_does_not_disturb_the_others(notes: Path) -> None:
    absent = Program("absent", (str(notes.parent / "absent"),), {})
    with capture_logs() as logs, supervised(absent, program(notes, SLEEP)):
        (pid,) = lines(notes, 1)
        wait_for(lambda: bool(logs))
        assert is_alive(int(pid))
    assert logs[0] == {"event": "process.restarted", "log_level": "warning", "name": "absent", "exit_code": 1}


def test_supervise_returns_at_once_if_stop_is_already_set(notes: Path) -> None:
    stop = Stop()
    stop.set()
    assert supervise([program(notes, SLEEP)], stop=stop) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not signal a child when its parent dies")
def test_programs_end_when_their_supervisor_is_killed(notes: Path) -> None:
    script = (
        "import sys; from runtime.embedded.supervisor import Program, supervise; from runtime.signals import Stop;"
        "supervise([Program('worker', tuple(sys.argv[1:]), {})], stop=Stop())"
    )
    worker = program(notes, SLEEP)
    argv = [sys.executable, "-c", script, *worker.argv]
    with subprocess.Popen(argv, cwd=REPOSITORY, env={**os.environ, **worker.env}) as owner:
        (pid,) = lines(notes, 1)
        owner.kill()
    wait_for(lambda: not is_alive(int(pid)))
