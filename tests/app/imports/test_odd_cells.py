"""One odd cell leaves out its own row; it neither refuses the file nor is read as another figure."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
import xlsxwriter

from app.imports.answers import Refused
from tests.app.imports.kit import expected, read, units

HEADINGS = ["Campaign ID", "Day", "Hour", "Cost", "Currency"]
ROWS = [
    ["7", "2026-11-01", "1", "1.50", "USD"],
    ["7", "2026-11-02", "2", "12.25", "USD"],
    ["8", "2026-11-02", "3", "0.75", "USD"],
]
GOOD = {("7", "2026-11-01"): "1.50", ("7", "2026-11-02"): "12.25", ("8", "2026-11-02"): "0.75"}
LONG = "9" * 5_000

AMOUNTS = [
    LONG,
    f"-{LONG}",
    f"{LONG}.5",
    f"1.{LONG}",
    f"{LONG},{LONG}",
    f"1{',999' * 2_000}",
    f"{LONG}e-3",
    f"1e-{LONG}",
    f"1e{LONG}",
    "1e-5000",
    "1e-999999999999999999",
    "12.50\u00b9",
    "\u2460",
    "12.5\u2070",
    "\u2475",
    "12.50\u2488",
    "\u00bd",
    "\U0001d7cf",
    "\u207b5",
    "\u1369",
    "\0",
    "\ud8001",
]
"""Cells that are no amounts: numbers too long, footnotes, digits in circles, fractions, superscripts."""

DAYS = [LONG, "2026-11-1\u00b9", "2026-11-1\u2460", "1\u1369 Nov 2026", "Nov \u2460 2026", "\0", f"2026-11-{LONG}"]
HOURS = [LONG, "\u00b2", "\u2460", "\u1369", "\0"]
IDS = [LONG, "\0" * 5_000, "\u2460", "\n" * 5_000]
CURRENCIES = [LONG, "\0", "\u24ca\u24c8\u24b9"]


def as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([HEADINGS, *rows])
    return text.getvalue().encode("utf-8", "surrogatepass")


def as_json(rows: list[list[str]]) -> bytes:
    return json.dumps([dict(zip(HEADINGS, row, strict=True)) for row in rows]).encode()


@pytest.mark.parametrize("cell", AMOUNTS, ids=lambda cell: cell.encode("unicode_escape").decode()[:20])
@pytest.mark.parametrize("written", [as_csv, as_json])
def test_amount_that_is_none_leaves_out_its_row_alone(written: Callable[[list[list[str]]], bytes], cell: str) -> None:
    if written is as_csv and "\ud800" in cell:
        cell = "\\ud8001"
    reading = read(written([*ROWS, ["9", "2026-11-02", "4", cell, "USD"]]))
    assert units(reading) == expected(GOOD)
    assert [row.line for row in reading.bad_rows] == [5 if written is as_csv else 4]


def test_number_of_json_that_is_no_amount_leaves_out_its_row_alone() -> None:
    for number in (LONG, f"{LONG}.5", f"1e{LONG}", "1e-5000", f"0.{LONG}", "NaN", "Infinity", "-Infinity"):
        text = as_json([*ROWS, ["9", "2026-11-02", "4", "odd", "USD"]]).decode().replace('"odd"', number)
        reading = read(text)
        assert units(reading) == expected(GOOD)
        assert [row.line for row in reading.bad_rows] == [4]


@pytest.mark.parametrize(
    ("place", "cells"), [(0, IDS), (1, DAYS), (2, HOURS), (4, CURRENCIES)], ids=["id", "day", "hour", "currency"]
)
@pytest.mark.parametrize("written", [as_csv, as_json])
def test_odd_cell_of_another_column_changes_no_other_row(
    written: Callable[[list[list[str]]], bytes], place: int, cells: list[str]
) -> None:
    refused: list[str] = []
    for cell in cells:
        odd = ["9", "2026-11-02", "4", "3.00", "USD"]
        odd[place] = cell
        try:
            reading = read(written([*ROWS, odd]))
        except Refused as error:  # such as for rows without an hour among rows of hours
            refused.append(str(error))
            continue
        assert all(len(row.cell) <= 200 for row in reading.bad_rows)
        of_others = {key: amount for key, amount in units(reading).items() if key[0] in {"7", "8"}}
        assert of_others == expected(GOOD)
        assert {day for campaign, day in units(reading) if campaign == "9"} <= {"2026-11-02"}
    assert not [words for words in refused if "no hour" not in words]


@pytest.mark.parametrize("cell", ["\uff11\uff12.\uff15\uff10", "\u00a012.50", "\u202f12.50 ", "\uffe512.50"])
def test_wide_digits_and_spaces_are_read(cell: str) -> None:
    currency = "JPY" if "\uffe5" in cell else "USD"
    rows = [[*row[:4], currency] for row in [*ROWS, ["9", "2026-11-02", "4", cell, ""]]]
    assert units(read(as_csv(rows)))["9", "2026-11-02"] == Decimal("12.5")


def test_infinite_number_of_a_spreadsheet_leaves_out_its_row_alone() -> None:
    numbers = [[*row[:3], float(row[3]), row[4]] for row in ROWS]
    content = workbook([HEADINGS, *numbers, ["9", "2026-11-02", "4", 77_777, "USD"]], "77777", "1e999")
    assert units(read(content, name="export.xlsx")) == expected(GOOD)


def workbook(rows: Sequence[Sequence[object]], old: str, new: str) -> bytes:
    """A workbook of these rows, in which the stored number `old` is replaced by `new`."""
    written, changed = io.BytesIO(), io.BytesIO()
    with xlsxwriter.Workbook(written, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(f"<v>{old}</v>".encode(), f"<v>{new}</v>".encode()))
    return changed.getvalue()
