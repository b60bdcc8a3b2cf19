"""Installs the packages of a lock file into this interpreter's environment; on a terminal it shows a counter.

    python .ci/install.py requirements.txt

Uses the standard library only, because it runs before any package is installed.
"""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps")
NAMED = re.compile(r"^([A-Za-z0-9][\w.-]*)==", re.MULTILINE)
DONE = re.compile(r"^(?:Collecting|Requirement already satisfied:|Ignoring) ([\w.-]+)")
UNPACKING = "Installing collected packages"
TAIL = 40


class Counter:
    """One line on the terminal, rewritten every half second: packages installed so far, and seconds elapsed."""

    def __init__(self, packages: int) -> None:
        self.packages, self.fetched, self.now = packages, 0, ""
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> "Counter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        sys.stdout.write("\r\x1b[K")
        sys.stdout.flush()

    def note(self, line: str) -> None:
        """Reads one line of pip's output and counts the package it names."""
        package = DONE.match(line)
        if package:
            self.fetched, self.now = self.fetched + 1, package[1]
        elif line.startswith(UNPACKING):
            self.fetched, self.now = self.packages, "unpacking"

    def _show(self) -> None:
        while True:
            seconds = int(time.monotonic() - self._started)
            line = f"installing {min(self.fetched, self.packages)} of {self.packages}, {seconds} s: {self.now}"
            sys.stdout.write(f"\r\x1b[K{line[:78]}")
            sys.stdout.flush()
            if self._ended.wait(0.5):
                return


def main(lock: str) -> int:
    """Installs the locked packages, then this project; returns pip's exit code and prints pip's output if it failed."""
    locked = (*PIP, "--require-hashes", "-r", lock)
    project = (*PIP, "--quiet", "--no-build-isolation", "-e", ".")
    if not sys.stdout.isatty():
        print(f"installing the packages of {lock}", flush=True)
        return _quietly([*locked, "--quiet"]) or _quietly(project)
    started = time.monotonic()
    packages = len(NAMED.findall(Path(lock).read_text()))
    with Counter(packages) as counter:
        code, output = _watched([*locked, "--progress-bar", "off"], counter)
        counter.now = "spendgate itself"
        if not code:
            code, output = _watched(list(project), counter)
    if code:
        sys.stderr.write("".join(output[-TAIL:]))
        return code
    print(f"installed {packages} packages in {time.monotonic() - started:.0f} s")
    return 0


def _quietly(command: Sequence[str]) -> int:
    return subprocess.call(command)  # noqa: S603 - made of constants and the lock's name


def _watched(command: list[str], counter: Counter) -> tuple[int, list[str]]:
    output = []
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True) as pip:  # noqa: S603
        for line in pip.stdout or ():
            output.append(line)
            counter.note(line)
    return pip.returncode, output


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
