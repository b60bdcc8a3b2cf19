"""Starts the processes of the service, restarts those that die and stops them all at the end."""

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

# A separate interpreter between fork and exec, because a preexec_fn can deadlock in a process with threads. The order
# matters: setuid clears the death signal, and the check of the parent must follow, in case the owner died before.
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
    """A process to keep running. `env`: variables added to the supervisor's environment."""

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


def tied_to_owner(
    argv: Sequence[str], death_signal: signal.Signals, account: tuple[int, int] | None = None
) -> list[str]:
    """Returns a command that runs `argv` as a child that gets `death_signal` when its owner dies, even by SIGKILL.

    `account`: the (uid, gid) to run as, if the owner is root; None: the owner's user. The owner is this process; the
    thread that starts the child must live at least as long as the child. Works on Linux only; elsewhere the child gets
    no signal.
    """
    uid, gid = account or (0, 0)
    facts = (os.getpid(), int(death_signal), uid, gid)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, facts), *argv]


def supervise(programs: Sequence[Program], *, stop: Stop, grace_seconds: float = 30) -> int:
    """Runs `programs` until `stop` is set; returns 0, or 2 if one refused its settings (exit code 2 or 78).

    Each program leads its own session and process group and writes to this process's output. A program that dies is
    restarted with backoff: after 0.5 s, doubled up to 10 s, and 0.5 s again once it has lived 60 s. At the end every
    program gets SIGTERM, and its group SIGKILL after `grace_seconds`; on return no process is left. Raises OSError if
    the system refuses to start a process.
    """
    children: list[_Child] = []
    try:
        children.extend(_Child(program, _launch(program), time.monotonic()) for program in programs)
        while not stop.wait(_POLL_SECONDS):
            if not all(_keep_running(child, time.monotonic()) for child in children):
                return 2
        return 0
    finally:
        _stop(children, grace_seconds)


def _launch(program: Program) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        tied_to_owner(program.argv, signal.SIGTERM),
        env={**os.environ, **program.env},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _keep_running(child: _Child, now: float) -> bool:
    """Plans the restart of a child that died, or restarts it when its delay has passed.

    Returns False if the child refused its settings. `now`: monotonic time in seconds.
    """
    if child.restart_at is None:
        return child.process.poll() is None or _plan_restart(child, now)
    if now >= child.restart_at:
        log.warning("process.restarted", name=child.program.name, exit_code=child.process.returncode)
        child.process, child.started, child.restart_at = _launch(child.program), now, None
    return True


def _plan_restart(child: _Child, now: float) -> bool:
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
        # SIGTERM to the leaders only: they pass it on, and a second SIGTERM makes a Dramatiq worker drop its work.
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
    """Kills the rest of the process group that `process` leads, and waits at most _REAP_SECONDS until it is gone."""
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + _REAP_SECONDS
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:  # dead processes stay in their group until init has reaped them
            os.killpg(process.pid, 0)
            with suppress(ChildProcessError):  # this process is init if it is the first of a container
                os.waitpid(-process.pid, os.WNOHANG)
            time.sleep(0.01)
