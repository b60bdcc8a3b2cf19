"""Currency signs that only the number formats of a workbook show."""

import io
from collections.abc import Sequence

import pytest
import xlsxwriter

from app.imports.forms.number_formats import sign_in
from tests.app.imports.kit import expected, read, refusal, units

HEADINGS = ("campaign_id", "date", "spend")
ROWS = (("7", "2026-11-01", 5.5), ("8", "2026-11-02", -7))


def book(formats: Sequence[str], left: int = 0, top: int = 0) -> bytes:
    """A workbook whose amounts have these number formats, "" for none; its table begins at a cell."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet("Report")
        day = workbook.add_format({"num_format": "[$-409]d/m/yyyy"})
        for place, (row, number_format) in enumerate(zip((HEADINGS, *ROWS), ("", *formats), strict=True)):
            shown = workbook.add_format({"num_format": number_format}) if number_format else None
            for column, value in enumerate(row):
                style = shown if isinstance(value, (int, float)) else day
                sheet.write(top + place, left + column, value, style)
    return out.getvalue()


@pytest.mark.parametrize(
    ("number_format", "sign"),
    [
        ("[$€-407] #,##0.00", "€"),
        ("#,##0.00 [$€-1]", "€"),
        ('"£"#,##0.00', "£"),
        ('#,##0.00\\ "zł"', "ZŁ"),
        ("[$CHF] #,##0.00", "CHF"),
        ("\\$#,##0.00", "$"),
        ("$#,##0", "$"),
        ("[$-409]d/m/yyyy", ""),
        ('#,##0 "pcs"', ""),
        ("[Red]0.00", ""),
        ("General", ""),
    ],
)
def test_sign_of_a_number_format(number_format: str, sign: str) -> None:
    assert sign_in(number_format) == sign


@pytest.mark.parametrize(("left", "top"), [(0, 0), (3, 2)])
def test_currency_of_the_number_format_is_the_files(left: int, top: int) -> None:
    reading = read(book(["[$€-407] #,##0.00"] * 2, left, top))
    assert reading.currency == "EUR"
    assert units(reading) == expected({("7", "2026-11-01"): "5.5", ("8", "2026-11-02"): "-7"})


def test_numbers_without_a_sign_have_no_currency() -> None:
    assert read(book(["#,##0.00", ""])).currency is None


def test_two_currencies_in_number_formats_are_refused() -> None:
    assert "another currency" in refusal(book(["[$€-407] #,##0.00", '"£"#,##0.00']))
