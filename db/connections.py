"""How many connections to Postgres the processes of each kind may open at once, by their threads."""

from enum import StrEnum
from typing import Final

from runtime.settings import Settings

OVERFLOW: Final = 2
"""Connections that a pool may open beyond its size for a moment, such as for the probes of a busy web process."""

FOR_BACKGROUND: Final = 1
"""Connections of a pool for threads that work for no message and no request."""


class ProcessKind(StrEnum):
    """Kinds of processes, by what their threads work on."""

    WORKER = "worker"
    WEB = "web"
    COMMAND = "command"


def pool_size(kind: ProcessKind, read: Settings) -> int:
    """The connections that one process of the kind keeps open: one a thread, and some for the background.

    A command may run the work of both others.
    """
    threads = {
        ProcessKind.WORKER: read.worker_threads,
        ProcessKind.WEB: read.web_threads,
        ProcessKind.COMMAND: max(read.worker_threads, read.web_threads),
    }
    return threads[kind] + FOR_BACKGROUND


def most_connections(read: Settings) -> dict[ProcessKind, int]:
    """The connections that one `worker` with all its processes, and one `web`, may open at once, by kind."""
    processes = {ProcessKind.WORKER: read.worker_processes, ProcessKind.WEB: 1}
    return {kind: count * (pool_size(kind, read) + OVERFLOW) for kind, count in processes.items()}


class ThisProcess:
    """The kind of this process, set by its entry point before it connects."""

    kind = ProcessKind.COMMAND


this_process: Final = ThisProcess()
