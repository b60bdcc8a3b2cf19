"""Limits the requests to other systems at once, so that hanging requests leave worker threads to all other work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic


class Slots:
    """A number of places, each for the work on one target at a time, and the queue of targets that wait for a place.

    A target is an id, such as of a webhook endpoint. It is in the queue once, however often it asked.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: dict[int, None] = {}
        self._lock = Lock()

    @contextmanager
    def one(self, target_id: int) -> Iterator[bool]:
        """Takes a place for the block and yields True; if all are taken, yields False at once and queues the target."""
        has_slot = self._take(target_id)
        try:
            yield has_slot
        finally:
            if has_slot:
                with self._lock:
                    self._free += 1

    def next_waiting(self) -> int | None:
        """Removes and returns the target that has waited longest; None if no place is free or none waits."""
        with self._lock:
            if not self._free or not self._waiting:
                return None
            first = next(iter(self._waiting))
            del self._waiting[first]
            return first

    def all_waiting(self) -> list[int]:
        """Removes and returns all waiting targets, the one that has waited longest first."""
        with self._lock:
            waiting, self._waiting = list(self._waiting), {}
            return waiting

    def _take(self, target_id: int) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                self._waiting.pop(target_id, None)
                return True
            self._waiting[target_id] = None
            return False


def take_turns(
    first: int,
    work: Callable[[int], tuple[Slots, int | None]],
    enqueue: Callable[[int], object],
    seconds: float,
) -> None:
    """Works for the first target, then for targets that wait for a place; after `seconds` enqueues all that still wait.

    `work`: works for one target if a place is free; returns the places that it used, and the next target that waits for
    one of them (None: no target waits, or no place was free). `enqueue`: sends a message to work for a target.
    """
    ends_at = monotonic() + seconds
    slots, next_target = work(first)
    while next_target is not None and monotonic() < ends_at:
        slots, next_target = work(next_target)
    if next_target is not None:
        for waiting in (next_target, *slots.all_waiting()):
            enqueue(waiting)
