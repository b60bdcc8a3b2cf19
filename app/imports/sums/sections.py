"""Checks files of several exports, each below its own headings: a campaign's day may be in only one of them."""

from bisect import bisect
from collections.abc import Sequence
from typing import Final

from app.imports.answers import Refused
from app.imports.evidence.days import Days
from app.imports.evidence.preamble import Stated, stated
from app.imports.headings.columns import Columns
from app.imports.headings.layout import Layout
from app.imports.tables import Row

PREAMBLE_ROWS: Final = 20
"""Rows above repeated headings, at most, that may belong to the preamble of the section that follows."""


def check_sections(layout: Layout, columns: Columns, days: Days, heading_lines: Sequence[int]) -> None:
    """Raises Refused if a campaign's day is in two sections: each may state the whole day, so a sum counts it twice.

    `heading_lines`: the lines that repeat the headings, each of which begins a section.
    """
    needed = max(columns.campaign.place, columns.day.place)
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for line, row in layout.table.rows():
        if line <= layout.line or len(row) <= needed or (day := days.read(row[columns.day.place])) is None:
            continue
        section = bisect(heading_lines, line)
        campaign = row[columns.campaign.place].strip()
        known_section, known_line = first.setdefault((campaign, day.isoformat()), (section, line))
        if campaign and known_section != section:
            raise Refused(
                f"the headings are there {len(heading_lines) + 1} times, and campaign {campaign} on {day} is below two "
                f"of them, on lines {known_line} and {line}",
                "several exports were put together: import them one by one, or add them up with --keep-duplicates",
            )


def check_preambles(undated: Sequence[Row], heading_lines: Sequence[int], first: Stated) -> None:
    """Raises Refused if a later section's preamble states another currency or time zone than the first one's."""
    for line in heading_lines:
        above = [row for row in undated if line - PREAMBLE_ROWS <= row.line < line]
        said = stated(above)
        for name, ours, theirs in (
            ("currency", first.currency, said.currency),
            ("time zone", first.zone, said.zone),
        ):
            if theirs is not None and theirs != ours:
                raise Refused(
                    f"the report that begins above line {line} has the {name} {theirs}, the first one {ours or 'none'}",
                    "several exports were put together: import them one by one",
                )
