"""What consumers hand over to the threads of a worker."""

from queue import Empty, PriorityQueue
from typing import Any


class WorkQueue(PriorityQueue[Any]):
    """A queue whose end wakes who waits for more: idle threads need not look again and again whether they shall end."""

    def __init__(self) -> None:
        super().__init__()
        self._is_closed = False

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The next item. Raises Empty where none came in time, or none is left and the queue is closed."""
        with self.not_empty:
            if block:
                self.not_empty.wait_for(lambda: self._qsize() or self._is_closed, timeout)
            if not self._qsize():
                raise Empty
            item = self._get()
            self.not_full.notify()
            return item

    def close(self) -> None:
        """Wakes all who wait."""
        with self.mutex:
            self._is_closed = True
            self.not_empty.notify_all()
