"""Cells of tables as texts; subclasses mark the numbers of spreadsheets and JSON, and the dates of spreadsheets."""

import re
from typing import Final

NOTHING: Final = frozenset({"", "-", "--", "—", "–", "―", "- -", "---"})
"""Cells without a value: empty, or the dashes that platforms write."""

_FORMULA: Final = re.compile(r'=\s*"(.*)"|=\s*\'(.*)\'', re.DOTALL)


class NumberCell(str):
    """A number as a spreadsheet or JSON stores it: digits with a decimal point, no grouping."""

    __slots__ = ()


class DateCell(str):
    """A date cell of a spreadsheet, with or without a time, as ISO 8601 text."""

    __slots__ = ()


def bare(cell: str) -> str:
    """A cell without the marks by which spreadsheets keep a text a text: `="123"` and `'123` are 123."""
    text = cell.strip()
    if text[:1] == "=" and (found := _FORMULA.fullmatch(text)):
        return (found[1] or found[2] or "").strip()
    if text[:1] == "'" and "'" not in text[1:]:
        return text[1:].strip()
    return text
