"""Structured logs: one JSON object a line on stdout from every process, third-party lines included."""

import logging
import os
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime import clock
from runtime.settings import settings

MAX_FIELD_CHARACTERS = 2_000
CHATTY = ("periodiq", "alembic", "uvicorn.error", "httpx", "httpcore")
"""Libraries that tell of each of their own steps: from these, what is a warning."""


class _StdoutHandler(logging.Handler):
    """Writes each line to the process's own stdout at once and whole.

    Dramatiq puts a pipe to its master's stderr in the place of sys.stdout; descriptor 1 stays what it was.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.write(1, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - logging never stops the work it tells of
            self.handleError(record)


def quiet() -> None:
    """For one command of a person: only what goes wrong is told, on stderr, beside the command's own output."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.ERROR, force=True)


def configure() -> None:
    """Sends every logger of the process, structlog's and the standard library's, to one line format on stdout."""
    read = settings()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _stamped,
        _truncated,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[read.log_level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _StdoutHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _third_party],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(read.log_format)],
        )
    )
    logging.basicConfig(handlers=[handler], level=read.log_level, force=True)
    logging.captureWarnings(capture=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def _renderers(log_format: str) -> list[Processor]:
    if log_format == "console":
        tracebacks = structlog.dev.RichTracebackFormatter(show_locals=False)
        colours = sys.stdout.isatty()
        return [structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="at", exception_formatter=tracebacks)]
    dictionaries = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
    )
    return [dictionaries, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]


def _stamped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["at"] = clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _truncated(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MAX_FIELD_CHARACTERS:
            event[name] = value[:MAX_FIELD_CHARACTERS] + "…"
    return event


def _third_party(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A library's prose becomes `message`, so that `event` stays a stable name."""
    record = event.get("_record")
    event["message"] = event["event"]
    event["logger"] = getattr(record, "name", "")
    event["event"] = f"library.{str(event['logger']).split('.', maxsplit=1)[0]}"
    return event
