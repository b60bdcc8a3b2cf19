"""The first pass over a table: collects evidence from the used columns, and the rows that are no campaign's day."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Final

from app.imports.answers import Refused
from app.imports.cells import NOTHING, DateCell, bare
from app.imports.evidence.amounts import AmountEvidence, Unreadable, take_apart
from app.imports.evidence.dates import Day, Moment, Numeric, Read, SeveralDays, read_day
from app.imports.evidence.part_cells import PartCells, Places
from app.imports.headings.columns import Columns
from app.imports.headings.heading_reader import begins_with_total, heading
from app.imports.headings.layout import Layout
from app.imports.tables import Row

MAX_UNDATED: Final = 200_000
MAX_DAYS: Final = 200_000
MAX_LISTED: Final = 1_000
OTHERS_WITHIN: Final = 2_000
MAX_SUMMED: Final = 60
"""Different sets of columns over which rows may be sums, at most; a row with a further set counts as a part."""


@dataclass
class DayEvidence:
    """The forms in which a column writes its days, each with the first line and cell.

    `day_first`, `month_first`: the first line and cell that only this order can read. `numeric`: dates in numbers as
    (first, second, year). `certain`: days that need no order. `hours`: by day as written, the hours (0 to 23) of its
    rows. `moment`: the first line and cell with a zone and a time other than midnight. `hourless`: the first line whose
    cell in the hour column has no hour. `offsets`: by day, the minutes east of UTC at which it begins, and the cell
    that says so. `short_years`: by first number, the first line and cell of a date whose year has two digits.
    """

    forms: dict[str, tuple[int, str]] = field(default_factory=dict)
    day_first: tuple[int, str] | None = None
    month_first: tuple[int, str] | None = None
    numeric: set[tuple[int, int, int]] = field(default_factory=set)
    certain: set[date] = field(default_factory=set)
    hours: dict[str, set[int]] = field(default_factory=dict)
    moment: tuple[int, str] | None = None
    hourless: int | None = None
    offsets: dict[date, tuple[int, str]] = field(default_factory=dict)
    short_years: dict[int, tuple[int, str]] = field(default_factory=dict)

    def add(self, cell: str, read: Read, line: int) -> None:
        """Adds a cell on this line that `read_day` has read as a day: as `read`."""
        hour = getattr(read, "hour", None)
        if hour is not None or (":" in cell and not isinstance(read, Moment)):
            self.hours.setdefault(cell.strip()[: 8 if cell.strip().isdigit() else 10], set()).add(hour or 0)
        if isinstance(read, Day):
            self.forms.setdefault("date cells" if isinstance(cell, DateCell) else _form(cell), (line, cell))
            self.certain.add(read.day)
        elif isinstance(read, Moment):
            self.forms.setdefault("moments", (line, cell))
            if read.day is None:
                self.moment = self.moment or (line, cell)
            else:
                self.certain.add(read.day)
                if read.offset_minutes:
                    self.offsets[read.day] = read.offset_minutes, cell.strip()
        elif isinstance(read, Numeric):
            self.forms.setdefault("dots" if read.dotted else "numbers", (line, cell))
            self.numeric.add((read.first, read.second, read.year))
            if read.short_year:
                self.short_years.setdefault(read.first, (line, cell))
            if read.as_day(day_first=False) is None:
                self.day_first = self.day_first or (line, cell)
            if read.as_day(day_first=True) is None:
                self.month_first = self.month_first or (line, cell)

    def note_hour(self, day: str, hour: str, line: int) -> None:
        """Notes the hour that the hour column has for a day, or that `line` is the first without an hour."""
        if self.hourless is None and not any(map(str.isdigit, hour)):
            self.hourless = line
        digits = hour.strip()[:2].strip(":")
        if digits.isdecimal():
            self.hours.setdefault(day.strip()[:10], set()).add(int(digits))

    def days(self, *, day_first: bool) -> set[date]:
        """All days of the column, with dates in numbers read day first or month first."""
        found = (Numeric(*one, dotted=False).as_day(day_first=day_first) for one in self.numeric)
        return self.certain | {one for one in found if one is not None}


def _form(cell: str) -> str:
    return "iso" if bare(cell)[:4].isdigit() else "words"


@dataclass
class Evidence:
    """Evidence from a whole table.

    `amounts`: from the spend of rows with a campaign and a day, which `rows` counts; `sums`: from the spend of rows
    that look like sums. `whole_numbers`: from columns of counts, such as clicks; `others`: from columns of unknown
    meaning. `undated`: the other rows, without one campaign's day; `period`: the first of them that covers several
    days. `last_dated`: the line of the last row with a day. `summed`: by the columns over which a row may be a sum of
    other rows of its day, the first line and the number of such rows. `currencies`, `accounts`, `platforms`: by text of
    a cell, its first line. `ends`: the first line with each pair of day cell and end cell.
    """

    amounts: AmountEvidence = field(default_factory=AmountEvidence)
    sums: AmountEvidence = field(default_factory=AmountEvidence)
    whole_numbers: AmountEvidence = field(default_factory=AmountEvidence)
    others: AmountEvidence = field(default_factory=AmountEvidence)
    days: DayEvidence = field(default_factory=DayEvidence)
    undated: list[Row] = field(default_factory=list)
    summed: dict[Places, tuple[int, int]] = field(default_factory=dict)
    period: tuple[Row, SeveralDays] | None = None
    currencies: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)
    platforms: dict[str, int] = field(default_factory=dict)
    ends: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: int = 0
    last_dated: int = 0
    last_row: Row = field(default_factory=lambda: Row(0, ()))


def gather(layout: Layout, columns: Columns) -> Evidence:
    """Reads every row below the headings and returns the evidence of the table.

    Raises Refused for a row of data with more cells than headings, or for over MAX_UNDATED rows without a day.
    """
    evidence = Evidence()
    count, day_place = len(layout.headings), columns.day.place
    needed = max(day_place, columns.campaign.place)
    read_day_of = _KnownDays(evidence.days)
    names_campaign = _campaigns_named(names_are_ids=columns.names_are_ids)
    note = _Noter(evidence, layout, columns)
    line, row = 0, _NO_CELLS
    for line, row in layout.table.rows():
        if line <= layout.line:
            continue
        cell = row[day_place] if len(row) > day_place else ""
        read = read_day_of.at(cell, line)
        if len(row) > count and any(map(str.strip, row[count:])):
            _check_width(layout, columns, row, line, read)
        if type(read) in _DAYS and len(row) > needed and names_campaign(row[columns.campaign.place]):
            evidence.rows += 1
            evidence.last_dated = line
            note.dated(row, line, cell)
        elif any(map(str.strip, row)):
            _note_undated(evidence, columns, Row(line, row), read)
    evidence.last_row = Row(line, row)
    return evidence


_NO_CELLS: Final[Sequence[str]] = ()


class _KnownDays:
    """A cache of days by the texts of their cells; each text is read, and added to the evidence, once."""

    def __init__(self, evidence: DayEvidence) -> None:
        self._evidence = evidence
        self._known: dict[str, Read] = {}

    def at(self, cell: str, line: int) -> Read:
        """The result of `read_day` for a cell. The first time, a day is added to the evidence with its line."""
        read = self._known.get(cell)
        if read is None:
            read = read_day(cell)
            if len(self._known) < MAX_DAYS:
                self._known[cell] = read
            if type(read) in _DAYS:
                self._evidence.add(cell, read, line)
        return read


class _Noter:
    """Notes the cells of rows with a day, column by column."""

    def __init__(self, evidence: Evidence, layout: Layout, columns: Columns) -> None:
        self._evidence = evidence
        self._spend = columns.spend.place
        self._part_cells = PartCells(layout, columns)
        self._counts = [one.place for one in layout.headings if one.meaning == "whole"][:3]
        self._others = [one.place for one in layout.headings if one.meaning is None and one.text][:12]
        self._end = columns.end.place if columns.end else None
        self._hour = columns.hour.place if columns.hour else None
        listed = (
            (columns.currency, evidence.currencies),
            (columns.platform, evidence.platforms),
            (columns.account, evidence.accounts),
        )
        self._listed = [(one.place, kept) for one, kept in listed if one is not None]

    def dated(self, row: Sequence[str], line: int, day: str) -> None:
        """Notes the amount and the other cells of a row with a day. `day`: the text of its cell."""
        evidence, cells = self._evidence, len(row)
        if cells > self._spend:
            evidence.amounts.add(row[self._spend], line)
        if evidence.rows <= OTHERS_WITHIN:
            self._note_others(row, line)
        if self._end is not None and cells > self._end and len(evidence.ends) < MAX_DAYS:
            evidence.ends.setdefault((day, row[self._end]), line)
        if self._hour is not None and cells > self._hour:
            evidence.days.note_hour(day, row[self._hour], line)
        if summed := self._part_cells.summed(row):
            known = evidence.summed.get(summed)
            if known is not None:
                evidence.summed[summed] = known[0], known[1] + 1
            elif len(evidence.summed) < MAX_SUMMED:
                evidence.summed[summed] = line, 1
        for place, kept in self._listed:
            if cells > place and row[place] not in kept and len(kept) < MAX_LISTED:
                kept[row[place]] = line

    def _note_others(self, row: Sequence[str], line: int) -> None:
        for place in self._counts:
            if len(row) > place:
                self._evidence.whole_numbers.add(row[place], line)
        for place in self._others:
            if len(row) > place:
                _note_other(self._evidence.others, row[place], line)


_DAYS: Final = (Day, Numeric, Moment)


def _campaigns_named(*, names_are_ids: bool) -> Callable[[str], bool]:
    """Makes a test whether a cell names a campaign. Empty cells do not.

    Words for sums, such as «Total», do not either, unless they have a digit or `names_are_ids`: names stand for ids.
    """

    @lru_cache(maxsize=MAX_DAYS)
    def is_name(cell: str) -> bool:
        text = bare(cell)
        if text in NOTHING:
            return False
        return names_are_ids or any(map(str.isdigit, text)) or not begins_with_total(text)

    return is_name


def _note_other(evidence: AmountEvidence, cell: str, line: int) -> None:
    """Notes a cell of another column if it is a plain number or a percentage."""
    text = cell.strip().removesuffix("%").strip()
    if text[:1].isdigit() and len(text) < 20 and "/" not in text:
        evidence.add(text, line)


def _check_width(layout: Layout, columns: Columns, row: Sequence[str], line: int, read: Read) -> None:
    """Raises Refused if a row with cells behind the last heading is a row of data. Call it for such rows alone."""
    used = (row[one.place].strip() for one in (columns.campaign, columns.day, columns.spend))
    if isinstance(read, (Day, Numeric)) or any(cell[:1].isdigit() for cell in used):
        extra = next(cell for cell in row[len(layout.headings) :] if cell.strip())
        raise Refused(
            f"line {line} has {len(row)} cells and there are {len(layout.headings)} headings: {extra[:40]!r} has none",
            "export it again with its texts and amounts in quotes",
        )


def _note_undated(evidence: Evidence, columns: Columns, row: Row, read: Read) -> None:
    if isinstance(read, SeveralDays) and evidence.period is None and not is_sum(row, columns):
        evidence.period = row, read
    if is_sum(row, columns) and (amount := amount_in(row, columns)) is not None:
        evidence.sums.add(amount, row.line)
    evidence.undated.append(row)
    if len(evidence.undated) > MAX_UNDATED:
        raise Refused(f"over {MAX_UNDATED} rows have no day, the first on line {evidence.undated[0].line}")


def is_sum(row: Row, columns: Columns) -> bool:
    """Whether an undated row looks like a sum: it has an amount and no campaign, or its label is a word for totals."""
    cells = row.cells
    place = columns.campaign.place
    own = bare(cells[place]) if len(cells) > place else ""
    labels = [own, bare(cells[columns.day.place]) if len(cells) > columns.day.place else ""]
    if columns.name is not None and len(cells) > columns.name.place:
        labels.append(cells[columns.name.place])
    labels.append(next((cell for cell in cells if cell.strip()), ""))
    if any(label not in NOTHING and begins_with_total(label) for label in labels):
        return True
    names = [own] + ([bare(cells[columns.name.place])] if columns.name and len(cells) > columns.name.place else [])
    return all(name in NOTHING for name in names) and amount_in(row, columns) is not None


def amount_in(row: Row, columns: Columns) -> str | None:
    """The cell of a row's spend; None if it has no amount."""
    cell = row.cells[columns.spend.place] if len(row.cells) > columns.spend.place else ""
    try:
        return cell if take_apart(cell) is not None else None
    except Unreadable:
        return None


def is_headings_again(row: Row, layout: Layout) -> bool:
    """Whether a row repeats the headings, as files pasted below each other do."""
    texts = [one.text for one in layout.headings]
    return [heading(cell, 0).text for cell in row.cells][: len(texts)] == texts
