"""Log events as the code writes them: names, levels and fields."""

import ast
import re
from dataclasses import dataclass, field
from functools import lru_cache

from docs.reference import source
from docs.reference.tables import UNDESCRIBED, Cells
from domain.notices.message_types import TEST_TYPE, MessageType

LEVELS = {
    **{name: name for name in ("debug", "info", "warning", "error", "critical")},
    "exception": "error",
    "info_each": "info",
}
EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
LIBRARIES = "library.*"
"""The name for log lines of third-party libraries: in the logs, the library's own event replaces the star."""


@dataclass
class LogEvent:
    """The levels and fields of one event's calls.

    `is_open`: a call passes fields that its source text does not name.
    """

    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)
    is_open: bool = False


@lru_cache(maxsize=1)
def log_events() -> dict[str, LogEvent]:
    """Every event that the code logs, by its name."""
    events: dict[str, LogEvent] = {LIBRARIES: LogEvent(is_open=True)}
    for name, call in filter(None, map(source.called, source.nodes())):
        if call.args and name in LEVELS:
            for event in filter(EVENT.fullmatch, source.constants(call.args[0])):
                _add(events.setdefault(event, LogEvent()), LEVELS[name], name == "exception", call)
    subjects = {event.partition(".")[0] for event in events}
    for text in filter(EVENT.fullmatch, source.texts()):
        if (
            text not in events
            and text not in _MESSAGE_TYPES
            and (text.partition(".")[0] in subjects or text in _NAMED_ELSEWHERE)
        ):
            events[text] = LogEvent(is_open=True)
    return {event: found for event, found in events.items() if not _NO_EVENT.fullmatch(event)}


_NAMED_ELSEWHERE = frozenset({"day.reset", "month.reset", "totals.ingested", "log.not_written"})
"""Events whose name reaches the call in a variable, and of whose subject no other event is logged."""

_MESSAGE_TYPES = frozenset({*MessageType, TEST_TYPE})
"""Types of webhook messages, which have the form of events. Those that are logged too are found by their calls."""

_NO_EVENT = re.compile(
    r".*\.(html|id|json|effective_status)|http\.(disconnect|route)|service\.(name|version)|library\.dramatiq"
)
"""Texts that look like events but are names of templates, columns, files, ASGI messages and attributes of spans."""


def _add(event: LogEvent, level: str, has_traceback: bool, call: ast.Call) -> None:
    event.levels.add(level)
    for keyword in call.keywords:
        if keyword.arg is None:
            event.is_open = True
        elif keyword.arg == "exc_info":
            has_traceback = True
        else:
            event.fields[keyword.arg] = None
    if len(call.args) > 1:
        event.is_open = True
    if has_traceback:
        event.fields["exception"] = None


def cells(name: str, written: Cells) -> Cells:
    """The cells of an event's row: level, fields and meaning. `written`: the row's present cells, empty for a new row.

    Keeps from `written` the meaning, and the level and fields that the source text does not name.
    """
    event = log_events()[name]
    level, fields, meaning = written or ["", "", UNDESCRIBED]
    if event.levels:
        level = ", ".join(sorted(event.levels))
    by_hand = [one for one in fields.split(", ") if one and event.is_open]
    return [level or UNDESCRIBED, ", ".join(dict.fromkeys([*by_hand, *event.fields])), meaning]
