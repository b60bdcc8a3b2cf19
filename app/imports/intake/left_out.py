"""The rows that an import left out, and their CSV file for people."""

import csv
from collections.abc import Iterable
from typing import TextIO

from app.imports.answers import Reading
from domain.text import storable
from runtime.spreadsheets import text_cell

LeftOut = tuple[int, str, str]
"""The line of a row, its cell and the reason; line 0: a whole total, with its campaign and day in place of a cell."""


def rows_left_out(reading: Reading, rejections: Iterable[tuple[str, str]]) -> list[LeftOut]:
    """The rows that could not be read, then the rejected totals, given as (campaign and day, reason) pairs."""
    unread = [(row.line, row.cell, row.reason) for row in reading.bad_rows]
    return [*unread, *((0, key, reason) for key, reason in rejections)]


def write_csv(stream: TextIO, rows: Iterable[LeftOut]) -> None:
    """Writes rows of (line, cell, reason) as CSV under a header.

    Puts an apostrophe before each text that a spreadsheet could take for a formula. `stream`: a text stream that does
    not translate line ends.
    """
    writer = csv.writer(stream)
    writer.writerow(("line", "cell", "reason"))
    writer.writerows((line, text_cell(storable(cell)), text_cell(storable(reason))) for line, cell, reason in rows)
