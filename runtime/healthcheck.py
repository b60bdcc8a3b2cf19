"""`python -m runtime.healthcheck`: asks each process of Spendgate in this container whether it is healthy.

It finds the web process, the worker and the scheduler in /proc, and asks each on the port of its own environment.
Exits with 0 if all answer, with 1 and a line for each that does not. Under `spendgate up` all three must be there; a
container that runs another command, such as a migration, is healthy. Uses the standard library only, to start quickly.
"""

import http.client
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ANSWER_SECONDS: Final = 5.0
HEALTHY_STATUS: Final = 200
LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses to replace, none to listen on


class Kind(NamedTuple):
    """A kind of process: its module, and the settings of its host and port with their defaults."""

    module: str
    host: tuple[str, str]
    port: tuple[str, int]


KINDS: Final = (
    Kind("web", ("SPENDGATE_HOST", "127.0.0.1"), ("PORT", 8000)),
    Kind("workers", ("SPENDGATE_METRICS_HOST", "127.0.0.1"), ("SPENDGATE_WORKER_METRICS_PORT", 9191)),
    Kind("workers.scheduler", ("SPENDGATE_METRICS_HOST", "127.0.0.1"), ("SPENDGATE_SCHEDULER_METRICS_PORT", 9192)),
)


class Process(NamedTuple):
    """A running process: its command line and its environment."""

    argv: Sequence[str]
    env: Mapping[str, str]


def main() -> int:
    """Prints a line for each problem of the processes in /proc; returns the exit code, 0 or 1."""
    found = problems(list(processes(Path("/proc"))))
    for problem in found:
        print(problem)  # Docker keeps the output of the check
    return 1 if found else 0


def processes(proc: Path) -> Iterator[Process]:
    """Yields the processes whose environment this user may read, by id. Leaves out processes that end meanwhile."""
    for folder in sorted((one for one in proc.iterdir() if one.name.isdigit()), key=lambda one: int(one.name)):
        try:
            argv, env = ((folder / name).read_text(errors="replace").split("\0") for name in ("cmdline", "environ"))
        except OSError:
            continue
        yield Process(argv, dict(one.split("=", 1) for one in env if "=" in one))


def problems(running: Sequence[Process]) -> list[str]:
    """Asks the first process of each kind; returns a line for each kind that is not healthy.

    Also for each kind that is missing while `spendgate up` runs.
    """
    is_all_in_one = any(Path(word).name == "spendgate" and "up" in one.argv for one in running for word in one.argv[:2])
    found = []
    for kind in KINDS:
        process = next((one for one in running if _is_of(kind, one.argv)), None)
        if process is not None:
            problem = problem_of(kind, process)
            if problem is not None:
                found.append(f"{kind.module}: {problem}")
        elif is_all_in_one:
            found.append(f"{kind.module}: does not run")
    return found


def _is_of(kind: Kind, argv: Sequence[str]) -> bool:
    return any(argv[place : place + 2] == ["-m", kind.module] for place in range(1, 3))


def address_of(kind: Kind, process: Process) -> tuple[str, int]:
    """The host and port at which the process answers; port 0: it answers at none, or at a port that is not known."""
    argv = process.argv
    option = argv[argv.index("--host") + 1] if "--host" in argv[:-1] else None
    host = option or process.env.get(kind.host[0]) or kind.host[1]
    return LOOPBACK.get(host, host), int(process.env.get(kind.port[0]) or kind.port[1])


def problem_of(kind: Kind, process: Process) -> str | None:
    """Asks the process whether it is healthy; returns the fault in words. None: it is healthy, or its port is 0."""
    host, port = address_of(kind, process)
    if port == 0:
        return None
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on {host}:{port} ({type(error).__name__})"
    finally:
        connection.close()
    return None if status == HEALTHY_STATUS else f"answered {status} on {host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
