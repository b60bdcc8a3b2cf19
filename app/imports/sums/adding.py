"""Adds up a table's amounts exactly, by campaign and day, once columns, decimal mark and order of days are decided."""

from array import array
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from app.imports.answers import BadRow
from app.imports.evidence.amounts import AmountReader, Unreadable
from app.imports.evidence.days import Days
from app.imports.evidence.ids import NoId, campaign_id, name_as_id
from app.imports.evidence.platform import Filter
from app.imports.headings.columns import Columns
from app.imports.headings.layout import Layout
from app.imports.sums.day_amounts import DayAmounts
from domain.inputs.values import MAX_TEXT
from domain.text import readable

PARTS: Final = 64
"""Parts of `Sums.hashes`, so that identical rows can be counted part by part, with less memory at once."""

MAX_BAD_ROWS: Final = 10_000
"""Rows left out that `Sums.bad_rows` keeps, at most; `Sums.bad_count` counts all."""

COMPACT_AFTER: Final = 250_000
"""Rows after which amounts are kept in arrays: dicts are faster, and their memory matters for larger files only."""


@dataclass
class Sums:
    """The sums of a file: amounts by campaign and day, in units of 10**-decimals, as `AmountReader` reads them.

    `names`: campaign names by external id. `total`, `count`: the sum and the number of the added rows. `marks`: for
    each line that `add_up` gets as `marks`, the (total, count) of the rows above it. `hashes`: one for each row with an
    amount other than 0, in PARTS parts. `bad_count` counts all bad rows, `bad_rows` has the first of them, `unplaced`
    counts the bad rows that may be of any campaign or day. `incomplete`: the campaign-days with a bad amount.
    `without_amount`: the number of rows whose amount is a placeholder, such as a dash. `other_rows`: the number of rows
    that the filter leaves out.
    """

    by_campaign: dict[str, MutableMapping[date, int]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    marks: dict[int, tuple[int, int]] = field(default_factory=dict)
    bad_rows: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    unplaced: int = 0
    incomplete: set[tuple[str, date]] = field(default_factory=set)
    without_amount: int = 0
    other_rows: int = 0
    total: int = 0
    count: int = 0
    hashes: list["array[int]"] = field(default_factory=lambda: [array("q") for _ in range(PARTS)])

    def note_unplaced(self, line: int, cell: str, reason: str) -> None:
        """Notes a row that is left out and may be of any campaign's day."""
        self.unplaced += 1
        self.note(line, cell, reason)

    def add_rest(self, campaign: str, day: date, amount: int) -> None:
        """Adds an amount that is in no row of its own to a campaign's day; the campaign must have rows."""
        days = self.by_campaign[campaign]
        days[day] = days.get(day, 0) + amount
        self.total += amount

    def compact(self) -> None:
        """Moves the amounts from dicts to arrays, which take less memory."""
        for campaign, days in self.by_campaign.items():
            self.by_campaign[campaign] = DayAmounts(days)

    def note(self, line: int, cell: str, reason: str) -> None:
        """Notes a row that is left out; keeps the first MAX_BAD_ROWS, counts all."""
        self.bad_count += 1
        if len(self.bad_rows) < MAX_BAD_ROWS:
            self.bad_rows.append(BadRow(line, cell[:200], reason))


def add_up(
    adder: "Adder", layout: Layout, columns: Columns, days: Days, chosen: Filter, marks: frozenset[int],
    sum_lines: frozenset[int],
) -> Sums:  # fmt: skip
    """Adds up all rows with a day, of the currency and platform in `chosen`; returns the sums of `adder`.

    Leaves out the lines `marks`, of rows without one campaign's day, and `sum_lines`, of rows that sum up others. Notes
    the running total and count at each of `marks`.
    """
    sums, add = adder.sums, adder.add
    day_place = columns.day.place
    needed = max(columns.campaign.place, day_place)
    is_other = other_rows(columns, chosen)
    for line, row in layout.table.rows():
        if line in marks:
            sums.marks[line] = sums.total, sums.count
        elif line in sum_lines:
            continue
        elif line > layout.line and len(row) > needed and (day := days.read(row[day_place])) is not None:
            if is_other is not None and is_other(row):
                sums.other_rows += 1
            else:
                add(line, row, day)
    return sums


class Adder:
    """Adds rows with a day to sums."""

    def __init__(self, columns: Columns, reader: AmountReader) -> None:
        self.sums = Sums()
        self._ids = Ids.of(columns)
        self._read = reader.read
        self._campaign, self._spend = columns.campaign.place, columns.spend.place
        self._name = columns.name.place if columns.name is not None else None

    def add(self, line: int, row: Sequence[str], day: date) -> None:
        """Adds one row, or notes why it is left out. Raises Refused for a campaign id that has lost digits."""
        sums = self.sums
        try:
            key = self._ids[row[self._campaign]]
            amount = self._read(row[self._spend])
        except NoId as error:
            sums.note_unplaced(line, row[self._campaign], f"campaign: {error}")
            return
        except (Unreadable, IndexError) as error:
            self._note_amount(line, row, day, str(error))
            return
        if amount is None:
            if row[self._spend].strip():
                sums.without_amount += 1
                return
            amount = 0
        campaign = sums.by_campaign.get(key)
        if campaign is None:
            campaign = sums.by_campaign[key] = {} if sums.count < COMPACT_AFTER else DayAmounts()
            if self._name is not None and len(row) > self._name:
                sums.names[key] = shown_name(row[self._name])
        if type(campaign) is DayAmounts:
            campaign.add(day, amount)
        else:
            campaign[day] = campaign.get(day, 0) + amount
        sums.total += amount
        sums.count += 1
        if sums.count == COMPACT_AFTER:
            sums.compact()
        if amount:
            digest = hash(tuple(row))
            sums.hashes[digest % PARTS].append(digest)

    def _note_amount(self, line: int, row: Sequence[str], day: date, error: str) -> None:
        is_there = len(row) > self._spend
        cell = row[self._spend] if is_there else ""
        self.sums.note(line, cell, f"amount: {error if is_there else 'the row ends before it'}")
        self.sums.incomplete.add((self._ids[row[self._campaign]], day))


def shown_name(cell: str) -> str:
    """A name with spaces for characters that cannot be seen, cut to MAX_TEXT characters; empty if none can be seen."""
    name = readable(cell)
    return name if len(name) <= MAX_TEXT else f"{name[: MAX_TEXT - 1]}…"


def other_rows(columns: Columns, chosen: Filter) -> Callable[[Sequence[str]], bool] | None:
    """Makes a test for rows of another currency or platform than `chosen`; None if all rows are read."""
    currency = columns.currency.place if columns.currency is not None and chosen.currency else None
    platform = columns.platform.place if columns.platform is not None and chosen.platform else None
    if currency is None and platform is None:
        return None

    def is_other(row: Sequence[str]) -> bool:
        if currency is not None and (len(row) <= currency or row[currency].strip().upper() != chosen.currency):
            return True
        return platform is not None and (
            len(row) <= platform or chosen.platforms.get(row[platform].strip()) != chosen.platform
        )

    return is_other


class Ids(dict[str, str]):
    """A cache of campaign ids by the texts of their cells. A lookup reads a new text, and raises Refused or NoId."""

    def __init__(self, read: Callable[[str], str]) -> None:
        super().__init__()
        self._read = read

    @classmethod
    def of(cls, columns: Columns) -> "Ids":
        """An empty cache that reads each cell of the campaign's column as an id, or as a name if names are the ids."""
        return cls(name_as_id if columns.names_are_ids else campaign_id)

    def __missing__(self, cell: str) -> str:
        found = self._read(cell)
        self[cell] = found
        return found
