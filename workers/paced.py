"""Figures whose query grows with its table, read at most a fixed share of the time."""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Figures = TypeVar("Figures")

RESTS: Final = 20
"""Figures are kept for so many times as long as their query took: queries then take at most a twentieth of the time."""


class Paced(Generic[Figures]):
    """Keeps the figures of a query for RESTS times as long as it took, so that a scrape of large tables stays cheap.

    `seconds`: a monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._kept: list[Figures] = []
        self._until = 0.0

    def read(self, query: Callable[[], Figures]) -> Figures:
        """Returns the kept figures, or those of `query` once the time of the kept ones is over. Raises its errors."""
        began = self._seconds()
        if not self._kept or began >= self._until:
            self._kept = [query()]
            ended = self._seconds()
            self._until = ended + RESTS * (ended - began)
        return self._kept[0]
