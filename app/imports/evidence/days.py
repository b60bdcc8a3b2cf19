"""Reads days from cells, once the order of day and month is decided."""

from datetime import date
from typing import Final

from app.imports.evidence.dates import Day, Moment, Numeric, Read, read_day
from domain.periods import ONE_DAY

MAX_KNOWN: Final = 200_000


class Days:
    """Reads days from cells by one order of day and month, with a cache of up to MAX_KNOWN cells.

    `evenings_begin_next`: a time other than midnight is the moment at which the next day begins.
    """

    def __init__(self, *, day_first: bool, evenings_begin_next: bool = False) -> None:
        self._day_first = day_first
        self._evenings_begin_next = evenings_begin_next
        self._known: dict[str, date | None] = {}

    def read(self, cell: str) -> date | None:
        """The day in a cell; None if it has none."""
        try:
            return self._known[cell]
        except KeyError:
            day = self.of(read_day(cell))
            if len(self._known) < MAX_KNOWN:
                self._known[cell] = day
            return day

    def of(self, read: Read) -> date | None:
        """The day of a result of `read_day`; None if it has none."""
        if isinstance(read, Moment):
            return read.day
        if not isinstance(read, Day | Numeric):
            return None
        day = read.day if isinstance(read, Day) else read.as_day(day_first=self._day_first)
        is_evening = self._evenings_begin_next and read.hour is not None
        return day + ONE_DAY if day is not None and is_evening else day
