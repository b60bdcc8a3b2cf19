"""A file's bytes as tables: text, workbook or JSON, packed or not."""

import gzip
import importlib
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, BinaryIO, Final, cast

from app.imports.answers import ReadOptions, Refused
from app.imports.forms.delimited import delimited_tables
from app.imports.forms.json_tables import json_table, unwrapped
from app.imports.forms.workbooks import workbook_tables
from app.imports.tables import Table
from domain.errors import InvalidValue
from runtime.formats import first_of

MAX_UNPACKED: Final = 4 * 1024**3
IN_MEMORY: Final = 8 * 1024 * 1024


def _zstd_errors() -> tuple[type[Exception], ...]:
    """The exception for bad Zstandard data; none before Python 3.14, whose zipfile is the first to unpack it."""
    try:
        return (importlib.import_module("compression.zstd").ZstdError,)
    except ImportError:
        return ()


_BAD_DATA: Final[tuple[type[Exception], ...]] = (
    *(EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile),
    *_zstd_errors(),
)
_DAMAGED: Final = ("the archive is cut off or damaged", "download it again")
_REFUSED: Final = (
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89PNG", "a picture"),
    (b"Obj\x01", "an Avro file"),
    (b"SQLite", "a database"),
)
_PAGES: Final = (b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta", b"<head", b"<body", b"<!--")
_PANIC: Final = "PanicException"
"""The name of the exception of a panic in a library written in Rust. It is no Exception and cannot be imported."""

_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"

_JUNK: Final = ("__MACOSX", ".DS_Store")

FILES_NAMED: Final = 5
"""Files of an archive that an error message names, at most."""


@contextmanager
def tables_of(stream: BinaryIO, options: ReadOptions) -> Iterator[list[Table]]:
    """The tables that the bytes can be read as, to be read within the block.

    Raises Refused if there are none; its text names the kind of file and a remedy. Any other exception within the block
    becomes Refused too, except OSError and MemoryError, so that one odd file stops nothing else.
    """
    try:
        with unpacked(stream) as plain:
            yield _tables(plain, options)
    except (InvalidValue, OSError, MemoryError):
        raise
    except BaseException as error:
        name = type(error).__name__
        if not isinstance(error, Exception) and name != _PANIC:
            raise
        raise Refused(f"cannot be read: {name}", "export it again, or as CSV") from error


def _tables(stream: BinaryIO, options: ReadOptions) -> list[Table]:
    stream.seek(0)
    start = stream.read(1024)
    if not start.strip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"):
        raise Refused("is empty", "export it again")
    for mark, kind in _REFUSED:
        if start.startswith(mark):
            raise Refused(f"is {kind}", "export it as CSV or XLSX")
    text = start.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if text.lower().startswith(_PAGES):
        raise Refused(
            "is a web page (HTML or XML), whatever its name says", "save it as XLSX or CSV in the spreadsheet"
        )
    if start.startswith((_ZIP, b"\xd0\xcf\x11\xe0")):
        return workbook_tables(stream)
    if text[:1] == b"{" or (text[:1] == b"[" and text[1:].lstrip()[:1] in {b"{", b"[", b"]"}):
        return [json_table(stream)]
    return unwrapped(delimited_tables(stream, options.encoding))


@contextmanager
def unpacked(stream: BinaryIO, depth: int = 0) -> Iterator[BinaryIO]:
    """The stream itself, or the one file that it packs by zip or gzip, up to three deep. Workbooks stay packed.

    Raises Refused for archives that are damaged, have a password, unpack to over 4 GB, or do not pack one file.
    """
    stream.seek(0)
    start = stream.read(4)
    stream.seek(0)
    if start[:2] == b"\x1f\x8b" and depth < 3:
        with _copied(cast("IO[bytes]", gzip.GzipFile(fileobj=stream))) as inner, unpacked(inner, depth + 1) as plain:
            yield plain
    elif start in {_ZIP, _EMPTY_ZIP} and depth < 3:
        with _archive(stream) as archive:
            name = _member(archive)
            if name is None:
                yield stream
                return
            with archive.open(name) as packed, _copied(packed) as inner, unpacked(inner, depth + 1) as plain:
                yield plain
    else:
        yield stream


@contextmanager
def _archive(stream: BinaryIO) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(stream) as archive:
            yield archive
    except zipfile.BadZipFile:
        raise Refused("is a damaged or half-written zip archive", "download it again") from None
    except NotImplementedError as error:
        raise Refused(f"the zip archive cannot be unpacked: {error}", "unpack it first") from None


def _member(archive: zipfile.ZipFile) -> str | None:
    """The name of the one file in an archive; None for a workbook, which is an archive too.

    Raises Refused for no file or several files, and for an archive with a password.
    """
    names = [
        info for info in archive.infolist() if not info.is_dir() and not any(junk in info.filename for junk in _JUNK)
    ]
    if any(info.filename in {"[Content_Types].xml", "mimetype", "content.xml"} for info in names):
        return None
    if not names:
        raise Refused("the zip archive contains no file", "export it again")
    if len(names) > 1:
        inside = first_of([PurePosixPath(info.filename).name for info in names], FILES_NAMED)
        raise Refused(f"the zip archive contains {len(names)} files ({inside})", "unpack it and import each file alone")
    if names[0].flag_bits & 1:
        raise Refused("the archive has a password", "unpack it first")
    return names[0].filename


@contextmanager
def _copied(packed: IO[bytes]) -> Iterator[BinaryIO]:
    """An unpacked copy, in memory while it is small. Raises Refused beyond MAX_UNPACKED bytes, and for damaged data."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as copy:
        try:
            while chunk := packed.read(1 << 20):
                copy.write(chunk)
                if copy.tell() > MAX_UNPACKED:
                    raise Refused("unpacks to over 4 GB", "split it")
        except _BAD_DATA:
            raise Refused(*_DAMAGED) from None
        except OSError as error:
            if error.errno is None:  # bz2 raises it for bad data
                raise Refused(*_DAMAGED) from None
            raise
        copy.seek(0)
        yield copy  # type: ignore[misc]
