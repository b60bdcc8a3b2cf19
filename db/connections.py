"""How many connections to Postgres the processes of each kind may open at once, by their threads."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from runtime.settings import Settings

OVERFLOW: Final = 2
"""Connections that a pool may open beyond its size for a moment, such as for the probes of a busy web process."""

FOR_BACKGROUND: Final = 1
"""Connections of a pool for background threads, beside those for threads that handle messages or requests."""


class ProcessKind(StrEnum):
    """A kind of process: it handles messages, requests, the schedule, or one command of a person."""

    WORKER = "worker"
    WEB = "web"
    SCHEDULER = "scheduler"
    COMMAND = "command"


def pool_size(kind: ProcessKind, read: Settings) -> int:
    """The most connections that the pool of one process keeps open: one per working thread, and FOR_BACKGROUND.

    Working threads handle messages or requests. A scheduler has none: it only reads figures for metrics. A command
    counts as many as a worker or a web process, whichever has more, because it may run the work of both.
    """
    threads = {
        ProcessKind.WORKER: read.worker_threads,
        ProcessKind.WEB: read.web_threads,
        ProcessKind.SCHEDULER: 0,
        ProcessKind.COMMAND: max(read.worker_threads, read.web_threads),
    }
    return threads[kind] + FOR_BACKGROUND


def processes_of_settings(read: Settings) -> dict[ProcessKind, int]:
    """The number of worker, web and scheduler processes if `spendgate worker`, `web` and `scheduler` run once each."""
    return {ProcessKind.WORKER: read.worker_processes, ProcessKind.WEB: 1, ProcessKind.SCHEDULER: 1}


def most_connections(read: Settings, counts: Mapping[ProcessKind, int]) -> dict[ProcessKind, int]:
    """The connections that all processes of a kind together may open at once, by kind.

    `read`: the settings of each process. `counts`: the number of processes by kind.
    """
    return {kind: count * (pool_size(kind, read) + OVERFLOW) for kind, count in counts.items()}


class ThisProcess:
    """The kind of this process: COMMAND, unless its entry point sets another before it connects."""

    kind = ProcessKind.COMMAND


this_process: Final = ThisProcess()
