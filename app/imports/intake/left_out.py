"""The rows that an import left out, as a CSV file for people."""

import csv
from collections.abc import Iterable
from typing import TextIO

from domain.text import storable
from runtime.spreadsheets import text_cell


def write_csv(stream: TextIO, rows: Iterable[tuple[int, str, str]]) -> None:
    """Writes rows of (line, cell, reason) under a header. A text that a spreadsheet could take for a formula is quoted.

    `stream`: a text stream that does not translate line ends.
    """
    writer = csv.writer(stream)
    writer.writerow(("line", "cell", "reason"))
    writer.writerows((line, text_cell(storable(cell)), text_cell(storable(reason))) for line, cell, reason in rows)
