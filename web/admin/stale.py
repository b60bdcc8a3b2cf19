"""Refuses a form that was opened before somebody else's edit, because it would undo that edit.

The form returns with the typed values. It is refused until the person opens it again, which puts a new mark (a hash of
the row's values) into it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection
from starlette.requests import Request

from db.repository.access import audit
from db.repository.access.audit import Edit
from runtime.formats import instant
from web.marks import edit_mark

FIELD: Final = "seen"
"""The form's hidden field: the mark (hash) of the values that people edit, as they were when it was opened."""


class EditedSince(Exception):
    """Raised for a row that was edited after the form was opened.

    `last`: the row's last edit; None if unknown. `sentence`: the error as the page shows it.
    """

    def __init__(self, last: Edit | None) -> None:
        super().__init__(last)
        author = "" if last is None else f", by {last.by} at {instant(last.at)}"
        self.sentence = f"It was edited since you opened it{author}. Nothing was saved; what you typed is still here."


async def mark_in_form(request: Request) -> str:
    """The mark in the form's hidden field; an empty text, which matches no row, if the form has none."""
    return str((await request.form()).get(FIELD) or "")


def check(
    connection: Connection,
    mark: str,
    now: Mapping[str, Any],
    set_by_people: Collection[str],
    subject: tuple[str, int],
) -> None:
    """Raises EditedSince if the row was edited since the form was opened. Call it under the row's lock.

    `mark`: the hash in the form. `now`: the row's present values, of which those named in `set_by_people` are compared.
    `subject`: the row's kind and id in the audit.
    """
    if mark != edit_mark(now, set_by_people):
        raise EditedSince(audit.last_edit(connection, *subject))
