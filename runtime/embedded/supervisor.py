"""Runs the service's own processes: restarts what dies, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from runtime.signals import Stop

log = structlog.get_logger()

_BAD_SETTINGS = frozenset({2, 78})
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 10.0
_HEALTHY_SECONDS = 60.0
_POLL_SECONDS = 0.1
_REAP_SECONDS = 1.0

# An interpreter of its own between fork and program, since a preexec_fn can deadlock in an owner with threads.
# The order matters: setuid clears the death signal, and an owner that died before it was set would not be noticed.
_LAUNCHER = """
import ctypes, os, signal, sys
owner, death_signal, uid, gid = map(int, sys.argv[1:5])
if uid:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(death_signal))
if os.getppid() != owner:
    sys.exit("the owner is gone")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
try:
    os.execvp(sys.argv[5], sys.argv[5:])
except OSError as error:
    sys.exit(f"cannot run {sys.argv[5]}: {error.strerror}")
"""


@dataclass(frozen=True)
class Program:
    """A process to keep running; `env` is added to the supervisor's own environment."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    delay_seconds: float = _FIRST_DELAY_SECONDS
    restart_at: float | None = None


def tied(argv: Sequence[str], death_signal: signal.Signals, account: tuple[int, int] | None = None) -> list[str]:
    """Return the command that runs `argv` as a child which gets `death_signal` when its owner dies, however it dies.

    `account` is the (uid, gid) to run as, for an owner who is root. The owner is this process, and in it the thread
    that starts the child, which must outlive the child. Only Linux has such a signal.
    """
    uid, gid = account or (0, 0)
    facts = (os.getpid(), int(death_signal), uid, gid)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, facts), *argv]


def supervise(programs: Sequence[Program], *, stop: Stop, grace_seconds: float = 30) -> int:
    """Run `programs` until `stop` is set; return 0, or 2 when one refused its settings (exit code 2 or 78).

    Each is a session and process group of its own, with this process's output. One that dies is restarted after 0.5 s,
    and twice as long each further time up to 10 s, until it has lived 60 s. At the end every program gets SIGTERM, and
    what is left after `grace_seconds` SIGKILL: on return no process of any group is left. Raises OSError when the
    system refuses a new process.
    """
    children: list[_Child] = []
    try:
        children.extend(_Child(program, _launch(program), time.monotonic()) for program in programs)
        while not stop.wait(_POLL_SECONDS):
            if not all(_tend(child, time.monotonic()) for child in children):
                return 2
        return 0
    finally:
        _stop(children, grace_seconds)


def _launch(program: Program) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        tied(program.argv, signal.SIGTERM),
        env={**os.environ, **program.env},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _tend(child: _Child, now: float) -> bool:
    """Plan or do the restart of a dead `child`; False when it refused its settings."""
    if child.restart_at is None:
        return child.process.poll() is None or _bury(child, now)
    if now >= child.restart_at:
        log.warning("process.restarted", name=child.program.name, exit_code=child.process.returncode)
        child.process, child.started, child.restart_at = _launch(child.program), now, None
    return True


def _bury(child: _Child, now: float) -> bool:
    _kill_group(child.process)
    if child.process.returncode in _BAD_SETTINGS:
        log.error("process.refused_settings", name=child.program.name, exit_code=child.process.returncode)
        return False
    if now - child.started >= _HEALTHY_SECONDS:
        child.delay_seconds = _FIRST_DELAY_SECONDS
    child.restart_at = now + child.delay_seconds
    child.delay_seconds = min(2 * child.delay_seconds, _LONGEST_DELAY_SECONDS)
    return True


def _stop(children: Sequence[_Child], grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    try:
        # To the leaders alone: a second SIGTERM, passed on by a leader, makes a Dramatiq worker drop its work.
        for child in children:
            child.process.terminate()
        while any(child.process.poll() is None for child in children) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    finally:
        for child in children:
            if child.process.poll() is None:
                log.warning("process.killed", name=child.program.name, grace_seconds=grace_seconds)
            _kill_group(child.process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group that `process` leads, and wait until it is gone."""
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + _REAP_SECONDS
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:  # the dead stay in their group until init has reaped them, if it ever does
            os.killpg(process.pid, 0)
            with suppress(ChildProcessError):  # init is this process where it is the first of a container
                os.waitpid(-process.pid, os.WNOHANG)
            time.sleep(0.01)
