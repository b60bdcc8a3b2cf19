"""Measures the processor time that servers and worker processes use, from /proc."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg


def processor_seconds(pid: int) -> float:
    """Processor seconds of a process, of its running children, and of its descendants that have ended."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _state, parent, *rest = path.read_text().rpartition(")")[2].split()
            own, of_ended = rest[9:11], rest[11:13]
            if path.parent.name == str(pid):
                ticks += sum(map(int, [*own, *of_ended]))
            elif parent == str(pid):
                ticks += sum(map(int, own))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def timed(pids: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """Yields an empty dict; the end of the block puts into it each process's processor seconds during it, by name."""
    before = {name: processor_seconds(pid) for name, pid in pids.items()}
    used: dict[str, float] = {}
    yield used
    used.update((name, processor_seconds(pid) - before[name]) for name, pid in pids.items())


def postmaster(url: str) -> int:
    """The process id of the Postgres server at `url`."""
    with psycopg.connect(url) as connection:
        ((folder,),) = connection.execute("SHOW data_directory").fetchall()
    return int((Path(folder) / "postmaster.pid").read_text().split()[0])
