"""Files in which worker processes keep their metrics, a set for each slot; the master serves the metrics of all slots.

A process that replaces a dead one takes over its slot and continues its counters: the number of files stays constant.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector

MASTER_SLOT: Final = "master"
VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client finds the folder."""

_slot = MASTER_SLOT


def begin() -> Path:
    """Makes a new folder for the metrics that are declared from now on, and returns it.

    Call it before `runtime.metrics` is imported. Forked processes call `use_slot`.
    """
    folder = Path(tempfile.mkdtemp(prefix="spendgate-metrics-"))
    os.environ[VARIABLE] = str(folder)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _slot)  # type: ignore[no-untyped-call]
    return folder


def use_slot(slot: str) -> None:
    """Makes this process write the files of `slot`. No two processes that run at once may use the same slot."""
    global _slot  # noqa: PLW0603 - each process has one slot
    _slot = slot


def registry_of(folder: Path) -> CollectorRegistry:
    """A registry that adds up the files of all slots at each scrape."""
    registry = CollectorRegistry()
    _Collector(registry, path=str(folder))  # type: ignore[no-untyped-call]  # it is not annotated
    return registry


class _Collector(MultiProcessCollector):
    def collect(self) -> Iterable[Metric]:
        """Adds up the files. Leaves out empty ones, which a process has made and not yet filled: reading one fails."""
        files = [str(file) for file in Path(self._path).glob("*.db") if file.stat().st_size]
        return self.merge(files, accumulate=True)  # type: ignore[no-any-return, no-untyped-call]


def remove(folder: Path) -> None:
    """Deletes the folder; ignores errors."""
    shutil.rmtree(folder, ignore_errors=True)
