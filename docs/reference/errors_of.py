"""Reasons of rejection and HTTP statuses that the code names."""

import ast
from functools import lru_cache
from http import HTTPStatus

from docs.reference import source
from docs.reference.tables import UNDESCRIBED, Cells
from domain.inputs.reasons import Reason

FAULT_CALLS = frozenset({"Fault", "keep", "keep_bytes"})


@lru_cache(maxsize=1)
def reasons() -> dict[str, str]:
    """The codes of all reasons of rejection, each with the thing that it rejects: `input` or (whole) `message`."""
    messages = [
        text
        for name, call in filter(None, map(source.called, source.nodes()))
        if name in FAULT_CALLS
        for argument in call.args
        for text in source.constants(argument)
        if text.replace("_", "").isalpha() and text.islower()
    ]
    return {**dict.fromkeys(messages, "message"), **dict.fromkeys(map(str, Reason), "input")}


@lru_cache(maxsize=1)
def statuses() -> frozenset[str]:
    """Every HTTP status from 400 on, as text, with which the code of the web process answers."""
    named = {
        node.attr
        for path in sorted((source.REPOSITORY / "web").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "HTTPStatus"
    }
    found = {HTTPStatus[name] for name in named if name in HTTPStatus.__members__}
    return frozenset(str(int(status)) for status in found if status >= HTTPStatus.BAD_REQUEST)


def names() -> frozenset[str]:
    """The code of every reason of rejection, and every HTTP status of an error."""
    return statuses() | reasons().keys()


def cells(name: str, written: Cells) -> Cells:
    """The cells of the row `name`: of a reason, `input` or `message` and the meaning; of a status, only the meaning.

    A person writes the meaning, which is kept from `written`, the row's present cells.
    """
    meaning = written[-1] if written else UNDESCRIBED
    return [meaning] if name in statuses() else [reasons()[name], meaning]
