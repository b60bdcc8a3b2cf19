"""Workbooks (XLSX, XLS, ODS): rows of a sheet, with real dates as days and numbers as they are shown."""

import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import BinaryIO

import python_calamine

from app.imports.answers import Refused
from app.imports.cells import DateCell, NumberCell
from app.imports.tables import Table


def workbook_tables(stream: BinaryIO) -> list[Table]:
    """The visible sheets that hold anything."""
    stream.seek(0)
    try:
        book = python_calamine.load_workbook(io.BytesIO(stream.read()))
        visible = python_calamine.SheetVisibleEnum.Visible
        names = [sheet.name for sheet in book.sheets_metadata if sheet.visible == visible]
        sheets = [book.get_sheet_by_name(name) for name in names]
    except python_calamine.PasswordError:
        raise Refused("the workbook has a password", "save it without one") from None
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise Refused(f"cannot be read as a workbook ({error})", "export it again, or as CSV") from None
    return [Table(_Sheet(sheet), "xlsx", "workbook", title=sheet.name) for sheet in sheets if sheet.total_height]


class _Sheet:
    def __init__(self, sheet: python_calamine.CalamineSheet) -> None:
        self._sheet = sheet

    def __call__(self) -> Iterator[tuple[int, Sequence[str]]]:
        first = (self._sheet.start or (0, 0))[0] + 1
        for line, row in enumerate(
            self._sheet.iter_rows(), start=first if self._sheet.height < self._sheet.total_height else 1
        ):
            yield line, [_cell(value) for value in row]


def _cell(value: object) -> str:
    match value:
        case str():
            cell = value
        case bool() | None:
            cell = "" if value is None else str(value)
        case float():
            cell = NumberCell(_digits(value))
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
    """A number with the 15 digits that a spreadsheet keeps, never in scientific notation."""
    if value == int(value):
        return str(int(value))
    shown = format(value, ".15g")
    return shown if "e" not in shown else f"{value:.20f}".rstrip("0")
