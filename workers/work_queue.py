"""The queue from a worker's consumers to its threads."""

from queue import Empty, PriorityQueue
from typing import Any


class WorkQueue(PriorityQueue[Any]):
    """A priority queue that can be closed, which wakes waiting threads at once, so that they need not poll."""

    def __init__(self) -> None:
        super().__init__()
        self._is_closed = False

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Removes and returns the next item; waits for one, at most `timeout` seconds (None: without a limit).

        Raises Empty after the timeout. Raises it at once from an empty queue that is closed, or if `block` is False.
        """
        with self.not_empty:
            if block:
                self.not_empty.wait_for(lambda: self._qsize() or self._is_closed, timeout)
            if not self._qsize():
                raise Empty
            item = self._get()
            self.not_full.notify()
            return item

    def close(self) -> None:
        """Closes the queue and wakes all waiting threads."""
        with self.mutex:
            self._is_closed = True
            self.not_empty.notify_all()
