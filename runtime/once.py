"""A value that a process makes once, at its first use."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """A function without arguments that runs once and returns its first result from then on.

    Threads that call it first at the same time wait for one result; `functools.cache` may make one for each.
    """

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._guard = Lock()
        self._made: list[Value] = []

    def __call__(self) -> Value:
        """Returns the value, made at the first call. After an exception of `make`, the next call tries again."""
        with self._guard:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    @property
    def is_made(self) -> bool:
        """Whether the value was made and is kept."""
        return bool(self._made)

    def cache_clear(self) -> None:
        """Forgets the value, so that the next call makes another."""
        with self._guard:
            self._made.clear()
