"""periodiq's scheduler with an alarm that takes no lock.

periodiq's own handler of SIGALRM puts into a queue and logs: where it strikes while the main thread holds the lock of
either, the scheduler stands still for ever.
"""

import os
from types import FrameType
from typing import Any, Final

import periodiq


class Alarms:
    """In place of the queue between the alarm and the scheduler's loop."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def put_nowait(self, _alarm: object) -> None:
        """Notes an alarm."""
        os.write(self._writer, b".")

    def get(self, *, block: bool) -> bool:
        """Waits for the next alarm."""
        del block
        return bool(os.read(self._reader, 1))

    def ring(self, _number: int, _frame: FrameType | None) -> None:
        """Notes an alarm, as a signal handler."""
        os.write(self._writer, b".")


class Scheduler(periodiq.Scheduler):  # type: ignore[misc]  # periodiq is not annotated
    """periodiq's, which wakes itself by SIGALRM. All of a process share one pipe: there is one after the other."""

    alarms: Final = Alarms()

    def __init__(self, actors: Any) -> None:
        super().__init__(actors)
        self.alarm_q = self.alarms
        self.signal_handler = self.alarms.ring
