"""periodiq's scheduler with a signal handler that takes no lock.

periodiq's own handler of SIGALRM writes to a queue and a log. If the signal arrives while the main thread holds the
lock of either, the scheduler deadlocks.
"""

import os
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import periodiq


class Alarms:
    """A pipe that replaces the queue between periodiq's alarm and its loop."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.before_wait: Callable[[], None] = lambda: None

    def put_nowait(self, _alarm: object) -> None:
        """Writes an alarm to the pipe."""
        os.write(self._writer, b".")

    def get(self, *, block: bool) -> bool:
        """Calls `before_wait`, waits for the next alarm and returns True."""
        del block
        self.before_wait()
        return bool(os.read(self._reader, 1))

    def handle_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Writes an alarm to the pipe; serves as a signal handler."""
        os.write(self._writer, b".")


class Scheduler(periodiq.Scheduler):  # type: ignore[misc]  # periodiq is not annotated
    """periodiq's scheduler with an `Alarms` pipe, which all schedulers of a process share; only one runs at a time."""

    alarms: Final = Alarms()

    def __init__(self, actors: Any) -> None:
        super().__init__(actors)
        self.alarm_q = self.alarms
        self.signal_handler = self.alarms.handle_signal
