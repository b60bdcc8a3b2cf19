"""Every process shuts down cleanly after a burst of signals, because no signal handler takes a lock."""

import ast
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from runtime.signals import Stop
from tests.cli.shell import REPOSITORY, Env, Service, run, serving
from tests.ports import free_port
from tests.queues import ON_REDIS
from tests.world import World, eventually

BURST = (signal.SIGTERM, signal.SIGINT) * 6
END_SECONDS = 60

only_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads processes in /proc")


def burst(pid: int) -> None:
    """Sends twelve signals to the process without a pause."""
    for number in BURST:
        os.kill(pid, number)


# --- Stop

BURSTS = """
import os, signal, sys, threading, time
from runtime.signals import Stop

BURST = (signal.SIGTERM, signal.SIGINT) * 6

def child(ready):
    stop = Stop()
    ended = []
    thread = threading.Thread(target=lambda: ended.append(stop.wait()))
    with stop.on(signal.SIGTERM, signal.SIGINT):
        thread.start()
        os.write(ready, b".")
        while not stop.wait(0.0001):
            pass
    thread.join()
    os._exit(0 if ended == [True] else 3)

longest, codes = 0.0, []
for number in range(200):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(writer)
    os.read(reader, 1)
    os.close(reader), os.close(writer)
    time.sleep(number % 20 * 0.00002)
    for sent in BURST:
        os.kill(pid, sent)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            sys.exit(f"repetition {number} does not end")
        time.sleep(0.0005)
    codes.append(os.waitstatus_to_exitcode(ended[1]))
print(codes.count(0))
"""


def test_stop_ends_a_process_after_each_of_200_bursts_of_signals() -> None:
    result = run("-c", BURSTS, by_exec=True)
    assert (result.code, result.out, result.err) == (0, "200\n", "")


def test_stop_stays_set_after_repeated_requests() -> None:
    stop = Stop()
    assert not stop.wait(0.001)
    stop.set()
    stop.set()
    assert stop.is_set()
    assert [stop.wait(), stop.wait(60)] == [True, True]


def test_stop_restores_former_handlers_or_ignores_signals_after_a_request() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        stop = Stop()
        with stop.on(signal.SIGUSR1):
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGUSR1) == before
        with stop.on(signal.SIGUSR1):
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stop.wait(END_SECONDS)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


# --- processes as deployed

SMALL: Env = {"SPENDGATE_WORKER_PROCESSES": "2", "SPENDGATE_WORKER_THREADS": "2", "LOG_FORMAT": "json"}


def handles(service: Service) -> bool:
    """Returns whether the process has installed a handler for SIGTERM."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def has_logged(event: str) -> Callable[[Service], bool]:
    return lambda service: bool(service.logged(event))


PROCESSES: dict[str, tuple[tuple[str, ...], Callable[[Service], bool]]] = {
    "the worker master": (("-m", "workers"), has_logged("worker.ready")),
    "the worker master, forking": (("-m", "workers"), handles),
    "the scheduler": (("-m", "workers.scheduler"), handles),
    "the web process": (("-m", "web"), handles),
    "the demo": (("-m", "cli.service.demo"), has_logged("demo.brand_made")),
    "up": (("-m", "cli", "up"), has_logged("worker.ready")),
    "up, starting": (("-m", "cli", "up"), handles),
}


PROCESS_BURSTS = 200 if os.environ.get("SPENDGATE_TEST_FAULTS") == "long" else 1
"""Times that each process is started and gets a burst of signals; many in the long form of the fault tests."""


@only_linux
@pytest.mark.timeout(240 * PROCESS_BURSTS)
@pytest.mark.parametrize("name", PROCESSES)
def test_process_shuts_down_cleanly_after_a_burst_of_signals(world: World, tmp_path: Path, name: str) -> None:
    argv, is_ready = PROCESSES[name]
    for number in range(PROCESS_BURSTS):
        env = {**SMALL, "DATABASE_URL": world.url, "PORT": str(free_port())}
        with serving(*argv, output=tmp_path / f"output-{number}", env=env, by_exec=True) as service:
            # the demo makes its brands once in a database
            is_next = handles if number and name == "the demo" else is_ready
            eventually(partial(is_next, service), END_SECONDS)
            burst(service.process.pid)
            assert service.code(END_SECONDS) == 0
            if argv[-1] == "up":
                assert service.logged("service.stopped")


@ON_REDIS
@only_linux
def test_master_replaces_a_worker_process_that_ended_after_a_burst_of_signals(world: World, tmp_path: Path) -> None:
    one = {**SMALL, "SPENDGATE_WORKER_PROCESSES": "1", "DATABASE_URL": world.url}
    with serving("-m", "workers", output=tmp_path / "output", env=one, by_exec=True) as service:
        for repetition in range(2):
            eventually(lambda: len(service.logged("worker.ready")) == repetition + 1, END_SECONDS)  # noqa: B023
            children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
            burst(int(children.read_text()))
            eventually(lambda: len(service.logged("worker.died")) == repetition + 1, END_SECONDS)  # noqa: B023
        assert [line["exit_code"] for line in service.logged("worker.died")] == [0, 0]
        eventually(lambda: len(service.logged("worker.ready")) == 3, END_SECONDS)


def test_master_restarts_a_dead_child_without_waiting_for_its_next_poll(tmp_path: Path) -> None:
    script = """
import os, sys, time
from workers import master
master.POLL_SECONDS = 600
def work(child):
    print(time.monotonic(), flush=True)
    os._exit(0)
master.Master(work, lambda *_: None, processes=1, threads=1, shutdown_seconds=1).run()
"""
    with serving("-c", script, output=tmp_path / "output") as service:
        started = time.monotonic()
        eventually(lambda: sum(line[:1].isdigit() for line in service.lines()) >= 5, END_SECONDS)
        assert time.monotonic() - started < END_SECONDS


# --- no handler takes a lock

SOURCES = [
    path
    for folder in (
        "app",
        "cli",
        "db",
        "delivery",
        "domain",
        "runtime",
        "web",
        "workers",
        "benchmarks",
        "tests",
        "examples",
    )
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]
MAY_HANDLE = re.compile(r"\bsignal\(|add_signal_handler|handle_exit|signal_handler")
"""Every module with a signal handler matches; parsing the others would take most of the test's time."""

ALLOWED_CALLS = {"os.write", "os._exit"}
IGNORED = {"signal.SIG_IGN", "signal.SIG_DFL", "SIG_IGN", "SIG_DFL"}
REPLACED_HANDLERS = {"handle_exit", "signal_handler"}
"""Methods that override a library's signal handler: found by name, because the library registers them."""


def _registered(tree: ast.AST) -> Iterator[ast.expr]:
    """Yields the signal handlers that a module registers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"signal.signal", "signal"} or called.endswith(".add_signal_handler"):
                yield node.args[1]


def _faults(tree: ast.AST) -> list[str]:
    """Returns actions of a module's signal handlers other than set a flag, write to a pipe or end the process."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    handlers = {name: node for name, node in functions.items() if name in REPLACED_HANDLERS}
    faults = []
    makes_stops = "stop = Stop()" in ast.unparse(tree)
    for handler in _registered(tree):
        text = ast.unparse(handler)
        alternatives = [ast.unparse(node) for node in ast.walk(handler) if isinstance(node, ast.Name | ast.Attribute)]
        name = text.rpartition(".")[2]
        if text in IGNORED or (IGNORED & set(alternatives) and not isinstance(handler, ast.Lambda)):
            continue  # the signal is ignored, or its former handler is restored
        if name in functions:
            handlers[name] = functions[name]
        elif not (text == "stop.set" and makes_stops) and text not in {"handler", "before"}:  # the former handler
            faults.append(f"{text} is not a function of this module")
    for name, function in handlers.items():
        for node in ast.walk(function):
            is_call = isinstance(node, ast.Call) and ast.unparse(node.func) not in ALLOWED_CALLS
            if is_call or isinstance(node, ast.With | ast.Import | ast.ImportFrom | ast.Raise | ast.Try | ast.Await):
                faults.append(f"{name}: {ast.unparse(node)}")
    return faults


@pytest.mark.parametrize(
    "handler",
    [
        "stop = Event()\nsignal.signal(signal.SIGTERM, stop.set)",
        "signal.signal(signal.SIGTERM, lambda *_: stop.set())",
        "def end(*_):\n    log.info('ends')\nsignal.signal(signal.SIGTERM, end)",
        "def end(*_):\n    with lock:\n        done = True\nsignal.signal(signal.SIGTERM, end)",
        "loop.add_signal_handler(signal.SIGTERM, queue.put_nowait)",
        "signal.signal(signal.SIGTERM, event.set)",
        "class S:\n    def handle_exit(self, sig, frame):\n        super().handle_exit(sig, frame)",
    ],
)
def test_faults_finds_a_handler_that_could_take_a_lock(handler: str) -> None:
    assert MAY_HANDLE.search(handler)
    assert _faults(ast.parse(handler))


def test_signal_handlers_only_set_a_flag_write_to_a_pipe_or_end_the_process() -> None:
    texts = {str(path.relative_to(REPOSITORY)): path.read_text() for path in SOURCES}
    faults_of = {path: _faults(ast.parse(text)) for path, text in texts.items() if MAY_HANDLE.search(text)}
    known = {"tests/app/ingest/test_group_commit.py"}  # its handler raises, to test an interrupted thread
    assert {path: faults for path, faults in faults_of.items() if faults and path not in known} == {}
