"""How many endpoints one process sends to at once, so that hanging ones leave worker threads to all other work."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Final

from runtime.once import Once
from runtime.settings import settings

SHARE: Final = 4
FAILING_SHARE: Final = 16
"""One of so many worker threads may send to endpoints; of those that fail, one of FAILING_SHARE, at least one each."""


class Slots:
    """Counts the endpoints in progress: those that answered last, and, apart, those that fail."""

    def __init__(self, worker_threads: int) -> None:
        self._healthy = BoundedSemaphore(max(1, worker_threads // SHARE))
        self._failing = BoundedSemaphore(max(1, worker_threads // FAILING_SHARE))
        self._lock = Lock()
        self._has_refused = False

    @contextmanager
    def one(self, *, is_failing: bool) -> Iterator[bool]:
        """A slot for the block; False, without waiting, if all are in use."""
        kind = self._failing if is_failing else self._healthy
        has_slot = kind.acquire(blocking=False)
        try:
            if not has_slot:
                with self._lock:
                    self._has_refused = True
            yield has_slot
        finally:
            if has_slot:
                kind.release()

    def forget_refusals(self) -> bool:
        """Whether a slot was refused since the last call: somebody must then look for due endpoints again."""
        with self._lock:
            has_refused, self._has_refused = self._has_refused, False
        return has_refused


@Once
def slots() -> Slots:
    """The slots of this process."""
    return Slots(settings().worker_threads)
