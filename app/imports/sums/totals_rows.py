"""Rows of sums: recognised by their cells and by arithmetic, and compared with the rows that they sum up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from more_itertools import partition

from app.imports.answers import BadRow, Refused, TotalsRow
from app.imports.cells import NOTHING, bare
from app.imports.evidence.amounts import AmountReader, Unreadable
from app.imports.evidence.dates import Day, Numeric, SeveralDays, read_day
from app.imports.evidence.days import Days
from app.imports.evidence.gathered import Evidence, amount_in, is_headings_again, is_sum
from app.imports.evidence.ids import NoId, campaign_id, name_as_id
from app.imports.headings.columns import Columns
from app.imports.headings.heading_reader import begins_with_total
from app.imports.headings.layout import Layout
from app.imports.sums.adding import Sums
from app.imports.sums.sum_rows import slack_of
from app.imports.tables import Row

NAMELESS: Final = "a row without a campaign"


@dataclass(frozen=True)
class SumRow:
    """A row that states a sum: of `campaign`, of `day`, or of everything if both are None.

    `value` is in the reader's units, None without an amount; `step` is the smallest difference that the cell can show.
    """

    line: int
    label: str
    value: int | None
    step: int
    campaign: str | None = None
    day: date | None = None


@dataclass
class Undated:
    """The rows without one campaign's day: sums, sums of one campaign's days (`parents`), and bad rows.

    `heading_lines`: the lines of rows that repeat the headings.
    """

    sums: list[SumRow] = field(default_factory=list)
    parents: list[SumRow] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    heading_lines: list[int] = field(default_factory=list)


def sort_out(evidence: Evidence, layout: Layout, columns: Columns, reader: AmountReader, days: Days) -> Undated:
    """Sorts rows without one campaign's day into the kinds of `Undated`; leaves out notes below the last day."""
    undated = Undated()
    for row in evidence.undated:
        if is_headings_again(row, layout):
            undated.heading_lines.append(row.line)
            continue
        _sort(undated, row, evidence, columns, reader, days)
    return undated


def _sort(undated: Undated, row: Row, evidence: Evidence, columns: Columns, reader: AmountReader, days: Days) -> None:
    own = _cell(row, columns.campaign.place)
    day_cell = _cell(row, columns.day.place)
    read = read_day(day_cell)
    is_after = row.line > evidence.last_dated
    amount = amount_in(row, columns)
    if is_sum(row, columns) and (amount is not None or not _names_campaign(row, columns)):
        undated.sums.append(_sum_row(row, amount, reader, day=days.of(read)))
    elif own not in NOTHING and day_cell in NOTHING and amount is not None:
        undated.parents.append(_sum_row(row, amount, reader, campaign=_id_of(row, columns)))
    elif not (is_after and _is_footer(row, columns)):
        undated.bad.append(_bad(row, own, day_cell, read))


def _cell(row: Row, place: int) -> str:
    return bare(row.cells[place]) if len(row.cells) > place else ""


def _names_campaign(row: Row, columns: Columns) -> bool:
    """Whether the campaign's cell is neither empty nor a word for a sum."""
    own = _cell(row, columns.campaign.place)
    return own not in NOTHING and not begins_with_total(own)


def _id_of(row: Row, columns: Columns) -> str:
    cell = row.cells[columns.campaign.place]
    try:
        return name_as_id(cell) if columns.names_are_ids else campaign_id(cell)
    except NoId:
        return cell


def _is_footer(row: Row, columns: Columns) -> bool:
    """Whether a row below the last day is a note: it has no amount, or few cells, and no number for a campaign."""
    if amount_in(row, columns) is not None and len([cell for cell in row.cells if cell.strip()]) > 2:
        return False
    own = _cell(row, columns.campaign.place)
    return not own.isdigit()


def _bad(row: Row, own: str, day_cell: str, read: object) -> BadRow:
    if isinstance(read, (Day, Numeric)):
        return BadRow(row.line, own[:200], "campaign: is empty or no id")
    if isinstance(read, SeveralDays):
        return BadRow(row.line, day_cell[:200], f"date: {day_cell[:40]!r} is {read.kind}, not a day")
    return BadRow(row.line, day_cell[:200], f"date: cannot read {day_cell[:40]!r} as a day")


def _sum_row(
    row: Row, amount: str | None, reader: AmountReader, *, campaign: str | None = None, day: date | None = None
) -> SumRow:
    label = next((cell.strip() for cell in row.cells if begins_with_total(cell)), "") or NAMELESS
    value, step = None, 1
    if amount is not None:
        try:
            value = reader.read(amount)
        except Unreadable:
            value = None
        step = reader.step(amount)
    return SumRow(row.line, label[:60], value, step, campaign, day)


def without_strays(undated: Undated, sums: Sums) -> Undated:
    """The rows, in which those that cannot be taken for sums count as bad rows.

    These are rows of a day that have no label and are not the sum of that day's rows; and, if other rows are left out,
    so that nothing can be proven, rows of a campaign that are not the sum of its days.
    """
    leaves_out = sums.bad_count > 0 or len(undated.bad) > 0
    kept, strays = map(list, partition(lambda row: _is_stray(row, sums), undated.sums))
    parents, unproven = map(
        list, partition(lambda row: leaves_out and not _is_campaigns_sum(row, sums), undated.parents)
    )
    bad = [BadRow(row.line, "", "campaign: is empty or no id") for row in strays]
    open_sum = "date: is empty, and rows are left out, so nothing proves that it is the sum of campaign {}'s days"
    bad += [BadRow(row.line, "", open_sum.format(row.campaign)) for row in unproven]
    return Undated(kept, parents, [*undated.bad, *bad], undated.heading_lines)


def _is_stray(row: SumRow, sums: Sums) -> bool:
    return row.day is not None and row.label == NAMELESS and not _is_days_sum(row, sums)


def _is_days_sum(row: SumRow, sums: Sums) -> bool:
    total, count = _of_day(sums, row.day)
    return count > 1 and row.value is not None and _near(row.value, total, row, count)


def _is_campaigns_sum(row: SumRow, sums: Sums) -> bool:
    days = sums.by_campaign.get(row.campaign or "")
    return days is not None and _near(row.value or 0, sum(days.values()), row, len(days))


@dataclass(frozen=True)
class Check:
    """The rows of sums, a phrase on whether they agree with the rows that they sum up, and warnings."""

    rows: tuple[TotalsRow, ...]
    phrase: str
    warnings: tuple[str, ...] = ()


def check(undated: Undated, sums: Sums, micros: Callable[[int], int], shown: Callable[[int], str]) -> Check:
    """Compares rows of sums with the rows that they sum up. Raises Refused if they differ, saying by how much.

    Only warns of sums that differ if all their labels have a colon, as «Total: Search» has, and another sum agrees with
    all rows. If rows were left out, compares only the sums of one campaign's days (`undated.parents`). `micros` turns
    the reader's units into micros, `shown` into text.
    """
    _check_parents(undated.parents, sums, shown)
    stated = [row for row in undated.sums if row.value is not None]
    rows = tuple(
        TotalsRow(row.line, row.label, None if row.value is None else micros(row.value))
        for row in (*undated.sums, *undated.parents)
    )
    if not rows:
        return Check((), "no totals rows")
    differing = [row for row in stated if not _agrees(row, stated, sums)]
    warnings: list[str] = []
    if differing and not sums.bad_count:
        whole = [
            row
            for row in stated
            if row not in differing and row.value and _near(row.value, sums.total, row, sums.count)
        ]
        if not whole or any(":" not in row.label for row in differing):
            row = differing[0]
            value = row.value or 0
            of = f" on {row.day}" if row.day else ""
            expected = _of_day(sums, row.day)[0] if row.day else sums.total
            raise Refused(
                f"line {row.line}, {row.label!r}, says {shown(value)}{of}, and the rows come to {shown(expected)}: "
                f"they differ by {shown(abs(value - expected))}",
                "rows are missing or there twice: export the report again",
            )
        warnings = [
            f"line {row.line}, {row.label!r}, says {shown(row.value or 0)}, which is of other rows" for row in differing
        ]
    agree = "they agree with the sum" if not differing else "one agrees with the sum"
    if sums.bad_count:
        agree = "not compared, because rows are left out"
    elif not stated and not undated.parents:
        agree = "without an amount"
    return Check(rows, f"{len(rows)} totals row{'s' if len(rows) != 1 else ''}, {agree}", tuple(warnings))


def _check_parents(parents: Sequence[SumRow], sums: Sums, shown: Callable[[int], str]) -> None:
    for row in parents:
        if not _is_campaigns_sum(row, sums):
            total = sum(sums.by_campaign.get(row.campaign or "", {}).values())
            raise Refused(
                f"line {row.line} has no day: campaign {row.campaign} with {shown(row.value or 0)}, "
                f"and its days come to {shown(total)}, {shown(abs((row.value or 0) - total))} apart",
                "export it by day, with a day in each row",
            )


def _near(value: int, total: int, row: SumRow, count: int) -> bool:
    """Whether a stated sum is the sum of `count` rows, each of which may have been rounded."""
    return abs(value - total) <= slack_of(total, count, row.step)


def _agrees(row: SumRow, stated: Sequence[SumRow], sums: Sums) -> bool:
    value = row.value or 0
    before, rows_before = sums.marks.get(row.line, (sums.total, sums.count))
    if row.day is not None:
        total, count = _of_day(sums, row.day)
        return _near(value, total, row, count)
    previous = max((other.line for other in stated if other.line < row.line), default=None)
    following = min((other.line for other in stated if other.line > row.line), default=None)
    start, rows_start = sums.marks.get(previous, (0, 0)) if previous else (0, 0)
    end, rows_end = sums.marks.get(following, (sums.total, sums.count)) if following else (sums.total, sums.count)
    candidates = {(sums.total, sums.count)}
    if rows_before > rows_start:
        candidates |= {(before - start, rows_before - rows_start), (before, rows_before)}
    if rows_end > rows_before and rows_before < sums.count:
        candidates.add((end - before, rows_end - rows_before))
    is_last = rows_before == sums.count
    if is_last and not (previous and rows_before > rows_start):
        candidates = {(sums.total, sums.count)}
    return any(_near(value, total, row, count) for total, count in candidates)


def _of_day(sums: Sums, day: date | None) -> tuple[int, int]:
    found = [days[day] for days in sums.by_campaign.values() if day is not None and day in days]
    return sum(found), len(found)
