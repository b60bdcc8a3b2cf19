"""Builds and runs the image without Docker: each instruction of the Containerfile in a chroot, on a layer of its own.

SPENDGATE_TEST_IMAGE_BASE: a folder with the files of the base image, for example made by
`debootstrap --variant=minbase --include=python3-venv,python-is-python3 trixie FOLDER`. It stays as it is.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from tests.cli.shell import REPOSITORY, CommandResult
from tests.faults.kit import children
from tests.folders import new_folder

VARIABLE: Final = "SPENDGATE_TEST_IMAGE_BASE"

UNCHANGED: Final[Mapping[str, str]] = MappingProxyType({})

MAKE: Final = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$1"
for stage in 0 1; do
    mkdir "$1/upper$stage" "$1/work$stage" "$1/stage$stage"
    mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper$stage,workdir=$1/work$stage" "$1/stage$stage"
    mount -t proc proc "$1/stage$stage/proc"
    mount --rbind /dev "$1/stage$stage/dev"
    rm -f "$1/stage$stage/etc/resolv.conf"
    cat /etc/resolv.conf > "$1/stage$stage/etc/resolv.conf"
    mkdir -p "$1/stage$stage/etc/ssl/certs"
    cat /etc/ssl/certs/ca-certificates.crt > "$1/stage$stage/etc/ssl/certs/ca-certificates.crt"
done
mkdir "$1/running"
echo made
read -r _ || true
"""
"""Makes a root for each stage in the folder $1, above the files of $2, and stays until its input ends."""

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WITHOUT_EFFECT: Final = frozenset({"LABEL", "VOLUME", "EXPOSE", "STOPSIGNAL"})

RUN: Final = """
set -eu
mount --bind "$1/stage1" "$1/running"
mount -o remount,bind,ro "$1/running"
mount -t proc proc "$1/running/proc"
mount --rbind /dev "$1/running/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/running/tmp"
mount -t tmpfs -o "mode=0700,uid=$2,gid=$3" tmpfs "$1/running/data"
root="$1/running"
shift 3
exec chroot "$root" "$@"
"""
"""Runs a command as the first process of a container: its root cannot be written, /data and /tmp can."""


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, in order, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", (REPOSITORY / "Containerfile").read_text())
    lines = (line for line in joined.splitlines() if line and not line.startswith("#"))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


class Image:
    """The built image: its variables, user, command and health check; `place` has its files, `pid` their namespace."""

    def __init__(self, place: Path, pid: int) -> None:
        self._place, self._pid = place, pid
        self.env: dict[str, str] = {}
        self.user, self.folder = "0:0", "/"
        self.command: list[str] = []
        self.check: list[str] = []

    def build(self) -> None:
        """Runs the instructions in order. Fails for one that it does not know."""
        stage = -1
        for name, text in instructions():
            if name == "FROM":
                stage += 1
                self.env, self.folder = {"PATH": PATH}, "/"
            elif name == "WORKDIR":
                self.folder = text
                self._in(stage, f"mkdir -p {text}")
            elif name == "RUN":
                self._in(stage, f"cd {self.folder} && {text}")
            elif name == "COPY":
                self._copy(stage, text)
            else:
                self._set(name, text)

    def _set(self, name: str, text: str) -> None:
        match name:
            case "ENV":
                words = (word.partition("=") for word in shlex.split(text))
                self.env |= {key: value.replace("$PATH", self.env["PATH"]) for key, _, value in words}
            case "USER":
                self.user = text
            case "CMD":
                self.command = json.loads(text)
            case "HEALTHCHECK":
                self.check = json.loads(text.partition(" CMD ")[2])
            case _:
                assert name in WITHOUT_EFFECT, name

    def _in(self, stage: int, script: str) -> None:
        online = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name}
        done = self._entered(["chroot", f"{self._place}/stage{stage}", "sh", "-euc", script], {**online, **self.env})
        assert done.code == 0, f"{script}\n{done.out}{done.err}"

    def _copy(self, stage: int, text: str) -> None:
        *sources, target = [word for word in text.split() if not word.startswith("--")]
        from_stage = "--from=build" in text
        root = self._place / f"stage{stage}"
        folder = root / target.lstrip("/") if target.startswith("/") else root / self.folder.lstrip("/") / target
        for source in sources:
            path = self._place / "stage0" / source.lstrip("/") if from_stage else REPOSITORY / source
            # as Docker does, the contents of a folder
            copied = f"{path}/." if from_stage or path.is_dir() else path
            done = self._entered(["sh", "-euc", 'mkdir -p "$2"; cp -a "$1" "$2"', "sh", str(copied), str(folder)])
            assert done.code == 0, done.err

    def _entered(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> CommandResult:
        enter = ["nsenter", f"--target={self._pid}", "--mount", *argv]
        done = subprocess.run(enter, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def as_user(self, argv: Sequence[str]) -> list[str]:
        """The command as the image's user, in its folder, without any right to become another."""
        uid, gid = self.user.split(":")
        dropped = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return [
            "setpriv",
            f"--reuid={uid}",
            f"--regid={gid}",
            *dropped,
            "sh",
            "-c",
            'cd "$0" && exec "$@"',
            self.folder,
            *argv,
        ]

    @contextmanager
    def running(
        self, log: Path, argv: Sequence[str] | None = None, env: Mapping[str, str] = {}
    ) -> Iterator["Container"]:
        """Runs the image's command, or another, as `docker run --read-only` does without --init."""
        inside = self.as_user(self.command if argv is None else argv)
        names = ["sh", "-c", RUN, "sh", str(self._place), *self.user.split(":"), *inside]
        enter = ["nsenter", f"--target={self._pid}", "--mount", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*enter, *names], env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            yield Container(self, process)
        finally:
            process.kill()
            process.wait()


class Container:
    """A running container."""

    def __init__(self, image: Image, process: "subprocess.Popen[bytes]") -> None:
        self._image, self._process = image, process

    @property
    def first(self) -> int:
        """The pid of its first process, as this machine numbers it; 0 if it does not run yet or any more."""
        return next(iter(children(self._process.pid)), 0)

    def run(self, *argv: str) -> CommandResult:
        """Runs a command in it, as its user."""
        env = dict(one.split("=", 1) for one in Path(f"/proc/{self.first}/environ").read_text().split("\0") if one)
        enter = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--root", "--wd", *self._image.as_user(argv)]
        done = subprocess.run(enter, env=env, capture_output=True, text=True, check=False)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def healthy(self) -> CommandResult:
        """Runs its health check."""
        return self.run(*self._image.check)

    def stop(self, number: int, seconds: float) -> int:
        """Sends a signal to its first process and returns its exit code. Raises TimeoutExpired after `seconds`."""
        os.kill(self.first, number)
        return self.code(seconds)

    def code(self, seconds: float) -> int:
        """Waits for its end and returns its exit code. Raises TimeoutExpired after `seconds`."""
        return self._process.wait(seconds)


@contextmanager
def built_image() -> Iterator[Image]:
    """The image, built above SPENDGATE_TEST_IMAGE_BASE. Skips without it, or without the right to do so."""
    base = os.environ.get(VARIABLE)
    if base is None or not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip(f"{VARIABLE} is not set, or this is not root on Linux")
    place = new_folder("spendgate-image-")
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", MAKE, "sh", str(place), base],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        image = Image(place, process.pid)
        image.build()
        yield image
    finally:
        process.communicate()
        shutil.rmtree(place, ignore_errors=True)
