"""Commands and services as their users start them: real processes, their output and their exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
Env = Mapping[str, str | None]
"""Changes of the environment; None takes a variable away."""

UNCHANGED: Env = MappingProxyType({})
COLOURS = ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS")


class Told(NamedTuple):
    """What a command left: its exit code and both of its outputs."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output read as one JSON document."""
        return json.loads(self.out)


class Service:
    """A running process, a leader of its own session, and what it wrote on standard output so far."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    def lines(self) -> list[str]:
        """The whole lines it wrote."""
        return self._output.read_text().split("\n")[:-1]

    def logged(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its lines, or those of one event, each read as a JSON object; a line that is none fails the test."""
        read = [json.loads(line) for line in self.lines()]
        return [line for line in read if event in {None, line["event"]}]

    def send(self, number: signal.Signals) -> None:
        """A signal to the process alone, as an operator or a supervisor sends it."""
        self.process.send_signal(number)

    def code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(seconds)


def environment(changes: Env) -> dict[str, str]:
    """This environment without colours and with `changes`."""
    wanted = {**os.environ, **dict.fromkeys(COLOURS), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def run(*argv: str, env: Env = UNCHANGED, stdin: str = "", folder: Path = REPOSITORY) -> Told:
    """Runs `python ...` to its end, in a folder."""
    done = subprocess.run(
        [sys.executable, *argv],
        input=stdin,
        cwd=folder,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Told(done.returncode, done.stdout, done.stderr)


def shell(*argv: str, env: Env = UNCHANGED, stdin: str = "") -> Told:
    """Runs `spendgate ...` to its end, as a process of its own."""
    return run("-m", "cli.main", *argv, env=env, stdin=stdin)


@contextmanager
def serving(*argv: str, output: Path, env: Env = UNCHANGED) -> Iterator[Service]:
    """A `python ...` that runs meanwhile, its lines kept in the file `output`; its group is killed at the end."""
    with output.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=REPOSITORY,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield Service(process, output)
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills the process and all of its group that is left.

    Once it was waited for, its number is free to be given to another process, unless others of the group keep it.
    """
    if process.returncode is None or not _is_taken(process.pid):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _is_taken(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
