"""Tables for people never wrap a figure, on a terminal of any width, and no text controls the terminal."""

import pytest

from cli import output
from cli.output import console, errors, print_json, print_rows

ROWS = [
    {
        "month": "2026-10",
        "brand id": 1,
        "brand": "A brand with a name as long as people write them",
        "stored at": "2026-11-01 05:00:00 UTC",
        "spent micros": 210_225_000_000,
        "restated micros": -1_000_000,
        "limit": "$1,234,567.00",
        "used": "42.0 %",
    },
    {
        "month": "2026-09",
        "brand id": 12,
        "brand": "Hats",
        "stored at": "2026-10-01 05:00:00 UTC",
        "spent micros": 0,
        "restated micros": None,
        "limit": "–",
        "used": "",
    },
]


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_print_rows_never_wraps_a_figure(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", width)
    print_rows("Monthly reports", ROWS, empty="")
    output = capsys.readouterr().out
    for figure in ("2026-10", "210225000000", "-1000000", "$1,234,567.00", "42.0 %"):
        assert figure in output


def test_print_rows_wraps_text_columns_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", 80)
    print_rows("Brands", [{"id": 1, "brand": "shoes " * 30, "spent micros": 210_225_000_000}], empty="")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("210225000000" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "is_figure"),
    [("$1,234.50", True), ("-$5.50", True), ("CA$12.00", True), ("12.5 h", True), ("2026-10", True), ("Hats", False),
     ("Hats 2", False), ("2026-11-01 05:00:00 UTC", False), ("1, 2, 3", False)],
)  # fmt: skip
def test_figures_width_recognises_figures(text: str, is_figure: bool) -> None:
    assert (output._figures_width([text, "–"]) > 0) == is_figure


def test_texts_that_a_terminal_would_obey_are_printed_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\u009b31mb\x1b[2J\u202ec\ud800\0"
    shown = r"a\u009b31mb\u001b[2J\u202ec\ud800\u0000"
    print_rows("Rejected", [{"input": text}], empty="")
    print_json({"input": text})
    console.print(text, markup=False, soft_wrap=True)
    errors.print(text, markup=False, soft_wrap=True)
    captured = capsys.readouterr()
    assert captured.out.count(shown) == 3
    assert captured.err.count(shown) == 1
