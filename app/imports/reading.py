"""Reads a platform's file: evidence first, decisions from it, then exact sums. Nothing is written anywhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import BinaryIO, Final, cast

from app.imports.answers import ABOUT_PLATFORM, Changed, Choice, Question, Reading, ReadOptions, Refused
from app.imports.attempt import attempt, filled
from app.imports.decided import FileFacts
from app.imports.forms.files import tables_of
from app.imports.headings.layout import layout_of
from app.imports.streams import FixedSize
from app.imports.sums.sum_rows import ABOUT_SUMS
from app.imports.tables import Progress, Table

_PROVEN_BY_REFUSAL: Final = frozenset({"decimal sign", "unit", "order of day and month", "spend", ABOUT_SUMS})
"""Questions that need no person if all readings but one are refused, as by a totals row, or all give equal totals."""

MAX_ANSWERS: Final = 4
"""Questions that one trial reading answers, at most; the choices of a further question have no sums."""

MAX_CHOICES: Final = 6
"""Choices of a question that are tried, at most; the choices of a question with more have no sums."""


def read_file(
    source: Path | BinaryIO, name: str, options: ReadOptions, modified_at: datetime, progress: Progress | None = None
) -> Reading:
    """Reads a file, given by its path or as a binary stream that can seek, and returns its reading.

    `name`: the file's name, which may tell its platform. `modified_at`: when its figures were true if neither options
    nor file say so. `progress`: called with the bytes read and the bytes to read in all. Raises Refused, or Question if
    a person has to choose between readings, with the sums and days of each if these can be computed. Raises Changed in
    place of any result or error if the file was written to meanwhile.
    """
    with _opened(source, progress) as stream:
        digest = stream.sha256()
        try:
            with tables_of(cast("BinaryIO", stream), options) as tables:
                return _read(tables, options, FileFacts(PurePath(name).name, modified_at, digest))
        except Refused as error:
            raise Refused(error.reason, error.fix) from None
        finally:
            if stream.sha256() != digest or stream.has_other_size():
                raise Changed


def _read(tables: Sequence[Table], options: ReadOptions, file: FileFacts, answers: int = 0) -> Reading:
    """Reads the tables. Raises Refused, or Question with the sums of each choice, if these could be computed.

    `answers`: the number of questions already answered for this trial reading, at most MAX_ANSWERS.
    """
    try:
        return attempt(layout_of(tables, options), options, file)
    except Question as question:
        is_filled = any(one.sum_micros is not None for one in question.readings)
        if is_filled or answers >= MAX_ANSWERS or len(question.readings) > MAX_CHOICES:
            raise
        return _settle(question, tables, options, file, answers)


def _settle(
    question: Question, tables: Sequence[Table], options: ReadOptions, file: FileFacts, answers: int
) -> Reading:
    """Reads the file under each choice, and raises the question with the sums of each.

    Returns a reading instead if the question is in _PROVEN_BY_REFUSAL and no other choice gives other totals. Raises
    Refused if every choice is refused. `answers`: the number of questions already answered for this trial.
    """
    read: list[Reading] = []
    choices: list[Choice] = []
    refused: Refused | None = None
    without_platform: list[tuple[Choice, Question]] = []
    for choice in question.readings:
        try:
            reading = _read(tables, choice.apply(options), file, answers + 1)
        except Refused as error:
            refused = error
        except Question as inner:
            if inner.about == ABOUT_PLATFORM:
                # The platform changes neither sums nor days, so it is asked after this question, not together with it.
                same = inner.readings[0]
                told = replace(choice, sum_micros=same.sum_micros, first_day=same.first_day, last_day=same.last_day)
                choices.append(told)
                without_platform.append((told, inner))
            else:
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
    if len(choices) == len(without_platform) == 1 and question.about in _PROVEN_BY_REFUSAL:
        ((only, platforms),) = without_platform
        raise Question(platforms.about, [_joined(only, one) for one in platforms.readings], platforms.why)
    unknown = "; its platform is not known either: say --platform NAME" if without_platform else ""
    raise Question(question.about, choices, f"{question.why}{unknown}")


def _joined(outer: Choice, inner: Choice) -> Choice:
    """A choice that answers two questions: `outer` a first one, and `inner` the one that follows from that answer.

    Its sums and days are those of `inner`.
    """
    return replace(inner, label=f"{outer.label}, {inner.label}", settles={**outer.settles, **inner.settles})


@contextmanager
def _opened(source: Path | BinaryIO, progress: Progress | None) -> Iterator[FixedSize]:
    if isinstance(source, Path):
        with source.open("rb") as stream:
            yield FixedSize(stream, progress)
    else:
        yield FixedSize(source, progress)
