"""Markdown tables of which some cells come from code and the others are written by hand."""

import re
from collections.abc import Callable, Collection, Sequence

Cells = list[str]
UNDESCRIBED = "TODO: describe"
"""Stands in a cell that a person has to write. A page with this text fails its test."""

_ROW = re.compile(r"^\| `(?P<key>[^`]+)` \|(?P<rest>.*)\|$")


def cells_of(rest: str) -> Cells:
    """The cells of a table's row after the first one. `rest`: the row's text after the first cell."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", rest)]


def row(key: str, cells: Sequence[str]) -> str:
    """One line of a table whose first cell is `key` as code."""
    return " ".join(["|", f"`{key}`", *(part for cell in cells for part in ("|", cell) if part), "|"])


def keys_of(page: str) -> list[str]:
    """The keys of every row of the page, in their order."""
    return [found["key"] for line in page.splitlines() if (found := _ROW.match(line))]


def refreshed(page: str, facts: Collection[str], cells: Callable[[str, Cells], Cells]) -> str:
    """The page with each row's cells brought up to the code.

    `facts` are the keys that the code has now: rows of other keys are dropped, rows of missing keys are added to the
    page's last table. `cells` takes a key and the row's present cells (none for a new row), and returns the new ones.
    """
    lines, known = [], set(keys_of(page))
    last_row = 0
    for line in page.splitlines():
        found = _ROW.match(line)
        if found is None:
            lines.append(line)
        elif found["key"] in facts:
            lines.append(row(found["key"], cells(found["key"], cells_of(found["rest"]))))
            last_row = len(lines)
    added = [row(key, cells(key, [])) for key in sorted(set(facts) - known)]
    lines[last_row:last_row] = added
    return "\n".join([*lines, ""])


def between(page: str, name: str, made: str) -> str:
    """The page with `made` between the comments that begin and end the part `name`."""
    begin, end = f"<!-- made by `make docs`: {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{made.strip()}\n\n{end}{after}"
