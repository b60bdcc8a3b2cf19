"""The master of the worker processes: starts them, restarts those that die and stops them at the end."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import uuid4

import redis
import structlog

from delivery.in_flight import KILL_AFTER_SECONDS, InFlightBoard
from runtime.heartbeats import Heartbeats
from runtime.metrics import WORKER_DEATHS, WORKER_PROCESSES
from runtime.signals import ChildExits, Stop, wait_for

log = structlog.get_logger()

POLL_SECONDS: Final = 1.0
"""The longest time between two checks of the children; the end of a child is noticed at once."""

STOPPING_POLL_SECONDS: Final = 0.05
PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 15.0
STEADY_SECONDS: Final = 10.0
"""A process that exits with an error within so many seconds failed to start: the delay before its restart doubles."""


@dataclass
class Child:
    """A worker process of the master.

    `threads`: the number of its threads. `place`: its number from 0, which the process that replaces it takes over.
    `worker_id`: the id under which it fetches messages. `pid`: 0 before the fork. `board`: the messages that it works
    on. `beat`: records a heartbeat.
    """

    threads: int
    place: int = 0
    worker_id: str = field(default_factory=lambda: str(uuid4()))
    started: float = field(default_factory=time.monotonic)
    pid: int = 0
    beat: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.board = InFlightBoard(self.threads)


class Master:
    """Keeps `processes` child processes running until SIGTERM or SIGINT.

    Each child runs `work(child)` until it gets SIGTERM. For a child that dies before that, or fails while it stops, the
    master calls `on_death(worker_id, working_on)` with the ids of the messages that it was working on. It kills
    children that still run `shutdown_seconds` and KILL_AFTER_SECONDS after the signal, without calling `on_death`.
    `heartbeats`: has place 0 for the master, and one for each process; None: the master makes its own.
    """

    def __init__(
        self,
        work: Callable[[Child], None],
        on_death: Callable[[str, list[str]], None],
        *,
        processes: int,
        threads: int,
        shutdown_seconds: float,
        heartbeats: Heartbeats | None = None,
    ) -> None:
        self._work = work
        self._on_death = on_death
        self._threads = threads
        self._shutdown_seconds = shutdown_seconds
        self._heartbeats = heartbeats or Heartbeats(1 + processes)
        self._children: list[Child | None] = [None] * processes
        self._not_before = [0.0] * processes
        self._pauses = [PAUSE_SECONDS] * processes
        self._stop = Stop()
        self._stopping_since: float | None = None

    def run(self) -> int:
        """Runs until a signal asks it to stop and every child has ended; returns 0."""
        child_exits = ChildExits()
        with self._stop.on(signal.SIGTERM, signal.SIGINT):
            while self._stopping_since is None or any(self._children):
                child_exits.clear()
                self._heartbeats.beat(0)
                if self._stop.is_set() and self._stopping_since is None:
                    self._end_children()
                for place, child in enumerate(self._children):
                    if child is not None:
                        self._check(place, child)
                    elif self._stopping_since is None and time.monotonic() >= self._not_before[place]:
                        self._children[place] = self._start(place)
                self._pause(child_exits)
        return 0

    def _pause(self, child_exits: ChildExits) -> None:
        """Waits until a child ends, a child may be restarted, a stop is requested or POLL_SECONDS pass.

        While stopping, waits for a child's end or STOPPING_POLL_SECONDS; returns at once without a child.
        """
        if self._stopping_since is None:
            empty = (self._not_before[place] for place, child in enumerate(self._children) if child is None)
            starts = min(empty, default=math.inf) - time.monotonic()
            wait_for(min(starts, POLL_SECONDS), child_exits, self._stop)
        elif any(self._children):
            wait_for(STOPPING_POLL_SECONDS, child_exits)

    def _start(self, place: int) -> Child:
        child = Child(self._threads, place, beat=partial(self._heartbeats.beat, 1 + place))
        child.beat()
        # blocked, so that no signal arrives between the fork and the child's own handlers
        handled = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, handled)
        try:
            child.pid = os.fork()
            if child.pid == 0:
                self._run_child(child)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        WORKER_PROCESSES.inc()
        return child

    def _run_child(self, child: Child) -> None:
        code = 1
        try:
            ChildExits.restore_in_child()
            # SIGINT is for the master only; SIGTERM stays blocked until the child installs its handler.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._work(child)
            code = 0
        except Exception:
            log.exception("worker.failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _check(self, place: int, child: Child) -> None:
        ended, status = os.waitpid(child.pid, os.WNOHANG)
        if ended:
            self._children[place] = None
            self._heartbeats.end(1 + place)
            if self._stopping_since is None or status != 0:
                self._handle_death(place, child, os.waitstatus_to_exitcode(status))
            child.board.close()
            WORKER_PROCESSES.set(len([one for one in self._children if one is not None]))
        elif self._is_overdue():
            log.warning("worker.killed", pid=child.pid, after_seconds=self._shutdown_seconds)
            os.kill(child.pid, signal.SIGKILL)

    def _handle_death(self, place: int, child: Child, exit_code: int) -> None:
        working_on = child.board.read()
        lived = time.monotonic() - child.started
        is_failed_start = exit_code > 0 and lived < STEADY_SECONDS
        self._pauses[place] = min(self._pauses[place] * 2, LONGEST_PAUSE_SECONDS) if is_failed_start else PAUSE_SECONDS
        self._not_before[place] = time.monotonic() + self._pauses[place]
        WORKER_DEATHS.inc()
        log.error("worker.died", pid=child.pid, exit_code=exit_code, messages_in_work=len(working_on))
        if self._is_overdue():
            return  # no time to wait for Redis; other workers take over the messages when the heartbeats stop
        try:
            self._on_death(child.worker_id, working_on)
        except redis.RedisError as error:
            log.warning("worker.not_buried", worker_id=child.worker_id, error=str(error))

    def _end_children(self) -> None:
        self._stopping_since = time.monotonic()
        for child in filter(None, self._children):
            os.kill(child.pid, signal.SIGTERM)

    def _is_overdue(self) -> bool:
        waited = 0.0 if self._stopping_since is None else time.monotonic() - self._stopping_since
        return waited > self._shutdown_seconds + KILL_AFTER_SECONDS
