"""Starts `python -m …` or `python -c …` by a fork of a process that has imported the libraries and most of our modules.

Each process of the product takes seconds of the processor to import modules, and the tests start hundreds. A forked one
imports the rest itself, under its own environment, arguments, folder, session and standard streams. No module that is
imported before the fork reads a setting, and those that workers use declare no metric, since workers keep theirs in
files. Its command line and environment in /proc are the forking process's: a test about these, or about an import,
starts its process by `Popen`.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

from runtime.settings import settings

REPOSITORY = Path(__file__).parents[1]
LIBRARIES = (
    *("alembic", "argon2", "babel", "charset_normalizer", "dramatiq", "dramatiq.brokers.redis", "fastapi", "jinja2"),
    *("dramatiq.brokers.rabbitmq", "dramatiq.worker", "limits.storage", "msgspec", "periodiq", "pika", "psycopg"),
    *("psycopg.types.json", "pydantic_settings", "redis", "rich.console", "rich.live", "rich.table", "rich.traceback"),
    *("sqlalchemy", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.orm", "structlog", "structlog.dev"),
    *("prometheus_client", "starlette_admin.contrib.sqla", "typer", "uvicorn", "uvicorn.protocols.http.h11_impl"),
    *("cryptography.fernet", "httpx", "more_itertools", "python_calamine"),
)
OURS = (
    *("domain", "db.models", "db.connections", "db.pool", "db.repository.access", "db.repository.health"),
    *("db.repository.imports", "db.repository.platforms", "db.repository.proof", "app.outgoing_http"),
    *("runtime.clock", "runtime.encryption", "runtime.logs", "runtime.settings"),
)
"""Modules and packages, with all in them, that declare no metric."""

OURS_OF_PAGES = ("web.app", "cli")
"""More of them, for processes that run one of PROGRAMS_OF_PAGES."""

PROGRAMS_OF_PAGES = ("web", "cli")
OWN_VARIABLES = (
    *("SPENDGATE_", "DATABASE_URL", "REDIS_URL", "BROKER_URL", "REPLICA_DATABASE_URL", "MIGRATOR_DATABASE_URL"),
    *("PORT", "LOG_LEVEL", "LOG_FORMAT", "PYTEST_", "COVERAGE_"),
)
"""No module reads variables with these prefixes as it is imported."""

FOLDERS_OF_MODULES = "PYTHONPATH"

HEADER = struct.Struct("!I")
POLL_SECONDS = 0.01


class Forked:
    """A process that the forking process started; its exit code comes by a pipe."""

    def __init__(self, argv: Sequence[str], pid: int, status_pipe: IO[bytes]) -> None:
        self.args, self.pid = argv, pid
        self.returncode: int | None = None
        self._status_pipe = status_pipe
        os.set_blocking(status_pipe.fileno(), False)

    def poll(self) -> int | None:
        """The exit code, negative for the signal that ended it; None while it runs."""
        if self.returncode is None and (status := self._status_pipe.read()) is not None:
            (self.returncode,) = struct.unpack("!i", status)
            self._status_pipe.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; raises TimeoutExpired after so many seconds."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal to the process while it runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def can_fork(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a fork can replace a new interpreter.

    That is so if only our own variables and PYTHONPATH differ, and coverage is not measured. Modules in
    folders of PYTHONPATH are found, but replace none that is imported before the fork.
    """
    changed = {name for name, _ in env.items() ^ _environment_of_server().items()}
    return (
        sys.platform == "linux"
        and argv[0] in {"-m", "-c"}
        and not any(name.startswith("COVERAGE_") and env[name] for name in env)
        and all(name.startswith(OWN_VARIABLES) or name == FOLDERS_OF_MODULES for name in changed)
    )


def fork(argv: Sequence[str], env: Mapping[str, str], folder: Path, streams: Sequence[int], *, session: bool) -> Forked:
    """Starts `python *argv` with these descriptors as its standard input, output and error."""
    read, write = os.pipe()
    request = json.dumps({"argv": list(argv), "env": dict(env), "folder": str(folder), "session": session}).encode()
    with _one_at_a_time:
        if not _running:
            _running.append(_start())
        server = _running[0].of_pages if argv[1] in PROGRAMS_OF_PAGES else _running[0].plain
        socket.send_fds(server, [HEADER.pack(len(request))], [*streams, write])
        server.sendall(request)
    os.close(write)
    status_pipe = os.fdopen(read, "rb", buffering=0)
    (pid,) = struct.unpack("!i", status_pipe.read(4))
    return Forked(argv, pid, status_pipe)


@lru_cache(maxsize=1)
def _environment_of_server() -> dict[str, str]:
    """The environment of the first call, without what our settings read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
    return kept | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}


class _Server(NamedTuple):
    """The forking process, and the sockets by which it and its own fork with the modules of pages are asked."""

    process: subprocess.Popen[bytes]
    plain: socket.socket
    of_pages: socket.socket


_one_at_a_time = threading.Lock()
_running: list[_Server] = []


def _start() -> _Server:
    """Starts the forking process, which ends when this process does."""
    (plain, plain_end), (of_pages, of_pages_end) = socket.socketpair(), socket.socketpair()
    with plain_end, of_pages_end:
        ends = plain_end.fileno(), of_pages_end.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", *map(str, ends)],
            cwd=REPOSITORY,
            env=_environment_of_server(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=ends,
            start_new_session=True,
        )
    return _Server(process, plain, of_pages)


def stop() -> None:
    """Ends the forking process, if there is one; the processes that it forked continue."""
    while _running:
        process, *asked = _running.pop()
        for one in asked:
            one.close()
        process.wait()


def serve(plain: socket.socket, of_pages: socket.socket) -> None:
    """Imports what processes share, and forks a process for each request at either socket until both are closed."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in OURS:
        _import_all(name)
    assert "runtime.metrics" not in sys.modules
    if os.fork() == 0:
        plain.close()
        _serve(of_pages, OURS_OF_PAGES)
        os._exit(0)
    of_pages.close()
    _serve(plain, ())


def _import_all(name: str) -> None:
    """Imports a module and, if it is a package, all modules in it except programs."""
    for found in pkgutil.iter_modules(getattr(importlib.import_module(name), "__path__", ()), f"{name}."):
        if found.name not in PROGRAMS_OF_PAGES and not found.name.endswith(".__main__"):
            _import_all(found.name)


def _serve(requests: socket.socket, ours: Sequence[str]) -> None:
    """Forks a process for each request, until the other end is closed; imports `ours` at the first request."""
    while True:
        header, descriptors, _, _ = socket.recv_fds(requests, HEADER.size, 4)
        if not header:
            return
        if gc.get_freeze_count() == 0:
            for name in ours:
                _import_all(name)
            assert settings.cache_info().currsize == 0, "a module of ours reads a setting as it is imported"
            gc.collect()
            gc.freeze()
        (length,) = HEADER.unpack(header)
        request = json.loads(requests.recv(length, socket.MSG_WAITALL))
        if os.fork() == 0:
            requests.close()
            _keep(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(request: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Forks once more and sends the child's id and, in the end, its exit code."""
    *streams, status_pipe = descriptors
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(status_pipe)
        os.close(read)
        if request["session"]:
            os.setsid()
        os.close(write)
        _become(request, streams)
    for descriptor in (*streams, write):
        os.close(descriptor)
    os.read(read, 1)  # until the child leads its session: who knows its id may signal its group
    os.close(read)
    os.write(status_pipe, struct.pack("!i", pid))
    _, status = os.waitpid(pid, 0)
    os.write(status_pipe, struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Turns this process into the one that was asked for, runs it and exits as an interpreter does."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    option, program, *arguments = request["argv"]
    sys.argv = [program if option == "-m" else option, *arguments]
    sys.path[0] = request["folder"]
    sys.path[1:1] = request["env"].get(FOLDERS_OF_MODULES, "").split(os.pathsep)
    sys.modules.pop("tests", None)
    code: object = 1
    try:
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = ModuleType("__main__")
            exec(program, vars(sys.modules["__main__"]))  # noqa: S102 - the test's own script
        code = 0
    except SystemExit as left:
        code = left.code
    except BaseException as error:  # noqa: BLE001 - the interpreter shows any
        traceback.print_exc()
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    sys.exit(code)  # type: ignore[arg-type]  # whatever the program left with


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as plain, socket.socket(fileno=int(sys.argv[2])) as of_pages:
        serve(plain, of_pages)
