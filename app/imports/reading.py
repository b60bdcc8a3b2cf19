"""Reads a platform's file: evidence first, decisions from it, then exact sums. Nothing is written anywhere."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import BinaryIO, Final, cast

from app.imports.answers import Choice, Question, Reading, ReadOptions, Refused
from app.imports.attempt import Source, attempt, filled
from app.imports.forms.files import tables_of
from app.imports.headings.layout import layout_of
from app.imports.tables import Progress, Table

PASSES: Final = 3
"""Times that a file's bytes are read: for its hash, its evidence and its sums."""

_PROVEN_BY_REFUSAL: Final = frozenset({"decimal sign", "unit", "order of day and month", "spend"})
"""Questions that are settled where every other reading is refused, such as by a totals row."""

MAX_ANSWERS: Final = 4
MAX_CHOICES: Final = 6


def read_file(
    source: Path | BinaryIO, name: str, options: ReadOptions, modified_at: datetime, progress: Progress | None = None
) -> Reading:
    """Reads a file, by its path or as a binary stream that can seek. `name` is the one that people know it by.

    Raises Refused, or Question where a person has to choose between readings, each with its sums and days.
    """
    with _opened(source, progress) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        try:
            with tables_of(stream, options) as tables:
                return _read(tables, options, Source(PurePath(name).name, modified_at, digest))
        except Refused as error:
            raise Refused(error.reason, error.fix) from None


def _read(tables: Sequence[Table], options: ReadOptions, source: Source, answers: int = 0) -> Reading:
    """Reads the tables; a question is raised with the sums of each of its readings, or settled where one is left."""
    try:
        return attempt(layout_of(tables, options), options, source)
    except Question as question:
        is_filled = any(one.sum_micros is not None for one in question.readings)
        if is_filled or answers >= MAX_ANSWERS or len(question.readings) > MAX_CHOICES:
            raise
        return _settle(question, tables, options, source, answers)


def _settle(question: Question, tables: Sequence[Table], options: ReadOptions, source: Source, answers: int) -> Reading:
    """Reads the file under each answer. Raises the question with what each comes to."""
    read: list[Reading] = []
    choices: list[Choice] = []
    refused: Refused | None = None
    for choice in question.readings:
        try:
            reading = _read(tables, choice.apply(options), source, answers + 1)
        except Refused as error:
            refused = error
        except Question as inner:
            choices += [_joined(choice, one) for one in inner.readings]
        else:
            read.append(reading)
            choices.append(filled(choice, reading))
    if not choices and refused is not None:
        raise refused
    if question.about in _PROVEN_BY_REFUSAL and len(choices) == len(read) > 0:
        is_proven = len(read) == 1 and len(question.readings) > 1
        if is_proven or all(dict(one.totals) == dict(read[0].totals) for one in read[1:]):
            return replace(read[0], options=options)
    raise Question(question.about, choices, question.why)


def _joined(outer: Choice, inner: Choice) -> Choice:
    """An answer to two questions at once."""
    return replace(inner, label=f"{outer.label}, {inner.label}", settles={**outer.settles, **inner.settles})


@contextmanager
def _opened(source: Path | BinaryIO, progress: Progress | None) -> Iterator[BinaryIO]:
    if isinstance(source, Path):
        with source.open("rb") as stream:
            yield _watched(stream, progress)
    else:
        source.seek(0)
        yield _watched(source, progress)


def _watched(stream: BinaryIO, progress: Progress | None) -> BinaryIO:
    return stream if progress is None else cast("BinaryIO", _Watched(stream, progress))


class _Watched(io.BufferedIOBase):
    """A stream that reports how many of the bytes of all passes have been read."""

    def __init__(self, stream: BinaryIO, progress: Progress) -> None:
        self._stream, self._progress = stream, progress
        self._all = stream.seek(0, io.SEEK_END) * PASSES
        self._done = stream.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self._done = min(self._done + len(data), self._all)
        self._progress(self._done, self._all)
        return data

    def read1(self, size: int = -1) -> bytes:
        return self.read(size)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
