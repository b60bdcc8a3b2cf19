"""Cells of CSV files that people open in spreadsheets."""

import re
from typing import Final

_FORMULA: Final = re.compile(
    r"""(^|[;\t\r\n])(?=[\s"'\u200b-\u200f\u2060\ufeff]*[=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20])|^(?=[\t\r\n])"""
)
"""Matches each place where a spreadsheet may begin a formula: before the signs = + - @, also small and full-width."""


def text_cell(text: str) -> str:
    """The text with an apostrophe before each place where a spreadsheet could read a formula.

    Spreadsheets in some locales split cells at semicolons or tabs, so each part of the text may become a cell of its
    own; they also ignore quotes and spaces before the sign of a formula.
    """
    return _FORMULA.sub(r"\1'", text)
