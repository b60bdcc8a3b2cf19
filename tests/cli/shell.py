"""Runs commands and services as real processes and gives their output and exit codes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests import preloaded

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
Env = Mapping[str, str | None]
"""Changes to the environment; None removes a variable."""

UNCHANGED: Env = MappingProxyType({})
COLOURS = ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS")


class CommandResult(NamedTuple):
    """The exit code, standard output and standard error of a command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output read as one JSON document."""
        return json.loads(self.out)


class Service:
    """A running process that leads its own session, and its standard output so far."""

    def __init__(self, process: subprocess.Popen[bytes] | preloaded.Forked, output: Path) -> None:
        self.process = process
        self._output = output

    def lines(self) -> list[str]:
        """Returns the complete lines of its output."""
        return self._output.read_text().split("\n")[:-1]

    def logged(self, event: str | None = None) -> list[dict[str, Any]]:
        """Returns its log lines as dicts, or only those of one event; raises ValueError for a line that is not JSON."""
        read = [json.loads(line) for line in self.lines()]
        return [line for line in read if event in {None, line["event"]}]

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process alone, not to its children."""
        self.process.send_signal(number)

    def code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Waits for its end and returns its exit code; raises TimeoutExpired after `seconds`."""
        return self.process.wait(seconds)


def environment(changes: Env) -> dict[str, str]:
    """Returns this process's environment with `changes` and without the variables that force colours."""
    changed = {**os.environ, **dict.fromkeys(COLOURS), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", **changes}
    return {name: value for name, value in changed.items() if value is not None}


def run(
    *argv: str, env: Env = UNCHANGED, stdin: str = "", folder: Path = REPOSITORY, by_exec: bool = False
) -> CommandResult:
    """Runs `python ...` to its end, in `folder`. `by_exec`: by an interpreter of its own in any case."""
    if not by_exec and preloaded.can_fork(argv, environment(env)):
        return _run_forked(argv, environment(env), stdin, folder)
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
    return CommandResult(done.returncode, done.stdout, done.stderr)


def _run_forked(argv: Sequence[str], env: Mapping[str, str], stdin: str, folder: Path) -> CommandResult:
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        streams = [given.fileno(), out.fileno(), err.fileno()]
        process = preloaded.fork(argv, env, folder, streams, session=True)
        try:
            code = process.wait(PATIENCE_SECONDS)
        finally:
            kill_group(process)
        out.seek(0)
        err.seek(0)
        return CommandResult(code, out.read().decode(), err.read().decode())


def shell(*argv: str, env: Env = UNCHANGED, stdin: str = "") -> CommandResult:
    """Runs `spendgate ...` to its end, in a separate process."""
    return run("-m", "cli", *argv, env=env, stdin=stdin)


@contextmanager
def serving(*argv: str, output: Path, env: Env = UNCHANGED, by_exec: bool = False) -> Iterator[Service]:
    """Runs `python ...` during the block, with its output in the file `output`; kills its process group at the end.

    `by_exec`: by an interpreter of its own in any case, as it is deployed.
    """
    process: subprocess.Popen[bytes] | preloaded.Forked
    with output.open("ab") as out, Path(os.devnull).open("rb") as nothing:
        if not by_exec and preloaded.can_fork(argv, environment(env)):
            streams = [nothing.fileno(), out.fileno(), out.fileno()]
            process = preloaded.fork(argv, environment(env), REPOSITORY, streams, session=True)
        else:
            process = subprocess.Popen(
                [sys.executable, *argv],
                cwd=REPOSITORY,
                env=environment(env),
                stdin=nothing,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
    try:
        yield Service(process, output)
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes] | preloaded.Forked) -> None:
    """Kills the process and the rest of its process group.

    After a wait, the system may give the process id to another process, unless the group still has members.
    """
    if process.returncode is None or not _is_in_use(process.pid):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _is_in_use(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
