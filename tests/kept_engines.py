"""Keeps the connections of this process's engine from test to test.

A new connection to Postgres first reads what it needs to know of each table: that costs more than most tests. An engine
is kept if it was made with the settings that its test began with; the next test with equal settings gets it.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Engine, event

from db.connections import ProcessKind, this_process
from db.engine import engine
from runtime.settings import Settings, settings
from tests.preloaded import OWN_VARIABLES

MOST_CONNECTIONS = 3
"""Connections of an engine that are kept: tests with many threads open more."""

PATIENCE_SECONDS = 30
"""Time that a test's threads may take to end after it: those of a client that was closed are told so, no more."""

OF_LOOPS = ("AnyIO worker thread", "asyncio_")
"""Beginnings of the names of threads that wait for work of an event loop, which a client may leave open."""


class Kept(NamedTuple):
    """An engine, what it was made with, and the process ids of its connections in Postgres."""

    kind: ProcessKind
    settings: Settings
    environment: Mapping[str, str]
    engine: Engine
    pids: set[int]


class KeptEngines:
    """Makes the engines of this process in the place of `make`, or returns one that is kept."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._kept: list[Kept] = []
        self._began_with: Mapping[str, str] = {}
        self._users: set[threading.Thread] = set()

    def __call__(self) -> Engine:
        """The engine for the present settings."""
        read = settings()
        for kept in self._kept:
            if kept.kind == this_process.kind and kept.settings == read:
                return kept.engine
        made, pids = self._make(), set[int]()
        event.listen(made, "connect", lambda driver, _: pids.add(driver.info.backend_pid))
        event.listen(made, "checkout", lambda *_: self._users.add(threading.current_thread()))
        self._kept.append(Kept(this_process.kind, read, _environment(), made, pids))
        return made

    def begin_test(self) -> None:
        """Notes the settings with which a test begins."""
        engine.cache_clear()
        self._began_with = _environment()
        self._users.clear()

    def threads_left(self) -> list[str]:
        """Waits for the threads that used an engine in the test; returns the names of those that do not end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        users = [*self._users]
        others = [one for one in users if one is not threading.current_thread() and not one.name.startswith(OF_LOOPS)]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in others if thread.is_alive()]

    def end_test(self) -> set[int]:
        """Closes the connections that are not kept; the others' process ids in Postgres."""
        engine.cache_clear()
        for kept in self._kept[:]:
            pool = kept.engine.pool
            if kept.environment != self._began_with:
                self._kept.remove(kept)
                kept.engine.dispose()
            elif pool.checkedout() or pool.checkedin() > MOST_CONNECTIONS:  # type: ignore[attr-defined]  # of QueuePool
                kept.engine.dispose()
        return {pid for kept in self._kept for pid in kept.pids}

    def close(self) -> None:
        """Closes all connections and keeps no engine."""
        while self._kept:
            self._kept.pop().engine.dispose()


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name.startswith(OWN_VARIABLES)}
    own.pop("PYTEST_CURRENT_TEST", None)
    return own
