"""The tests' helper `kill_group` ends a test's own processes and no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import kill_group
from tests.world import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
if "stays" in sys.argv:
    child.wait()
"""


def leader(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PARENT, *argv], stdout=subprocess.PIPE, start_new_session=True)


def child_of(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout
    return int(process.stdout.readline())


def runs(pid: int) -> bool:
    """Returns whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("was_waited_for", [True, False])
def test_kill_group_kills_the_children_of_a_running_or_ended_leader(was_waited_for: bool) -> None:
    with leader(*([] if was_waited_for else ["stays"])) as process:
        child = child_of(process)
        if was_waited_for:
            process.wait()
        assert os.getpgid(child) == process.pid
        kill_group(process)
    eventually(lambda: not runs(child))


def test_kill_group_spares_a_process_that_got_the_id_of_an_ended_leader() -> None:
    with leader("stays") as other:
        child = child_of(other)
        ended = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
        ended.wait()
        ended.pid = other.pid
        kill_group(ended)
        assert other.poll() is None
        assert runs(child)
        kill_group(other)
        eventually(lambda: not runs(child))
