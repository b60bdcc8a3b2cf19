"""Cells of tables as texts; subclasses mark the numbers of spreadsheets and JSON, and the dates of spreadsheets."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

NOTHING: Final = frozenset({"", "-", "--", "—", "–", "―", "- -", "---"})
"""Cells without a value: empty, or the dashes that platforms write."""

_SAME_SIGN: Final = ("<wide>", "<narrow>", "<small>", "<noBreak>")
"""Unicode's marks of a character that is another form of the same sign, such as `１` of 1."""

_FORMULA: Final = re.compile(r'=\s*"(.*)"|=\s*\'(.*)\'', re.DOTALL)


class NumberCell(str):
    """A number as a spreadsheet or JSON stores it: digits with a decimal point, no grouping."""

    __slots__ = ()


class DateCell(str):
    """A date cell of a spreadsheet, with or without a time, as ISO 8601 text."""

    __slots__ = ()


def bare(cell: str) -> str:
    """A cell's text, stripped, without the marks by which spreadsheets store a text: 123 for `="123"` and `'123`."""
    text = cell.strip()
    if text[:1] == "=" and (found := _FORMULA.fullmatch(text)):
        return (found[1] or found[2] or "").strip()
    if text[:1] == "'" and "'" not in text[1:]:
        return text[1:].strip()
    return text


def plain_signs(text: str) -> str | None:
    """The text in Unicode's form NFKC, in which wide digits and signs become ordinary ones.

    None if NFKC would turn a character that means another thing into a digit or a minus: the footnote in `12.50¹`, `①`.
    """
    if text.isascii():
        return text
    return None if any(map(_would_count, text)) else unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=10_000)
def _would_count(character: str) -> bool:
    """Whether NFKC turns a character that means another thing, such as `¹` or `①`, into a digit or a minus."""
    plain = unicodedata.normalize("NFKC", character)
    if plain == character or unicodedata.decomposition(character).startswith(_SAME_SIGN):
        return False
    return any(one.isdigit() or one in "-\u2212" for one in plain)
