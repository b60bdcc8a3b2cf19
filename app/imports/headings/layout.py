"""Finds the headings of a table, and the rows above them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from app.imports.answers import Choice, Meaning, Question, ReadOptions, Refused
from app.imports.headings.heading_reader import Heading, headings, squeezed
from app.imports.headings.split_dates import JoinedDates, split_dates, with_dates
from app.imports.tables import Row, Table

HEADINGS_WITHIN: Final = 60
"""Rows of a table that are searched for the headings."""

MAX_COLUMNS: Final = 2_000


@dataclass(frozen=True)
class Layout:
    """A table, the line and the headings of the row that has them, and the rows above it."""

    table: Table
    line: int
    headings: Sequence[Heading]
    above: Sequence[Row]

    def of(self, meaning: str) -> list[Heading]:
        """The headings of a meaning, the surest first."""
        return sorted((one for one in self.headings if one.meaning == meaning), key=lambda one: (one.rank, one.place))

    def has(self, meaning: str) -> bool:
        """Whether a column has this meaning."""
        return any(one.meaning == meaning for one in self.headings)


def layout_of(tables: Sequence[Table], options: ReadOptions) -> Layout:
    """The table and row whose headings name campaign, day and spend; else those that come nearest.

    Raises Refused if no heading names any of these, or Question if several sheets have all three.
    """
    found, nearest, failure = [], None, None
    for table in tables:
        if options.sheet is not None and table.title and table.title != options.sheet:
            continue
        try:
            whole, partial = _headings_in(table, options)
        except Refused as error:
            failure = failure or error
            continue
        if whole:
            found.append(whole)
        if partial and (nearest is None or _score(partial) > _score(nearest)):
            nearest = partial
    if len(found) > 1 and tables[0].form == "xlsx":
        choices = [Choice(f"sheet {one.table.title}", {"sheet": one.table.title}) for one in found]
        raise Question("sheet", choices, f"{len(found)} sheets have campaigns, days and spend")
    if found:
        return max(found, key=_score)
    if nearest is None or _score(nearest)[0] == 0:
        raise failure or missing(nearest)
    return nearest


_NEEDED: Final = ({"campaign", "name", "ad"}, {"day", "period"}, {"spend", "revenue"})


def _score(layout: Layout) -> tuple[int, int]:
    meanings = {one.meaning for one in layout.headings}
    if meanings == {None}:
        return 0, 0
    kinds = sum(bool(meanings & kind) for kind in _NEEDED)
    return kinds, sum(one.meaning is not None for one in layout.headings)


def _headings_in(table: Table, options: ReadOptions) -> tuple[Layout | None, Layout | None]:
    """The first row whose headings name all that is needed, None if no row does; and the row that comes nearest."""
    above: list[Row] = []
    nearest: Layout | None = None
    for line, cells in islice(table.rows(), HEADINGS_WITHIN):
        if len([cell for cell in cells if cell.strip()]) > 1:
            layout = _layout(table, line, headings(cells[:MAX_COLUMNS]), above, options)
            score = _score(layout)
            if score[0] == len(_NEEDED):
                return layout, layout
            if nearest is None or score > _score(nearest):
                nearest = layout
        above.append(Row(line, cells))
    return None, nearest


def _layout(table: Table, line: int, found: Sequence[Heading], above: Sequence[Row], options: ReadOptions) -> Layout:
    below = (cells for number, cells in table.rows() if number > line)
    if splits := split_dates(found, below):
        table = replace(table, rows=JoinedDates(table.rows, splits))
        found = with_dates(found, splits)
    return Layout(table, line, with_chosen_meanings(found, options.columns), tuple(above))


def with_chosen_meanings(found: Sequence[Heading], chosen: Mapping[Meaning, str]) -> list[Heading]:
    """The headings with the meanings that a person gave to some. Other headings with such a meaning lose it."""
    if not chosen:
        return list(found)
    by_key = {squeezed(heading): meaning for meaning, heading in chosen.items()}
    mine = [
        one if (meaning := by_key.get(squeezed(one.text))) is None else one._replace(meaning=meaning, rank=-1)
        for one in found
    ]
    taken = {one.meaning for one in mine if one.rank == -1}
    return [one._replace(meaning=None) if one.meaning in taken and one.rank != -1 else one for one in mine]


def missing(layout: Layout | None) -> Refused:
    """The error, not raised, for a table that lacks needed columns; `layout` None: no heading was found."""
    names = [one.text for one in layout.headings if one.text] if layout else []
    wanted = "needs a campaign id, a day and a cost (such as Campaign ID, Day and Cost)"
    return Refused(f"{wanted}; it has {', '.join(names[:20]) or 'none'}", "add them to the report, or name its columns")
