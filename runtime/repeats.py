"""Bounds how often a process logs the same warning or error, so that a fault of many messages does not fill the log."""

import logging
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

BURST: Final = 20
"""Most warnings and errors of one event, and lines of an event in ROUTINE, that a process writes in WINDOW_SECONDS.

Further ones are counted and left out.
"""

WINDOW_SECONDS: Final = 10.0
SUMMARY: Final = "log.repeated"
ROUTINE: Final = frozenset({"transaction.retried", "library.dramatiq"})
"""Events of level info that are bounded like warnings and errors; all other lines are written."""

SUMMED: Final = ("inputs", "messages")
"""Fields with numbers that the summary adds up over the lines left out."""


@dataclass
class _Window:
    began: float = field(default_factory=time.monotonic)
    lines: int = 0
    left_out: int = 0
    sums: dict[str, int] = field(default_factory=dict)


class Repeats(logging.Filter):
    """Lets at most BURST warnings and errors of each event through in `window_seconds`; bounds ROUTINE events too.

    If it left lines of an event out, it writes one line `log.repeated` with their number at the end of the window.
    """

    def __init__(self, window_seconds: float = WINDOW_SECONDS) -> None:
        super().__init__()
        self._seconds = window_seconds
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._guard = threading.Lock()
        self._windows: dict[str, _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the line is written; counts a line that is left out."""
        fields: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {}
        event = str(fields.get("event", f"library.{record.name.partition('.')[0]}"))
        is_bounded = record.levelno in {logging.WARNING, logging.ERROR} or event in ROUTINE
        if not is_bounded or event == SUMMARY:
            return True
        with self._guard:
            window = self._windows.setdefault(event, _Window())
            if not window.left_out and time.monotonic() - window.began > self._seconds:
                window = self._windows[event] = _Window()
            window.lines += 1
            if window.lines <= BURST:
                return True
            window.left_out += 1
            if window.left_out == 1:
                self._end_later(event, window.began + self._seconds - time.monotonic())
            for name in SUMMED:
                if type(fields.get(name)) is int:
                    window.sums[name] = window.sums.get(name, 0) + fields[name]
            return False

    def end_windows(self) -> None:
        """Ends the window of each event now, and writes how many of its lines were left out, if any."""
        for event in list(self._windows):
            self._end(event)

    def _end_later(self, event: str, seconds: float) -> None:
        """Starts a thread that ends the event's window after `seconds`.

        Such a thread exists only while lines are left out, because the master of workers forks.
        """
        timer = threading.Timer(seconds, self._end, [event])
        timer.daemon = True
        timer.start()

    def _end(self, event: str) -> None:
        with self._guard:
            window = self._windows.pop(event, _Window())
        if window.left_out:
            structlog.get_logger().warning("log.repeated", of=event, left_out=window.left_out, **window.sums)
