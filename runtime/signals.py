"""How a process is asked to end. Python runs a signal handler between any two steps of the main thread, also while that
thread holds a lock or is inside another handler: a handler that takes a lock can wait for itself for ever.

So handlers here set a flag and write to a pipe, and whoever waits, in any thread, waits on the pipe.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol


class Readable(Protocol):
    """What can be waited for: it becomes readable when it has happened."""

    def fileno(self) -> int:
        """The descriptor to poll."""


class Stop:
    """A request to end, made once and never taken back, by a signal or by any thread."""

    def __init__(self) -> None:
        self._is_set = False
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        """A descriptor that stays readable once the end was asked for."""
        return self._reader

    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._is_set

    def set(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Asks for the end. It is a signal handler as it is."""
        if not self._is_set:  # once: a pipe that nobody empties has no room for a write a signal
            self._is_set = True
            os.write(self._writer, b".")

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until the end is asked for, or the time is up; returns whether it was asked for."""
        wait_for(seconds, self)
        return self._is_set

    @contextmanager
    def on(self, *numbers: signal.Signals) -> Iterator[None]:
        """Meanwhile these signals ask for the end. One that comes after an asked end is ignored: the process is ending.

        Only the main thread may enter.
        """
        before = {number: signal.signal(number, self.set) for number in numbers}
        try:
            yield
        finally:
            # held back meanwhile: Python complains of a signal that came while its handler was being replaced
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self._is_set else handler or signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


class ChildEnds:
    """Becomes readable when a child of this process ends. Only the main thread may make one, and it is never undone."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._noticed)

    def fileno(self) -> int:
        """A descriptor that is readable from the end of a child until `forget`."""
        return self._reader

    def forget(self) -> None:
        """Waits for the next end. Ends before this call have to be looked for after it."""
        with suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    @staticmethod
    def leave() -> None:
        """In a forked child: its signals are not its parent's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _noticed(self, _number: int, _frame: FrameType | None) -> None:
        """Nothing to do: the number of the signal is in the pipe already."""


def wait_for(seconds: float | None, *awaited: Readable) -> None:
    """Waits until one of those has happened, or the time is up."""
    poll = select.poll()
    for one in awaited:
        poll.register(one, select.POLLIN)
    poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
