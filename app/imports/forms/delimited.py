"""Delimited text: rows by any of four delimiters, read strictly, so that no quote swallows the rows behind it."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from app.imports.answers import Refused
from app.imports.forms.encodings import NO_TEXT, SAMPLE, Encoding, encoding_of
from app.imports.tables import Table

DELIMITERS: Final = (",", ";", "\t", "|")


def delimited_tables(stream: BinaryIO, encoding: str | None = None) -> list[Table]:
    """The text as one table for each of DELIMITERS, in this order.

    `encoding` None: it is detected. Raises Refused for an `encoding` that Python does not know, for data in no known
    encoding, and for data that is no text.
    """
    found = encoding_of(stream) if encoding is None else _chosen(stream, encoding)
    name = found.name
    told = f"{name} (by its letters)" if found.is_guessed else name
    ends_open = not _ends_with_line_end(stream, name)
    return [Table(_Delimited(stream, name, one), "csv", told, ends_open=ends_open) for one in DELIMITERS]


def _chosen(stream: BinaryIO, name: str) -> Encoding:
    """The encoding that a person named; how the stream's bytes look does not matter, if they become text."""
    try:
        "".encode(name)
    except (LookupError, ValueError):  # ValueError: a name with a NUL
        raise Refused(f"cannot be read as {name[:40]!r}", "name an encoding such as utf-8, cp1252 or utf-16") from None
    stream.seek(0)
    if "\0" in stream.read(SAMPLE).decode(name, errors="ignore"):
        raise Refused(*NO_TEXT)
    return Encoding(name)


def _ends_with_line_end(stream: BinaryIO, encoding: str) -> bool:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 4))
    tail = stream.read(4)
    stream.seek(0)
    return (
        tail.rstrip(b"\0")[-1:] in {b"\n", b"\r"}
        if "16" in encoding or "32" in encoding
        else tail[-1:] in {b"\n", b"\r"}
    )


class _Delimited:
    """The rows of one text, split by one delimiter."""

    def __init__(self, stream: BinaryIO, encoding: str, delimiter: str) -> None:
        self._stream, self._encoding, self._delimiter = stream, encoding, delimiter

    def __call__(self) -> Iterator[tuple[int, Sequence[str]]]:
        self._stream.seek(0)
        text = io.TextIOWrapper(self._stream, encoding=self._encoding, errors="strict", newline="")
        reader = csv.reader(text, delimiter=self._delimiter, strict=True)
        line = 0
        try:
            for row in reader:
                if reader.line_num != line + 1:
                    self._check_cell_of_lines(row, line + 1)
                line = reader.line_num
                yield line, row
        except csv.Error as error:
            raise _refused(str(error), line + 1) from None
        except UnicodeDecodeError as error:
            raise Refused(
                f"line {line + 1} or a later one is not {self._encoding}", "export it as UTF-8, or name its encoding"
            ) from error
        finally:
            # Leaves the stream open. It is closed already if an exception kept this generator alive for longer.
            if not text.closed:
                text.detach()

    def _check_cell_of_lines(self, row: Sequence[str], line: int) -> None:
        """Raises Refused for a quoted cell of several lines with whole rows in it: its closing quote is missing."""
        for cell in row:
            if "\n" in cell and cell.count(self._delimiter) >= max(len(row) - 1, 2):
                raise Refused(
                    f"line {line} opens a quote that is not closed there, in {cell[:30]!r}", "export it again"
                )


def _refused(message: str, line: int) -> Refused:
    if "unexpected end" in message:
        return Refused(
            f"line {line} opens a quote that is never closed", "the file is cut off or damaged: export it again"
        )
    if "field limit" in message:
        return Refused(f"is no CSV file: line {line} has a cell of over 131,072 characters", "export it as CSV or XLSX")
    return Refused(f"line {line} has a quote in a place where CSV allows none ({message})", "export it again")
