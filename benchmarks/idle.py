"""Measures the processor use of idle worker processes."""

import os
import time
from pathlib import Path
from typing import Final

from benchmarks.stage import BenchStage

SETTLED_SECONDS: Final = 5
SECONDS: Final = 60
ALLOWED_PERCENT: Final = 0.3


def percent_of_a_core(stage: BenchStage) -> float:
    """Measures processor use for SECONDS: user and system time of the busiest worker process, in percent of a core.

    The master of the worker processes counts as one of them.
    """
    with stage.copied(), stage.workers() as master:
        children = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
        pids = [master.pid, *map(int, children)]
        time.sleep(SETTLED_SECONDS)
        before = {pid: _seconds(pid) for pid in pids}
        time.sleep(SECONDS)
        return max(_seconds(pid) - before[pid] for pid in pids) / SECONDS * 100


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
