"""Dates in three columns, year, month and day: read as one column of days, in the place of the year's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from app.imports.headings.heading_reader import Heading, squeezed
from app.imports.tables import Rows

ROWS_TRIED: Final = 50
_PARTS: Final = ("year", "month", "day")
_DAYS: Final = frozenset({"", "start", "date", "datestart", "startdate", "daterange", "daterangestart", "reportdate"})
_ENDS: Final = frozenset({"end", "dateend", "enddate", "daterangeend"})


@dataclass(frozen=True)
class Split:
    """The places of a date's year, month and day, and the meaning of the date: `day` or `end`."""

    places: tuple[int, int, int]
    meaning: str

    def joined(self, row: Sequence[str]) -> str | None:
        """The date in one text; None where the cells are no year, month and day."""
        if len(row) <= max(self.places):
            return None
        year, month, day = (row[place].strip().removesuffix(".0") for place in self.places)
        if not (year.isdigit() and len(year) == 4 and day.isdigit() and len(day) <= 2 and month):
            return None
        if month.isdigit():
            return f"{year}-{month.zfill(2)}-{day.zfill(2)}" if len(month) <= 2 else None
        return f"{day} {month} {year}" if month.isalpha() else None


def split_dates(found: Sequence[Heading], below: Iterator[Sequence[str]]) -> list[Split]:
    """The dates in three columns; none if another column is the day, or no row of the first ROWS_TRIED has a date."""
    places = {squeezed(one.text): one.place for one in reversed(found)}
    splits = [
        Split((places[f"{prefix}year"], places[f"{prefix}month"], places[f"{prefix}day"]), meaning)
        for prefixes, meaning in ((_DAYS, "day"), (_ENDS, "end"))
        for prefix in sorted(prefixes)
        if all(f"{prefix}{part}" in places for part in _PARTS)
    ]
    days = [one for one in splits if one.meaning == "day"]
    own = {place for one in days for place in one.places}
    if len(days) != 1 or any(one.meaning == "day" and one.place not in own for one in found):
        return []
    row = next((row for row in islice(below, ROWS_TRIED) if days[0].joined(row) is not None), None)
    return [] if row is None else [one for one in splits if one.joined(row) is not None]


def with_dates(found: Sequence[Heading], splits: Sequence[Split]) -> list[Heading]:
    """The headings, where the year's column has the date's meaning, and the month's and the day's have none.

    All three get rank 1, the rank of a heading that names the beginning of a period.
    """
    meanings = {place: None for one in splits for place in one.places} | {one.places[0]: one.meaning for one in splits}
    return [one._replace(meaning=meanings[one.place], rank=1) if one.place in meanings else one for one in found]


@dataclass(frozen=True)
class JoinedDates:
    """The rows of a table, in which each split date is joined in the cell of its year."""

    rows: Rows
    splits: Sequence[Split]

    def __call__(self) -> Iterator[tuple[int, Sequence[str]]]:
        for line, row in self.rows():
            dates = {one.places[0]: date for one in self.splits if (date := one.joined(row)) is not None}
            yield line, [dates.get(place, cell) for place, cell in enumerate(row)] if dates else row
