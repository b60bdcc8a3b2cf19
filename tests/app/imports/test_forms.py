"""Forms of files: text, workbooks, JSON and archives are read; broken and foreign files are refused."""

import gc
import gzip
import io
import json
import re
import sys
import zipfile
from datetime import date, datetime
from pathlib import Path

import pytest
import python_calamine
import xlsxwriter

from app.imports.answers import Question
from app.imports.forms.delimited import delimited_tables
from tests.app.imports.kit import expected, question, read, refusal, units

ROWS = "campaign_id,date,spend\n7,2026-11-01,5.50\n8,2026-11-02,7.25\n"
TOTALS = expected({("7", "2026-11-01"): "5.5", ("8", "2026-11-02"): "7.25"})
HEADINGS = ("Day", "Campaign ID", "Campaign", "Cost")


def book(*rows: tuple[object, ...], sheets: dict[str, list[tuple[object, ...]]] | None = None) -> bytes:
    """A workbook of one sheet, or of several."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as workbook:
        day = workbook.add_format({"num_format": "d/m/yyyy"})
        for name, lines in (sheets or {"Report": list(rows)}).items():
            sheet = workbook.add_worksheet(name)
            for place, line in enumerate(lines):
                for column, value in enumerate(line):
                    if isinstance(value, date):
                        sheet.write_datetime(place, column, datetime.combine(value, datetime.min.time()), day)
                    elif isinstance(value, str):
                        sheet.write_string(place, column, value)
                    else:
                        sheet.write(place, column, value)
    return out.getvalue()


def packed(**files: str) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(".".join(name.rsplit("_", 1)), text)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_any_delimiter_and_line_end_is_read(delimiter: str, line_end: str) -> None:
    assert units(read(ROWS.replace(",", delimiter).replace("\n", line_end))) == TOTALS


def test_a_spreadsheets_own_first_line_is_passed_over() -> None:
    assert units(read("sep=;\n" + ROWS.replace(",", ";"))) == TOTALS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_any_unicode_encoding_is_read(encoding: str) -> None:
    assert units(read(ROWS.encode(encoding))) == TOTALS


@pytest.mark.parametrize(
    ("encoding", "headings", "name"),
    [
        ("cp1252", "Kampagne;Kampagnen-ID;Währungscode;Tag;Kosten", "Größe"),
        ("cp1252", "Campagne;ID de campagne;Code de devise;Jour;Coût", "Fête d'été"),
        ("mac_roman", "Campaña;ID de campaña;Código de moneda;Día;Coste", "Otoño"),
        ("cp1250", "Kampania;Identyfikator kampanii;Kod waluty;Dzień;Koszt", "Wyprzedaż łąk"),
        ("cp1251", "Кампания;Идентификатор кампании;Валюта;День;Расход", "Осень"),
        ("cp932", "キャンペーン;キャンペーン ID;通貨;日;費用", "秋の紅茶"),
        ("euc_jp", "キャンペーン;キャンペーン ID;通貨;日;費用", "秋の紅茶"),
        ("gb18030", "广告系列;广告系列 ID;货币;日期;费用", "秋季"),
    ],
)
def test_older_encodings_are_found_by_their_letters(encoding: str, headings: str, name: str) -> None:
    reading = read(f"{headings}\n{name};7;EUR;2026-11-01;5,50\n".encode(encoding))
    assert (units(reading), reading.names) == (expected({("7", "2026-11-01"): "5.5"}), {"7": name})


def test_names_that_lost_letters_are_no_ids() -> None:
    text = "Campaign,date,spend\nGr\ufffd\ufffde,2026-11-28,1\n"
    assert "has letters that a wrong encoding destroyed" in refusal(text, name_as_id=True)


@pytest.mark.parametrize(
    "content", [packed(r_csv=ROWS), gzip.compress(ROWS.encode(), mtime=0), packed(__MACOSX_r="x", r_csv=ROWS)]
)
def test_an_archive_of_one_file_is_unpacked(content: bytes) -> None:
    assert units(read(content)) == TOTALS


def by_method(method: int) -> bytes:
    """An archive whose one member says that it is packed by this method."""
    content = bytearray(packed(**{"a.csv": ROWS}))
    for place in (8, content.index(b"PK\x01\x02") + 10):
        content[place : place + 2] = method.to_bytes(2, "little")
    return bytes(content)


@pytest.mark.parametrize("method", [9, 12, 14, 93, 95, 98], ids=str)
def test_archive_packed_by_an_odd_method_is_refused(method: int) -> None:
    assert "archive" in refusal(by_method(method))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, '[{"a":' + "[" * 900 + "]" * 900 + "}]"])
def test_deeply_nested_json_is_refused(content: str) -> None:
    refusal(content)


class PanicException(BaseException):
    """The exception of a panic in a Rust library."""


@pytest.mark.parametrize("fault", [KeyError("a"), IndexError("a"), RuntimeError("a"), TypeError("a"), PanicException()])
def test_fault_of_the_workbook_reader_is_a_refusal(fault: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_content: object) -> None:
        raise fault

    monkeypatch.setattr(python_calamine, "load_workbook", fail)
    assert type(fault).__name__ in refusal(book(("Day", "Cost"), ("2026-11-01", 1)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\r\n\r\n", "is empty"),
        (b"<html><table><tr><td>Day</td></tr></table></html>", "is a web page"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "is a web page"),
        (b"%PDF-1.7", "is a PDF"),
        (b"PAR1", "is a Parquet file"),
        (b'"' * 300_000, "line 1 has a cell of over 131,072 characters"),
        (gzip.compress(ROWS.encode() * 50, mtime=0)[:-9], "the archive is cut off or damaged"),
        (packed(a_csv=ROWS)[:-30], "half-written zip archive"),
        (packed(**{"__MACOSX/a_csv": ROWS}), "the zip archive contains no file"),
        (packed(), "the zip archive contains no file"),
        (packed(**{f"{name}_csv": ROWS for name in "abcdefg"}), r"7 files \(a.csv, b.csv, .* and 2 more\)"),
        (packed(a_csv=ROWS, b_csv=ROWS), r"contains 2 files \(a.csv, b.csv\)"),
        ("clicks,views\n1,2\n", "needs a campaign id, a day and a cost .*; it has clicks, views"),
        ('campaign_id,date,spend\n7,2026-11-01,"5\n', "line 2 opens a quote that is never closed"),
        ('campaign_id,date,spend\n7,2026-11-01,"5"x\n', "line 2 has a quote in a place"),
        ('campaign_id,date,spend\n7,2026-11-01,"5\n8,2026-11-01,6\n9,2026-11-01,7"\n', "line 2 opens a quote"),
        ("campaign_id,name,date,spend\n7,A, B,2026-11-01,5.5\n", "line 2 has 5 cells and there are 4 headings: '5.5'"),
        ("campaign_id,date,spend\n7,2026-11-01,5\n8,2026-11", "line 3, the last, has 2 of 3 cells and no line end"),
        (
            "campaign_id,date,spend\n7,2026-11-01,5.50\n7,2026-11-02,6.25\n7,2026-11-03,12.5",
            "line 4, the last, has no line end and ends within '12.5'",
        ),
        ("spend,campaign_id,date\n5,7,2026-11-21\n5,7,2026-11-22\n5,7,2026-11-2", "ends within '2026-11-2'"),
        ('{"campaign_id":"7","date":"2026-11-01","spend":5}\n{"campaign_id":"7","da', "line 2 .*is no JSON"),
    ],
)
def test_a_broken_or_foreign_file_is_refused_with_its_line(content: bytes | str, words: str) -> None:
    assert re.search(words, refusal(content))


def test_cells_of_several_lines_and_trailing_delimiters_are_read() -> None:
    reading = read('campaign_id,date,spend,name,\n7,2026-11-01,5.50,"two\nlines",\n8,2026-11-02,7.25,one,\n')
    assert units(reading) == TOTALS


def test_a_workbooks_dates_and_numbers_are_read_as_they_are() -> None:
    content = book(
        ("Report",), HEADINGS, (date(2026, 11, 1), 21000000111, "A", 1047.8), (date(2026, 11, 2), 21000000111, "A", 0.1 + 0.2),
        ("Total", None, None, 1048.1),
    )  # fmt: skip
    reading = read(content, "google_ads")
    assert units(reading) == expected({("21000000111", "2026-11-01"): "1047.8", ("21000000111", "2026-11-02"): "0.3"})
    assert reading.totals_phrase == "1 totals row, they agree with the sum"


def test_a_workbooks_long_ids_are_taken_as_texts_and_refused_as_numbers() -> None:
    day = date(2026, 11, 1)
    assert units(read(book(HEADINGS, (day, "120210000000000101", "A", 1)))) == expected(
        {("120210000000000101", "2026-11-01"): "1"}
    )
    assert "spreadsheet" in refusal(book(HEADINGS, (day, 120210000000000101, "A", 1)))
    assert "more digits than a spreadsheet keeps" in refusal(book(HEADINGS, (day, 1202100000000001, "A", 1)))


def test_days_of_which_a_spreadsheet_took_some_are_refused() -> None:
    content = book(HEADINGS, (date(2026, 1, 11), "7", "A", 1), ("25/11/2026", "7", "A", 2))
    assert "line 3 has the day '25/11/2026' as a text among date cells" in refusal(content)


def test_the_sheet_with_the_table_is_found_and_two_are_asked_about() -> None:
    lines: list[tuple[object, ...]] = [HEADINGS, (date(2026, 11, 1), "7", "A", 5.5)]
    assert units(read(book(sheets={"Cover": [("Report",)], "Data": lines}))) == expected({("7", "2026-11-01"): "5.5"})
    both = book(sheets={"One": lines, "Two": [*lines, (date(2026, 11, 2), "7", "A", 1)]})
    asked = question(both)
    assert [(one.flags, one.sum_micros) for one in asked.readings] == [
        ("--sheet One", {"": 5_500_000}), ("--sheet Two", {"": 6_500_000}),
    ]  # fmt: skip
    assert len(read(both, sheet="Two").totals) == 2


def test_json_of_every_kind_is_read() -> None:
    row = {"campaign": {"id": "7"}, "segments": {"date": "2026-11-01"}, "metrics": {"costMicros": "5500000"}}
    wanted = expected({("7", "2026-11-01"): "5.5"})
    for content in (
        json.dumps(row) + "\n",
        json.dumps([row]),
        json.dumps({"results": [row], "fieldMask": "x"}),
        json.dumps([{"results": [row]}]),
        json.dumps({"_airbyte_ab_id": "x", "_airbyte_data": row}) + "\n",
        json.dumps({"type": "RECORD", "record": {"stream": "s", "data": row}}) + "\n",
        "_airbyte_ab_id,_airbyte_data\nx," + '"' + json.dumps(row).replace('"', '""') + '"\n',
    ):
        reading = read(content, None)
        assert (units(reading), reading.platform, reading.unit) == (wanted, "google_ads", "micros")


def test_json_ids_keep_all_digits_and_its_decimals_have_a_point() -> None:
    content = '{"data":[{"campaign_id":120210000000000101,"spend":"1.234","date_start":"2026-11-01","date_stop":"2026-11-01"}]}'
    assert units(read(content)) == expected({("120210000000000101", "2026-11-01"): "1.234"})


def test_linkedins_api_gives_days_in_parts() -> None:
    start = {"year": 2026, "month": 11, "day": 1}
    row = {
        "dateRange": {"start": start, "end": start},
        "pivotValues": ["urn:li:sponsoredCampaign:312"],
        "costInLocalCurrency": "5.5",
    }
    assert units(read(json.dumps({"elements": [row]}), "linkedin")) == expected({("312", "2026-11-01"): "5.5"})


def test_a_file_of_another_kind_than_its_name_says_is_read_as_what_it_is() -> None:
    assert units(read(ROWS, name="report.xls")) == TOTALS
    assert units(read(packed(r_csv=ROWS), name="report.csv")) == TOTALS


def test_questions_are_invalid_values_of_the_file() -> None:
    assert (question(ROWS, None).field, Question.__mro__[1].__name__) == ("file", "InvalidValue")


def test_rows_that_outlive_their_stream_end_without_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", faults.append)
    path = tmp_path / "a.csv"
    path.write_text("campaign_id,date,spend\n" * 10_000)
    with path.open("rb") as stream:
        rows = delimited_tables(stream)[0].rows()
        next(rows)
    del rows
    gc.collect()
    assert faults == []


def test_named_encoding_is_used_however_the_bytes_look() -> None:
    rows = f"キャンペーン,Campaign ID,Day,Cost\n{'日本語' * 40},7,2026-11-01,5.50\n".encode("utf-16-le")
    assert "name its encoding" in refusal(rows)
    assert units(read(rows, encoding="utf-16-le")) == expected({("7", "2026-11-01"): "5.5"})
    assert "contains NUL bytes" in refusal(rows, encoding="cp1252")


@pytest.mark.parametrize("encoding", ["x", "hex", "utf-8\0"])
def test_encoding_that_python_does_not_read_is_refused(encoding: str) -> None:
    assert "name an encoding such as utf-8" in refusal(ROWS, encoding=encoding)
