"""Days under a settled order of day and month."""

from datetime import date
from typing import Final

from app.imports.evidence.dates import Day, Moment, Numeric, Read, read_day

MAX_KNOWN: Final = 200_000


class Days:
    """Reads days from cells by one order of day and month, with a cache of MAX_KNOWN cells."""

    def __init__(self, *, day_first: bool) -> None:
        self._day_first = day_first
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
        if isinstance(read, Day | Moment):
            return read.day
        return read.as_day(day_first=self._day_first) if isinstance(read, Numeric) else None
