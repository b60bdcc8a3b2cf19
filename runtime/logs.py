"""Structured logs, also of libraries: the service's processes write lines to stdout, by default JSON objects."""

import json
import logging
import os
import re
import select
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final, NamedTuple, TextIO

import structlog
from structlog.tracebacks import Trace, extract
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from runtime import clock, tracing
from runtime.log_hooks import LogHook
from runtime.repeats import Repeats
from runtime.settings import settings

MAX_FIELD_CHARACTERS = 2_000
CHATTY = ("periodiq", "alembic", "uvicorn.error", "httpx", "httpcore")
"""Loggers of libraries that log routine steps at level info; only their warnings and errors are written."""

MAX_FRAMES: Final = 20
MANY_LINES: Final = 20
"""The number of lines from which `info_each` writes JSON lines in batches."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=str)
_lines_are_json = False
_LEVEL_WIDTH: Final = len("critical")
_COLOURS: Final = {"debug": 36, "info": 32, "warning": 33, "error": 31, "critical": 31}

# Characters that break a line, move a terminal's cursor or reverse the direction of text.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class _DescriptorHandler(logging.Handler):
    """Writes each line in one system call to descriptor 1 or 2, because Dramatiq replaces sys.stdout by a pipe."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - a log that fails must not stop the work
            self.handleError(record)

    def write(self, lines: bytes) -> None:
        """Writes `lines` to the descriptor in one system call; each line ends with a newline."""
        os.write(self.descriptor, lines)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        """Writes a line that says that a line could not be written; the inherited method may raise RecursionError."""
        line = {"event": "log.not_written", "level": "error", "logger": record.name, "at": _moment()}
        with suppress(OSError):
            os.write(self.descriptor, f"{json.dumps(line)}\n".encode())


def info_each(event: str, name: str, several: Sequence[tuple[dict[str, Any], Sequence[int]]]) -> None:
    """Logs a line at level info for each integer of `several`, which has pairs (fields, integers).

    A line has the fields of its pair and the integer as the field `name`, as if logged by
    `structlog.get_logger().info(event, **fields | {name: integer})`. From MANY_LINES on, JSON lines cost a small part
    of that: equal fields are rendered once, and lines are written in batches of at most PIPE_BUF bytes, which a pipe
    keeps whole.
    """
    handlers = logging.getLogger().handlers
    handler = handlers[0] if len(handlers) == 1 else None
    processors = structlog.get_config()["processors"]
    is_hooked = any(isinstance(one, LogHook) for one in processors)
    is_plain = (
        _lines_are_json and not is_hooked and processors[-1] is structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    )
    lines = sum(len(values) for _, values in several)
    if not is_plain or not isinstance(handler, _DescriptorHandler) or lines < MANY_LINES:
        log = structlog.get_logger()
        for fields, values in several:
            for value in values:
                log.info(event, **fields | {name: value})
    elif logging.getLogger().isEnabledFor(logging.INFO):
        common: EventDict = {**structlog.contextvars.get_contextvars(), "event": event, "level": "info"}
        common = tracing.log_fields(None, "info", _stamped(None, "info", common))
        with suppress(OSError):
            for batch in _batches(chain.from_iterable(_lines_of(common, name, *one) for one in several)):
                handler.write(batch)


def _lines_of(common: EventDict, name: str, fields: dict[str, Any], values: Sequence[int]) -> Iterator[str]:
    """Renders the line of the first value, and the others by exchanging that value in its text."""

    def rendered(value: int) -> str:
        return _json(dict(_truncated(None, "info", {**fields, name: value, **common})))

    field = f'"{name}": '
    before, exchanged, after = rendered(values[0]).partition(f"{field}{values[0]},")
    if not exchanged or field in after:  # another field's value contains the name: a text within lists or dicts
        return map(rendered, values)
    return (f"{before}{field}{value},{after}" for value in values)


def _batches(lines: Iterable[str]) -> Iterator[bytes]:
    """Encodes lines and joins them into batches of at most PIPE_BUF bytes; a longer line is a batch of its own."""
    batch, size = list[bytes](), 0
    for encoded in (f"{line}\n".encode("utf-8", "backslashreplace") for line in lines):
        if batch and size + len(encoded) > select.PIPE_BUF:
            yield b"".join(batch)
            batch, size = [], 0
        batch.append(encoded)
        size += len(encoded)
    if batch:
        yield b"".join(batch)


class _Traceback(NamedTuple):
    """The lines of an exception for people: one for each frame and each message."""

    lines: list[str]


def configure_for_command() -> None:
    """Configures logs for a command run by a person: only errors, in the console format, on stderr."""
    _configure(logging.ERROR, "console", sys.stderr)


def configure() -> None:
    """Configures all loggers, structlog's and the standard library's, to write lines in LOG_FORMAT to stdout.

    Raises SettingsError for a bad setting, or if SPENDGATE_LOG_HOOK names no function that can be imported.
    """
    read = settings()
    hooks = [] if read.log_hook is None else [LogHook.named(read.log_hook)]
    _configure(logging.getLevelNamesMapping()[read.log_level], read.log_format, sys.stdout, hooks)
    logging.captureWarnings(capture=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def _configure(level: int, log_format: str, out: TextIO, hooks: Sequence[Processor] = ()) -> None:
    global _lines_are_json  # noqa: PLW0603 - one configuration for the process
    _lines_are_json = log_format != "console"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _stamped,
        tracing.log_fields,
        *hooks,
        _truncated,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _DescriptorHandler(2 if out is sys.stderr else 1)
    handler.addFilter(Repeats())
    renderers = _renderers(log_format, colours=out.isatty())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _third_party],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)


def _renderers(log_format: str, *, colours: bool) -> list[Processor]:
    if log_format == "console":
        return [structlog.processors.ExceptionRenderer(_traceback), _ForPeople(colours=colours)]
    dictionaries = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=MAX_FRAMES)
    return [structlog.processors.ExceptionRenderer(dictionaries), structlog.processors.JSONRenderer(_json)]


def _json(event: dict[str, Any], **_options: Any) -> str:
    """Renders an event as one line of JSON; a value that JSON cannot express becomes its text."""
    try:
        line = _ENCODER.encode(event)
    except (TypeError, ValueError, RecursionError):  # keys that are not strings, or a value that contains itself
        line = json.dumps({name: value if isinstance(value, str) else repr(value) for name, value in event.items()})
    return _escaped(line)


class _ForPeople:
    """Renders an event as one line for people, followed by indented lines for its exception."""

    def __init__(self, *, colours: bool) -> None:
        self.colours = colours

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        at, level, name = (str(event.pop(field, "")) for field in ("at", "level", "event"))
        below = event.pop("exception").lines if isinstance(event.get("exception"), _Traceback) else []
        fields = "".join(f" {field}={_format_value(value)}" for field, value in event.items())
        coloured = self._coloured(level)
        return "\n    ".join([f"{_escaped(at)} {coloured} {_escaped(name + fields)}", *map(_escaped, below)])

    def _coloured(self, level: str) -> str:
        padded = f"{level:{_LEVEL_WIDTH}}"
        return f"\x1b[{_COLOURS[level]}m{padded}\x1b[0m" if self.colours and level in _COLOURS else _escaped(padded)


def _format_value(value: object) -> str:
    return value if isinstance(value, str) and not set(value) & set(" \t=\r\n\"'") else repr(value)


def _escaped(text: str) -> str:
    """Escapes line breaks and terminal control characters as \\uXXXX; JSON keeps its meaning."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _traceback(exc_info: ExcInfo) -> _Traceback:
    return _Traceback(list(_lines(extract(*exc_info, show_locals=False))))


def _lines(trace: Trace) -> Iterator[str]:
    """Yields the lines of an exception, its root cause first, without the values of variables."""
    for stack in reversed(trace.stacks):
        for frame in stack.frames[-MAX_FRAMES:]:
            yield f"{frame.filename}:{frame.lineno} in {frame.name}"
        yield f"{stack.exc_type}: {stack.exc_value}"
        for part in stack.exceptions:
            yield from _lines(part)


def _stamped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["at"] = _moment()
    return event


def _moment() -> str:
    return clock.read().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _truncated(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MAX_FIELD_CHARACTERS:
            event[name] = value[:MAX_FIELD_CHARACTERS] + "…"
    return event


def _third_party(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Moves a library's text to the field `message` and sets `event` to `library.NAME`, a stable name."""
    record = event.get("_record")
    event["message"] = event["event"]
    event["logger"] = getattr(record, "name", "")
    event["event"] = f"library.{str(event['logger']).split('.', maxsplit=1)[0]}"
    return event
