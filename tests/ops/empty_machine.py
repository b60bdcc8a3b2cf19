"""A copy of this machine's files with processes and network of its own, which leaves nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.cli.shell import REPOSITORY, CommandResult
from tests.faults.kit import children
from tests.folders import new_folder

MAKE: Final = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /dev dev
for folder in run tmp; do mount -t tmpfs -o mode=1777 tmpfs $folder; done
for folder in etc/postgresql etc/spendgate etc/letsencrypt opt/spendgate usr/local/src \
        var/lib/postgresql var/lib/redis var/log/postgresql; do
    mkdir -p $folder
    mode=$(stat --format=%a $folder) owner=$(stat --format=%u:%g $folder)
    mount -t tmpfs -o mode=$mode tmpfs $folder
    chown $owner $folder
done
rm -f etc/resolv.conf
cat /etc/resolv.conf > etc/resolv.conf
mkdir usr/local/src/spendgate
echo made
while :; do sleep 1000 & wait $!; done
"""
"""Makes the machine at $1 and stays, as the first of its processes: when it ends, so do all others."""

LOOPBACK: Final = """
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
"""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE: Final = "/usr/local/src/spendgate"
FOLDERS: Final = ("app", "cli", "db", "delivery", "domain", "runtime", "web", "workers", "alembic", "ops")
"""Folders of the clone that the commands of an operator read."""


class Machine:
    """A machine at `root`; `pid` is its first process."""

    def __init__(self, root: Path, pid: int) -> None:
        self.root, self.pid = root, pid

    def run(self, script: str, *, is_online: bool = False, env: Mapping[str, str] = {}) -> CommandResult:
        """Runs a script in bash, in the clone. Without `is_online` it has a loopback interface of its own alone."""
        start = f"cd {CLONE}\n{script}"
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid"]
        if not is_online:
            enter += ["unshare", "--net"]
            start = f"/usr/bin/python3 -c '{LOOPBACK}'\n{start}"
        done = subprocess.run(
            [*enter, "chroot", str(self.root), "bash", "-euo", "pipefail", "-c", start],
            env={"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)


@contextmanager
def empty_machine() -> Iterator[Machine]:
    """A machine with this one's packages and with a clone of the repository. Skips where it cannot be made."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("only root on a Debian can make another machine")
    place = new_folder("spendgate-machine-")
    process = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", MAKE, "sh", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "made\n":
            process.kill()
            pytest.skip(f"this process may not make another machine: {process.communicate()[1].strip()}")
        machine = Machine(place / "root", children(process.pid)[0])
        _fill(machine)
        yield machine
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        shutil.rmtree(place, ignore_errors=True)


def _fill(machine: Machine) -> None:
    """Copies the files of the repository that an operator needs."""
    files = [path for path in REPOSITORY.iterdir() if path.is_file()]
    packed = subprocess.run(
        ["tar", "--create", "--exclude=__pycache__", *(path.name for path in files), *FOLDERS],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
    )
    inside = ["nsenter", f"--target={machine.pid}", "--mount", "chroot", str(machine.root)]
    subprocess.run([*inside, "tar", "--extract", f"--directory={CLONE}"], input=packed.stdout, check=True)
