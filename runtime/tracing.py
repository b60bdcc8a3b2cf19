"""Makes OpenTelemetry spans of requests, messages and SQL if SPENDGATE_TRACING is on; otherwise makes none.

`runtime.traces` imports OpenTelemetry; this module imports `runtime.traces` only when traces are on.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from runtime.settings import SettingsError, settings

if TYPE_CHECKING:
    from runtime.traces import Traces

Kind = Literal["internal", "server", "client", "producer", "consumer"]

Attributes = Mapping[str, str | int]
NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})
PACKAGES: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
NOTHING: Final[AbstractContextManager[object]] = nullcontext()
"""The context manager in place of a span in a process without traces; it does nothing."""


_traces: "Traces | None" = None


def require() -> None:
    """Raises SettingsError if SPENDGATE_TRACING is on and the packages of the extra `tracing` are not installed."""
    if settings().tracing and not all(map(_is_installed, PACKAGES)):
        raise SettingsError(
            "SPENDGATE_TRACING: needs more packages; install them with `pip install spendgate[tracing]`"
        )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even its parent
        return False


def start(service: str) -> None:
    """Starts the traces of this process, if they are on. Call it after the last fork: a thread sends the spans.

    `service`: the process's kind, such as `web`; traces show it as the service `spendgate-web`.
    """
    global _traces  # noqa: PLW0603 - one for the process
    if settings().tracing:
        from runtime.traces import Traces  # noqa: PLC0415 - imports OpenTelemetry

        _traces = Traces(service)


def stop() -> None:
    """Sends the last spans, for at most `runtime.traces.STOP_SECONDS`, and ends the traces of this process."""
    global _traces  # noqa: PLW0603 - one for the process
    if _traces is not None:
        _traces.stop()
        _traces = None


def is_on() -> bool:
    """Returns whether this process makes spans."""
    return _traces is not None


def span(
    name: str,
    kind: Kind = "internal",
    *,
    parents: Sequence[str] = (),
    links: Sequence[str] = (),
    attributes: Attributes = NO_ATTRIBUTES,
) -> AbstractContextManager[object]:
    """Returns a context manager that makes a span around its block; without traces in this process it does nothing.

    Within the block the span is the current one; it records an error of the block. `parents`: traceparents of the work
    that caused this block. A single one is the parent; of several, the first sampled one is, or else the first, and the
    span links to all. Empty: the current span is the parent. `links`: traceparents of other work that the block is done
    for.
    """
    return NOTHING if _traces is None else _traces.span(name, kind, parents, links, attributes)


def describe(name: str | None = None, attributes: Attributes = NO_ATTRIBUTES) -> None:
    """Sets attributes of the current span, and renames it unless `name` is None; does nothing without a span."""
    if _traces is not None:
        _traces.describe(name, attributes)


def is_recording() -> bool:
    """Returns whether there is a current span that is recorded, so that it is sent."""
    return _traces is not None and _traces.is_recording()


def traceparent() -> str | None:
    """Returns the current span in the form of the header `traceparent`, or None without a span."""
    return None if _traces is None else _traces.traceparent()


def is_traceparent(value: object) -> bool:
    """Returns whether the value is a valid `traceparent` of version 00."""
    return isinstance(value, str) and _TRACEPARENT.fullmatch(value) is not None


def is_sampled(traceparent: str) -> bool:
    """Returns whether the sender of a valid `traceparent` records its span."""
    return traceparent[-1] in "13579bdf"


def log_fields(_logger: object, _method: str, event: Any) -> Any:
    """Adds `trace_id` and `span_id` of the current span, if there is one, to a log line; a processor of structlog."""
    current = traceparent()
    if current is not None:
        _, event["trace_id"], event["span_id"], _ = current.split("-")
    return event
