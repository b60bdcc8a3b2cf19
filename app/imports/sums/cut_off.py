"""Refuses files that are cut off in their last line: a cell is missing or shortened, and the line end is missing."""

import re
from typing import Final

from app.imports.answers import Refused
from app.imports.cells import NOTHING, bare
from app.imports.evidence.gathered import Evidence, is_sum
from app.imports.headings.columns import Columns
from app.imports.headings.layout import Layout

FIX: Final = "the file is cut off: export or copy it again"


def check_last_row(layout: Layout, columns: Columns, evidence: Evidence) -> None:
    """Raises Refused for a last line without a line end that lacks cells or has a shortened last cell."""
    row, count = evidence.last_row, len(layout.headings)
    if not layout.table.ends_open or not row.cells or row.line <= layout.line:
        return
    own = bare(row.cells[columns.campaign.place]) if len(row.cells) > columns.campaign.place else ""
    is_data = row.line == evidence.last_dated or own.isdigit()
    if is_data and len(row.cells) < count and not is_sum(row, columns):
        raise Refused(f"line {row.line}, the last, has {len(row.cells)} of {count} cells and no line end", FIX)
    used = {columns.campaign.place, columns.day.place, columns.spend.place}
    if row.line != evidence.last_dated or len(row.cells) != count or count - 1 not in used or evidence.rows < 3:
        return
    _check_last_cell(layout, row.line, row.cells[-1], is_spend=count - 1 == columns.spend.place)


def _check_last_cell(layout: Layout, line: int, cell: str, *, is_spend: bool) -> None:
    """Raises Refused for a last cell that is shorter than all others of its column, so that it may be cut off.

    A cell of spend (`is_spend`) is shorter if it has fewer decimals than the others, which all have equally many.
    """
    place = len(layout.headings) - 1
    lengths: set[int] = set()
    for other, row in layout.table.rows():
        if layout.line < other < line and len(row) > place and row[place].strip() not in NOTHING:
            lengths.add(_decimals(row[place]) if is_spend else len(row[place].strip()))
    own = _decimals(cell) if is_spend else len(cell.strip())
    is_cut = (
        bool(lengths) and cell.strip() not in NOTHING and own < min(lengths) and (not is_spend or len(lengths) == 1)
    )
    if is_cut:
        raise Refused(f"line {line}, the last, has no line end and ends within {cell.strip()!r}", FIX)


def _decimals(cell: str) -> int:
    parts = re.split(r"[.,]", cell.strip())
    return len(parts[-1]) if len(parts) > 1 else 0
