"""The currency signs that number formats of an XLSX workbook show with its numbers, which the numbers lack."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final, NamedTuple
from xml.etree import ElementTree as ET  # Expat bounds the expansion of entities since 2.4.1

from app.imports.evidence.currency_signs import signed_currencies

_IN_BRACKETS: Final = re.compile(r"\[\$([^\]-]+)(?:-[0-9A-Fa-f]+)?\]")
_BRACKETS: Final = re.compile(r"\[[^\]]*\]")
_IN_QUOTES: Final = re.compile(r'"([^"]+)"')
_BARE: Final = re.compile(r"\\?([$€£¥₹₩₽₺₴₪₫₱฿])")
_CELL: Final = re.compile(r"([A-Z]+)([0-9]+)")
_SHEET_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


class CellSigns(NamedTuple):
    """The currency signs of a sheet's numbers; rows and columns count from 0.

    `of_columns`: by column, the sign of its first number with a sign. `of_cells`: by (row, column), the sign of a
    number with another sign than its column.
    """

    of_columns: Mapping[int, str]
    of_cells: Mapping[tuple[int, int], str]

    def of(self, row: int, column: int) -> str:
        """The currency sign of a number, or of its column if its own format has none; "" without either."""
        return self.of_cells.get((row, column)) or self.of_columns.get(column, "")


NO_SIGNS: Final = CellSigns({}, {})


def cell_signs(stream: BinaryIO) -> dict[str, CellSigns]:
    """The signs by sheet name; empty for other kinds of workbooks, and where no format has a sign."""
    try:
        with zipfile.ZipFile(stream) as archive:
            signs = _signs_by_style(archive)
            return {name: _of_sheet(archive, part, signs) for name, part in _sheets(archive)} if signs else {}
    except (zipfile.BadZipFile, KeyError, ET.ParseError, ValueError):
        return {}


def sign_in(number_format: str) -> str:
    """The currency sign or code that a number format shows, in upper case; "" for none.

    `[$€-407] #,##0.00`, `#,##0.00 "zł"` and `$#,##0` have one; `[$-409]` and `"pcs"` have none.
    """
    without_brackets = _BRACKETS.sub("", number_format)
    found = [
        *_IN_BRACKETS.findall(number_format),
        *_IN_QUOTES.findall(without_brackets),
        *_BARE.findall(_IN_QUOTES.sub("", without_brackets)),
    ]
    signs = (str(one).strip().upper() for one in found)
    return next((sign for sign in signs if signed_currencies(sign) is not None), "")


def _signs_by_style(archive: zipfile.ZipFile) -> dict[int, str]:
    """By the position of a style, its currency sign, for styles that have one.

    Leaves out built-in currency formats, which show the currency of the reader's computer.
    """
    formats: dict[str, str] = {}
    signs: dict[int, str] = {}
    for parent, element in _elements(archive, "xl/styles.xml"):
        if element == "numFmt":
            formats[parent.get("numFmtId", "")] = sign_in(parent.get("formatCode", ""))
        elif element == "cellXfs":
            used = [formats.get(style.get("numFmtId", ""), "") for style in parent]
            signs = {place: sign for place, sign in enumerate(used) if sign}
    return signs


def _sheets(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    parts = {
        one.get("Id"): one.get("Target", "")
        for one, element in _elements(archive, "xl/_rels/workbook.xml.rels")
        if element == "Relationship"
    }
    for one, element in _elements(archive, "xl/workbook.xml"):
        if element == "sheet":
            target = parts.get(one.get(_SHEET_ID), "")
            yield one.get("name", ""), target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _of_sheet(archive: zipfile.ZipFile, part: str, signs: Mapping[int, str]) -> CellSigns:
    of_columns: dict[int, str] = {}
    of_cells: dict[tuple[int, int], str] = {}
    for cell, element in _elements(archive, part):
        if element == "row":
            cell.clear()
        elif element == "c" and (sign := signs.get(int(cell.get("s", "0")))) and cell.get("t", "n") == "n":
            row, column = _place(cell.get("r", ""))
            if of_columns.setdefault(column, sign) != sign:
                of_cells[row, column] = sign
    return CellSigns(of_columns, of_cells)


def _place(reference: str) -> tuple[int, int]:
    """The row and column of a cell such as `B7`, counted from 0. Raises ValueError for anything else."""
    found = _CELL.fullmatch(reference)
    if found is None:
        raise ValueError(reference)
    column = 0
    for letter in found[1]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(found[2]) - 1, column - 1


def _elements(archive: zipfile.ZipFile, part: str) -> Iterator[tuple[ET.Element, str]]:
    """Yields each element of a part of the archive at its end, with its name without namespace."""
    with archive.open(part) as stream:
        for _, element in ET.iterparse(stream):  # noqa: S314 - see the import
            yield element, element.tag.rpartition("}")[2]
