"""Caches figures whose query takes longer as its table grows, so that queries take a small share of the time."""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Figures = TypeVar("Figures")

RESTS: Final = 20
"""Figures are cached so many times as long as their query took: queries then take at most a twentieth of the time."""


class Paced(Generic[Figures]):
    """Caches the figures of a query for RESTS times as long as it took, so that a scrape of large tables stays cheap.

    `seconds`: a monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._kept: list[Figures] = []
        self._until = 0.0

    def read(self, query: Callable[[], Figures]) -> Figures:
        """Returns the cached figures; if there are none or they have expired, calls `query`, whose errors it raises."""
        began = self._seconds()
        if not self._kept or began >= self._until:
            self._kept = [query()]
            ended = self._seconds()
            self._until = ended + RESTS * (ended - began)
        return self._kept[0]
