"""Spans of SQL statements, with their text and without values."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Engine, event

from runtime import tracing

MAX_CHARACTERS: Final = 2_000


def round_trip(statements: Iterable[object]) -> AbstractContextManager[object]:
    """A span around a round trip to Postgres that sends these statements, with the first MAX_CHARACTERS of their text.

    Its name is the first word of the last statement, such as SELECT. Outside a recorded span, returns a context manager
    that does nothing, because the SQL of background threads would make a trace for each statement.
    """
    if not tracing.is_recording():
        return tracing.NOTHING
    texts = [_in_one_line(str(statement)) for statement in statements]
    name = texts[-1].partition(" ")[0].upper() if texts else "SQL"
    query = "; ".join(texts)[:MAX_CHARACTERS]
    return tracing.span(name, "client", attributes={"db.system.name": "postgresql", "db.query.text": query})


@lru_cache(maxsize=1_000)
def _in_one_line(statement: str) -> str:
    return " ".join(statement.split())


def trace_statements(engine: Engine) -> None:
    """Makes the engine trace SQL: each statement of SQLAlchemy gets a span while a recorded span is current.

    Does nothing if traces are off.
    """
    if not tracing.is_on():
        return
    event.listen(engine, "before_cursor_execute", _begin)
    event.listen(engine, "after_cursor_execute", _end)
    event.listen(engine, "handle_error", _fail)


def _begin(_connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    context.span = round_trip(map(_without_comments, [statement]))
    context.span.__enter__()


def _end(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    span, context.span = context.span, None
    span.__exit__(None, None, None)


def _fail(failure: Any) -> None:
    span = getattr(failure.execution_context, "span", None)
    if span is not None:
        failure.execution_context.span = None
        span.__exit__(None, None, None)


def _without_comments(statement: str) -> str:
    return "\n".join(line for line in statement.splitlines() if not line.strip().startswith("--"))
