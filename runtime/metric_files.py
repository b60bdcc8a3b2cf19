"""Files in which worker processes keep their metrics, a set for each slot; the master serves the metrics of all slots.

A process that replaces a dead one takes over its slot and continues its counters: the number of files stays constant.
The files are as large as they become from the start: on a full disk a write to a new page would kill its process.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector

MASTER_SLOT: Final = "master"
VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client finds the folder."""

PREFIX: Final = "spendgate-metrics-"
LOCK: Final = "lock"
"""The file in a folder that the master and its forked processes keep locked until the last of them has ended."""

KINDS: Final = ("counter", "histogram", "gauge_max", "gauge_sum")
"""The kinds of metrics; each slot has a file for each."""

FILE_BYTES: Final = 1 << 16
"""Size of each file: several times what all series of one kind take."""

_slot = MASTER_SLOT


def begin(slots: int) -> Path | None:
    """Makes and returns a new folder for the metrics that are declared later, with files for the master and `slots`.

    `slots`: the number of worker processes. Call it before `runtime.metrics` is imported. Forked processes call
    `use_slot`. Removes the folders of masters that were killed. Returns None if the folder cannot be made, such as on a
    full disk: each process then keeps its metrics for itself.
    """
    _remove_abandoned()
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError:
        return None
    try:
        _lock(folder)
        for slot in (MASTER_SLOT, *map(str, range(slots))):
            for kind in KINDS:
                (folder / f"{kind}_{slot}.db").write_bytes(bytes(FILE_BYTES))
    except OSError:
        remove(folder)
        return None
    os.environ[VARIABLE] = str(folder)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _slot)  # type: ignore[no-untyped-call]
    return folder


def _lock(folder: Path) -> None:
    """Locks the folder until this process and those that it forks have ended. Raises OSError if another has it."""
    descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(lock.parent)


def use_slot(slot: str) -> None:
    """Makes this process write its metrics to the files of `slot`, which no other running process may use."""
    global _slot  # noqa: PLW0603 - each process has one slot
    _slot = slot


def registry_of(folder: Path | None) -> CollectorRegistry:
    """A registry that merges the files of all slots at each scrape; an empty one if `folder` is None."""
    registry = CollectorRegistry()
    if folder is not None:
        _Collector(registry, path=str(folder))  # type: ignore[no-untyped-call]  # it is not annotated
    return registry


class _Collector(MultiProcessCollector):
    def collect(self) -> Iterable[Metric]:
        """Merges the files. Leaves out empty ones, which a process has made and not yet filled: reading one fails."""
        files = [str(file) for file in Path(self._path).glob("*.db") if file.stat().st_size]
        return self.merge(files, accumulate=True)  # type: ignore[no-any-return, no-untyped-call]


def remove(folder: Path) -> None:
    """Deletes the folder; ignores errors."""
    shutil.rmtree(folder, ignore_errors=True)
