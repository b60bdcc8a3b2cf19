"""The list of rows left out is safe to open in a spreadsheet."""

import csv
import io

import pytest

from app.imports.intake.left_out import write_csv


def written(cell: str, reason: str) -> list[str]:
    stream = io.StringIO()
    write_csv(stream, [(7, cell, reason)])
    stream.seek(0)
    header, row = csv.reader(stream, strict=True)
    assert header == ["line", "cell", "reason"]
    return row


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        (' =HYPERLINK("x")', '\' =HYPERLINK("x")'),
        ("x;=cmd|1", "x;'=cmd|1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-5,00", "'-5,00"),
        ("a\ud800\0", "a\\ud800\\u0000"),
        ("free", "free"),
    ],
)
def test_cell_and_reason_are_no_formulas(text: str, kept: str) -> None:
    assert written(text, text) == ["7", kept, kept]
