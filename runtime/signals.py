"""Signals that ask a process to end or report the end of a child.

Python runs a signal handler between any two bytecode instructions of the main thread, also while that thread holds a
lock, so a handler that takes a lock can deadlock. The handlers here only set a flag and write to a pipe; threads wait
on the pipe.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol


class Readable(Protocol):
    """An event to wait for, with a descriptor that becomes readable when it happens."""

    def fileno(self) -> int:
        """Returns the descriptor to poll."""


class Stop:
    """A request to end the process, made by a signal or by any thread; it cannot be withdrawn."""

    def __init__(self) -> None:
        self._is_set = False
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        """Returns a descriptor that is readable from the first request on."""
        return self._reader

    def is_set(self) -> bool:
        """Returns whether the end was requested."""
        return self._is_set

    def set(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Requests the end. Its parameters let it serve as a signal handler."""
        if not self._is_set:  # writes once, because nobody reads the pipe and it could fill up
            self._is_set = True
            os.write(self._writer, b".")

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until the end is requested or `seconds` have passed; returns whether it was requested.

        `seconds` None: waits without a timeout.
        """
        wait_for(seconds, self)
        return self._is_set

    @contextmanager
    def on(self, *numbers: signal.Signals) -> Iterator[None]:
        """Lets these signals request the end within the block; only the main thread may enter it.

        Restores the former handlers at the end, or ignores the signals if the end was requested.
        """
        before = {number: signal.signal(number, self.set) for number in numbers}
        try:
            yield
        finally:
            # blocked, because Python prints an error for a signal that arrives while its handler is being replaced
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self._is_set else handler or signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


class ChildExits:
    """Becomes readable when a child of this process ends.

    Only the main thread may create one. Its handler of SIGCHLD stays until the process ends.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._ignore)

    def fileno(self) -> int:
        """Returns a descriptor that is readable from the end of a child until `clear`."""
        return self._reader

    def clear(self) -> None:
        """Makes the descriptor unreadable until the next child ends; check for ended children after this call."""
        with suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    @staticmethod
    def restore_in_child() -> None:
        """Removes the handler in a forked child, which inherits it from its parent."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _ignore(self, _number: int, _frame: FrameType | None) -> None:
        """Does nothing, because Python has already written the signal's number to the pipe."""


def wait_for(seconds: float | None, *awaited: Readable) -> None:
    """Waits until one of the events happens or `seconds` have passed; None waits without a timeout."""
    poll = select.poll()
    for event in awaited:
        poll.register(event, select.POLLIN)
    poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
