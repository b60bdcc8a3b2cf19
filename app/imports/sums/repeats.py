"""Finds identical rows, and campaigns' days whose rows are all repeated, as in two exports put together."""

from collections import Counter
from datetime import date

from app.imports.evidence.days import Days
from app.imports.headings.columns import Columns
from app.imports.headings.layout import Layout
from app.imports.sums.adding import Sums


def repeated(sums: Sums) -> frozenset[int]:
    """The hashes that several rows with an amount share."""
    found: set[int] = set()
    for part in sums.hashes:
        if len(set(part)) != len(part):
            found.update(digest for digest, count in Counter(part).items() if count > 1)
    return frozenset(found)


class Repeats:
    """The identical rows of a table.

    `identical`: the number of rows that equal another one. `pasted`: the first campaign-day all of whose rows occur
    equally often, more than once, with the lines of two of them; None without one.
    """

    def __init__(self, layout: Layout, columns: Columns, days: Days, hashes: frozenset[int]) -> None:
        touched = {key for _, key, digest in _rows(layout, columns, days) if digest in hashes}
        counts: dict[tuple[str, date], Counter[int]] = {key: Counter() for key in touched}
        lines: dict[tuple[str, date], list[int]] = {}
        for line, key, digest in _rows(layout, columns, days):
            if key in counts:
                counts[key][digest] += 1
                if digest in hashes and len(lines.setdefault(key, [])) < 2:
                    lines[key].append(line)
        self.identical = sum(count for counter in counts.values() for count in counter.values() if count > 1)
        self.pasted = next(
            ((key, lines[key]) for key, counter in counts.items() if len(set(counter.values())) == 1), None
        )


def _rows(layout: Layout, columns: Columns, days: Days):  # type: ignore[no-untyped-def]
    needed = max(columns.campaign.place, columns.day.place, columns.spend.place)
    for line, row in layout.table.rows():
        if line > layout.line and len(row) > needed and (day := days.read(row[columns.day.place])) is not None:
            yield line, (row[columns.campaign.place], day), hash(tuple(row))
