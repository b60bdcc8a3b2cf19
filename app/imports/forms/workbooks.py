"""Workbooks (XLSX, XLS, ODS): rows of a sheet, with dates as ISO texts, and numbers with their formats' currency."""

import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from math import isfinite
from typing import BinaryIO

import python_calamine

from app.imports.answers import Refused
from app.imports.cells import DateCell, NumberCell
from app.imports.forms.number_formats import NO_SIGNS, CellSigns, cell_signs
from app.imports.tables import Table


def workbook_tables(stream: BinaryIO) -> list[Table]:
    """The visible sheets that are not empty. Raises Refused for a workbook with a password or that cannot be read."""
    stream.seek(0)
    content = io.BytesIO(stream.read())
    try:
        book = python_calamine.load_workbook(content)
        visible = python_calamine.SheetVisibleEnum.Visible
        names = [sheet.name for sheet in book.sheets_metadata if sheet.visible == visible]
        sheets = [book.get_sheet_by_name(name) for name in names]
    except python_calamine.PasswordError:
        raise Refused("the workbook has a password", "save it without one") from None
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise Refused(f"cannot be read as a workbook ({error})", "export it again, or as CSV") from None
    signs = cell_signs(content)
    return [
        Table(_Sheet(sheet, signs.get(sheet.name, NO_SIGNS)), "xlsx", "workbook", title=sheet.name)
        for sheet in sheets
        if sheet.total_height
    ]


class _Sheet:
    def __init__(self, sheet: python_calamine.CalamineSheet, signs: CellSigns) -> None:
        self._sheet, self._signs = sheet, signs

    def __call__(self) -> Iterator[tuple[int, Sequence[str]]]:
        first = (self._sheet.start or (0, 0))[0] + 1
        for line, row in enumerate(
            self._sheet.iter_rows(), start=first if self._sheet.height < self._sheet.total_height else 1
        ):
            cells = [_cell(value) for value in row]
            yield line, self._signed(cells, line - 1) if self._signs.of_columns else cells

    def _signed(self, cells: Sequence[str], row: int) -> list[str]:
        """The cells with the currency signs that the number formats show."""
        left = (self._sheet.start or (0, 0))[1] if self._sheet.width < self._sheet.total_width else 0
        return [
            NumberCell(f"{self._signs.of(row, left + place)}{cell}") if isinstance(cell, NumberCell) else cell
            for place, cell in enumerate(cells)
        ]


def _cell(value: object) -> str:
    match value:
        case str():
            cell = value
        case bool() | None:
            cell = "" if value is None else str(value)
        case float():
            cell = NumberCell(_digits(value)) if isfinite(value) else str(value)
        case int():
            cell = NumberCell(value)
        case datetime():
            has_time = value.time() != time()
            cell = DateCell(value.isoformat(" ", "seconds") if has_time else value.date().isoformat())
        case date():
            cell = DateCell(value.isoformat())
        case _:
            cell = str(value)
    return cell


def _digits(value: float) -> str:
    """The number as text: whole ones in full, others with the 15 digits that spreadsheets keep; never as 1E-7."""
    if value == int(value):
        return str(int(value))
    shown = format(value, ".15g")
    return shown if "e" not in shown else f"{value:.20f}".rstrip("0")
