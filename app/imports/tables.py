"""Tables: rows of cells with their lines, read again from the start as often as the evidence needs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """The line on which a row ends, and its cells."""

    line: int
    cells: Sequence[str]


class Rows(Protocol):
    """A function that returns an iterator over all rows of a table, from the first, as (line, cells)."""

    def __call__(self) -> Iterator[tuple[int, Sequence[str]]]: ...


@dataclass(frozen=True)
class Table:
    """A table's rows, its encoding in words, and its form: csv, xlsx, json.

    `ends_open`: the last line has no line end, so that its last cell may be cut off. `title`: the name of a
    workbook's sheet; empty for other files.
    """

    rows: Rows
    form: str
    encoding: str = "utf-8"
    ends_open: bool = False
    title: str = ""


Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes to read in all."""
