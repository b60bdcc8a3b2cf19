"""Worker processes that are killed, stopped or terminated during work: their messages are counted once."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.faults.kit import (
    A_MESSAGE,
    LONG,
    FaultStage,
    children,
    is_ready,
    kill,
    progress,
    several_bundles,
    size,
    until,
)
from tests.faults.load import Load

SHUTDOWN_SECONDS = 30
STOPPED_SECONDS = 120

HEARTBEATS = "dramatiq:__heartbeats__"
SILENT_MS = size(2_000, 20_000)
"""In the short form, a worker counts as dead after a much shorter silence than in the service."""


def test_killed_worker_processes_lose_and_double_nothing(stage: FaultStage) -> None:
    kills = size(6, 200)
    load = stage.load(A_MESSAGE)
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")

        def kill_one() -> bool:
            running = children(master.process.pid)
            if not running or not kill(stage.draw.choice(running)):
                return False
            stage.fault_ended()
            return stage.waiting() > 0

        stage.hit(load, kills, kill_one)
        until(lambda: len(master.logged("worker.died")) >= kills, "the master has seen every death")
        died = master.logged("worker.died")
        assert len([line for line in died if line["exit_code"] == -signal.SIGKILL]) >= kills
        assert sum(line["messages_in_work"] > 0 for line in died) >= max(1, kills // 10)
        assert master.process.poll() is None
    stage.add_to_table("worker process: kill -9", kills, stage.checked(load))


class Supervisor:
    """Restarts the master whenever it has ended, as systemd or a container's runtime does."""

    def __init__(self, stage: FaultStage) -> None:
        self._stage = stage
        self._services = ExitStack()
        self._stopping = threading.Event()
        self.current = self._services.enter_context(stage.workers())
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(0.02):
            if self.current.process.poll() is not None:
                self.current = self._services.enter_context(self._stage.workers())

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._services.close()


@contextmanager
def supervised(stage: FaultStage) -> Iterator[Supervisor]:
    supervisor = Supervisor(stage)
    try:
        yield supervisor
    finally:
        supervisor.stop()


def test_killed_master_leaves_no_orphan_and_loses_nothing(stage: FaultStage) -> None:
    kills = size(2, 20)
    load = stage.load(A_MESSAGE)
    with supervised(stage) as supervisor:

        def kill_the_master() -> bool:
            until(lambda: is_ready(supervisor.current), "the new master's workers are ready")
            master = supervisor.current
            orphans = children(master.process.pid)
            kill(master.process.pid)
            stage.fault_ended()
            was_at_work = stage.waiting() > 0
            until(lambda: supervisor.current is not master, "the master is started again")
            until(lambda: not any(is_running(orphan) for orphan in orphans), "the orphans have ended")
            return was_at_work

        stage.hit(load, kills, kill_the_master)
    stage.add_to_table("master: kill -9", kills, stage.checked(load))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_sigterm_during_work_ends_in_time_with_0_and_the_next_start_does_the_rest(stage: FaultStage) -> None:
    times = size(2, 50)
    load = stage.load(A_MESSAGE)
    ends: list[float] = []
    for number in range(times):
        stage.send(load.batches(several_bundles(load) - stage.waiting()))
        with stage.workers() as master:
            left = stage.waiting() - stage.draw.randint(1, 20)
            until(lambda left=left: stage.waiting() <= left, "the workers began")  # type: ignore[misc]  # bound now
            signalled_at = time.monotonic()
            master.send(signal.SIGTERM)
            assert master.code(SHUTDOWN_SECONDS) == 0
            ends.append(time.monotonic() - signalled_at)
            assert not master.logged("worker.killed")
        assert stage.waiting() > 0, "it was not under load"
        progress(f"seed {stage.seed}: {number + 1} of {times}, ended in {ends[-1]:.1f} s")
    with stage.workers():
        stage.wait_for_recovery()
    stage.add_to_table("SIGTERM under load (the time is to its end)", times, stage.checked(load), ends)


def test_process_stopped_for_long_and_continued_doubles_nothing(stage: FaultStage) -> None:
    load = stage.load(size(200, 1_000))
    env = {
        "SPENDGATE_WORKER_PROCESSES": "1",
        "SPENDGATE_WORKER_THREADS": "4",
        "SPENDGATE_FAULTS_SILENT_MS": str(SILENT_MS),
    }
    with stage.started("-m", "tests.faults.worker", env=env) as first:
        until(lambda: stage.queue.zcard(HEARTBEATS) == 1, "the first process shows that it lives")
        (worker_id,) = stage.queue.zrange(HEARTBEATS, 0, -1)
        held_by_it = f"dramatiq:__acks__.{worker_id.decode()}.spend"
        with stage.started("-m", "tests.faults.worker", env=env) as second:
            until(lambda: is_ready(second, 1), "the second process works")
            (pid,) = children(first.process.pid)
            stop_at_work(stage, load, pid, held_by_it)
            since = time.monotonic()
            until(lambda: not stage.queue.exists(held_by_it), "the other process takes over the stopped one's messages")
            if LONG:
                until(lambda: stage.is_done() and time.monotonic() > since + STOPPED_SECONDS, "the other does it all")
            assert children(first.process.pid) == [pid]
            kill(pid, signal.SIGCONT)
            stage.wait_for_recovery()
            stage.send(load.batches(20))
            until(stage.is_done, "both processes continue")
            assert not first.logged("worker.died")
    stage.add_to_table("worker process: SIGSTOP for 120 s, then SIGCONT", 1, stage.checked(load))


def stop_at_work(stage: FaultStage, load: Load, pid: int, held_by_it: str) -> None:
    """Stops the process while it has messages in progress."""
    for _ in range(20):
        stage.send(load.batches(40))
        until(lambda: stage.waiting() < 30, "the workers began")
        kill(pid, signal.SIGSTOP)
        if stage.queue.scard(held_by_it):
            return
        kill(pid, signal.SIGCONT)
    raise AssertionError("it never held a message when it was stopped")
