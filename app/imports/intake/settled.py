"""Answers that people gave to questions about a file, offered again for the next file with equal headings."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy.exc import DBAPIError

from app.imports.answers import Choice, Question, Reading
from db.engine import snapshot
from db.repository.imports import mappings
from db.repository.imports.mappings import Settled
from domain.errors import InvalidValue
from runtime.formats import instant
from runtime.settings import SettingsError


@dataclass(frozen=True)
class Offer:
    """The choice of a question that a person made for an earlier file of the same layout."""

    choice: Choice
    settled: Settled

    @property
    def sentence(self) -> str:
        """A sentence with the chosen reading, its author and time."""
        return f"last time: {self.choice.label}, chosen by {self.settled.by} at {instant(self.settled.at)}"

    def named_in(self, question: Question) -> Question:
        """A copy of the question with the offer's sentence added to its reason."""
        return Question(question.about, question.readings, f"{question.why} ({self.sentence})")


def offered(question: Question, read: Callable[[Choice], Reading]) -> Offer | None:
    """The choice of the question that a person made before for the file's layout; None if not exactly one fits.

    `read`: reads the file under a choice, and raises InvalidValue if it cannot. None too if no choice can be read, or
    if the database cannot be read, because the offer is only a help.
    """
    layout = _layout(question, read)
    if layout is None:
        return None
    try:
        with snapshot() as connection:
            settled = mappings.of_layout(connection, layout)
    except (SettingsError, DBAPIError):
        return None
    if settled is None:
        return None
    fitting = [choice for choice in question.readings if _fits(choice.settles, settled.options)]
    return Offer(fitting[0], settled) if len(fitting) == 1 else None


def _layout(question: Question, read: Callable[[Choice], Reading]) -> str | None:
    """The hash of the file's headings, from any reading of it; None if no choice can be read."""
    for choice in question.readings:
        try:
            return read(choice).layout
        except Question as inner:
            both = replace(inner.readings[0], settles={**choice.settles, **inner.readings[0].settles})
            with suppress(InvalidValue):
                return read(both).layout
        except InvalidValue:
            continue
    return None


def _fits(settles: Mapping[str, object], options: Mapping[str, object]) -> bool:
    return all(_is_part(value, options.get(name)) for name, value in settles.items())


def _is_part(value: object, known: object) -> bool:
    if isinstance(value, Mapping) and isinstance(known, Mapping):
        return all(known.get(meaning) == heading for meaning, heading in value.items())
    return value == known
