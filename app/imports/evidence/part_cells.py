"""The cells by which a row with a day can say that it sums up parts of that day."""

from collections.abc import Sequence
from typing import Final

from app.imports.cells import NOTHING
from app.imports.headings.columns import Columns
from app.imports.headings.heading_reader import squeezed
from app.imports.headings.layout import Layout
from app.imports.headings.words import PART, TOTAL_WORDS

_PARTS: Final = frozenset(squeezed(word) for words in PART for word in words.replace("\n", ";").split(";"))
_SUM_CELLS: Final = frozenset(
    spelled
    for word in [*TOTAL_WORDS.split("; "), "all"]
    for spelled in (word, word.capitalize(), word.title(), word.upper())
)
"""Whole cells by which a row can say that it sums up others."""

Places = tuple[int, ...]
"""The places of columns, counted from 0, in ascending order."""


class PartCells:
    """Finds empty cells in columns of parts, such as devices, and «Total» or «all» in any column without a meaning.

    `parts`: the places of the columns of parts.
    """

    def __init__(self, layout: Layout, columns: Columns) -> None:
        named = (columns.campaign, columns.day, columns.spend, columns.name, columns.currency, columns.account)
        self._used = frozenset(one.place for one in named if one is not None)
        found = (one.place for one in layout.headings if one.text and squeezed(one.text) in _PARTS)
        self.parts: Places = tuple(place for place in found if place not in self._used)

    def summed(self, row: Sequence[str]) -> Places:
        """The places of the columns over which the row may be a sum; empty for a row that is surely a part itself."""
        cells = len(row)
        empty = [place for place in self.parts if place >= cells or row[place].strip() in NOTHING]
        if _SUM_CELLS.isdisjoint(row):
            return tuple(empty)
        labelled = {place for place, cell in enumerate(row) if cell in _SUM_CELLS and place not in self._used}
        return tuple(sorted(labelled.union(empty)))

    def is_labelled(self, row: Sequence[str], summed: Places) -> bool:
        """Whether the row has a word for a sum, such as «Total», in one of the columns at the places `summed`."""
        return any(place < len(row) and row[place] in _SUM_CELLS for place in summed)
