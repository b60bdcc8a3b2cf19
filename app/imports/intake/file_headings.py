"""The headings of a file, shown to a person who chooses the columns."""

from typing import BinaryIO

from app.imports.answers import Question, ReadOptions, Refused
from app.imports.forms.files import tables_of
from app.imports.headings.layout import layout_of


def headings_in(stream: BinaryIO, options: ReadOptions) -> tuple[str, ...]:
    """The headings of the table that is read, from left to right; empty if none is found or several can be meant."""
    try:
        with tables_of(stream, options) as tables:
            found = layout_of(tables, options)
    except (Refused, Question):
        return ()
    return tuple(one.text for one in found.headings if one.text)
