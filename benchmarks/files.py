"""Measures how fast platforms' files are read into totals, by processor time, and in how much memory."""

import csv
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from subprocess import run
from time import process_time
from typing import Final

import python_calamine
import xlsxwriter

from app.imports.answers import ReadOptions
from app.imports.reading import read_file

ROWS: Final = 200_000
LARGE_BYTES: Final = 100_000_000
ALLOWED_MEGABYTES: Final = 200
HEADINGS: Final = ("date", "campaign_id", "campaign_name", "device", "currency", "impressions", "clicks", "spend")
_READ_AT: Final = datetime(2026, 11, 29, tzinfo=UTC)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="spendgate-benchmark-files-")


@cache
def _rows() -> list[tuple[str, ...]]:
    chance = Random(1)
    rows: list[tuple[str, ...]] = []
    for _ in range(ROWS):
        campaign, day = chance.randrange(2_000), chance.randrange(336)
        spend = f"{chance.randrange(10**7) / 100:.2f}"
        counts = str(chance.randrange(100_000)), str(chance.randrange(1_000))
        name = f"Campaign number {campaign}"
        rows.append(
            (
                f"2025-{day // 28 + 1:02}-{day % 28 + 1:02}",
                str(21_000_000_000 + campaign),
                name,
                "MOBILE",
                "USD",
                *counts,
                spend,
            )
        )
    return rows


@cache
def csv_file(least_bytes: int) -> Path:
    """Writes a CSV file of ROWS rows, repeated with other campaigns until it has `least_bytes`; returns its path."""
    path = Path(_folder().name) / f"{least_bytes}.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADINGS)
        for copy in range(1_000):
            writer.writerows((day, f"{campaign}{copy}", *rest) for day, campaign, *rest in _rows())
            if stream.tell() >= least_bytes:
                break
    return path


@cache
def workbook() -> Path:
    """Writes a workbook of ROWS rows; returns its path."""
    path = Path(_folder().name) / "rows.xlsx"
    with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADINGS)
        for place, row in enumerate(_rows(), start=1):
            sheet.write_row(place, 0, [*row[:5], int(row[5]), int(row[6]), float(row[7])])
    return path


def rates(path: Path, plain: Callable[[Path], None]) -> tuple[float, float]:
    """Measures rows a second of processor time: rows that Spendgate reads into totals, and rows that `plain` reads."""
    started = process_time()
    plain(path)
    between = process_time()
    reading = read_file(path, path.name, ReadOptions(platform="google_ads"), _READ_AT)
    ended = process_time()
    return reading.rows / (ended - between), reading.rows / (between - started)


def plain_csv(path: Path) -> None:
    """Reads all rows of a CSV file and discards them."""
    with path.open(newline="", encoding="utf-8") as stream:
        for _ in csv.reader(stream):
            pass


def plain_workbook(path: Path) -> None:
    """Reads all rows of a workbook and discards them."""
    sheet = python_calamine.CalamineWorkbook.from_path(path).get_sheet_by_index(0)
    for _ in sheet.iter_rows():
        pass


def peak_megabytes(env: Mapping[str, str]) -> float:
    """Measures the peak memory, in MiB, of a process that imports a CSV file of at least LARGE_BYTES."""
    return _peak(csv_file(LARGE_BYTES), env)


def peak_megabytes_of_workbook(env: Mapping[str, str]) -> float:
    """Measures the peak memory, in MiB, of a process that imports the workbook of ROWS rows."""
    return _peak(workbook(), env)


def _peak(path: Path, env: Mapping[str, str]) -> float:
    result = run([sys.executable, "-m", "benchmarks.files", str(path)], check=True, capture_output=True, env=dict(env))
    return float(result.stderr.split()[-1])


def _import(path: str) -> None:
    """Imports a file as `spendgate import` does, and prints the peak memory of this process, in MiB."""
    from cli.main import app  # noqa: PLC0415 - a process of its own

    named = ("--create-campaigns", "--brand", path, "--time-zone", "UTC", "--yes", "--json")
    app(["import", path, "--platform", "google_ads", *named], standalone_mode=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)


if __name__ == "__main__":
    _import(sys.argv[1])
