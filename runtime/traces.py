"""Makes the spans of this process and sends them to a collector by OTLP over HTTP.

Standard OTEL_* variables set the collector's address and the share of traces that are sampled.

Only `runtime.tracing` imports this module: OpenTelemetry is an optional dependency.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

STOP_SECONDS: Final = 3.0
"""The longest wait for the collector when a process ends, in seconds: a collector that hangs must not delay a stop."""


class Traces:
    """Makes spans and sends them from a thread. `service`: the process's kind, such as `worker`."""

    def __init__(self, service: str) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or f"spendgate-{service}"
        resource = Resource.create({"service.name": name, "service.version": metadata.version("spendgate")})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("spendgate")

    def stop(self) -> None:
        """Sends the last spans, and waits for that at most STOP_SECONDS."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)

    @contextmanager
    def span(
        self,
        name: str,
        kind: str,
        parents: Sequence[str],
        links: Sequence[str],
        attributes: Mapping[str, str | int],
    ) -> Iterator[object]:
        """Makes a span around the block, a child of the first sampled parent, or of the first if none is sampled.

        With several parents, it has links to all of them, besides `links`. Without parents, it is a child of the
        current span; without that too it begins a trace. `kind`: a name of `SpanKind`. `parents`, `links`: headers
        `traceparent`.
        """
        contexts = sorted(map(_context_of, parents), key=lambda one: not one.trace_flags.sampled)
        linked = [*(contexts if len(contexts) > 1 else ()), *map(_context_of, links)]
        with self._tracer.start_as_current_span(
            name,
            trace.set_span_in_context(NonRecordingSpan(contexts[0]), Context()) if contexts else None,
            SpanKind[kind.upper()],
            attributes,
            [Link(one) for one in linked],
        ) as started:
            yield started

    @staticmethod
    def describe(name: str | None, attributes: Mapping[str, str | int]) -> None:
        """Sets attributes of the current span, and renames it unless `name` is None."""
        current = trace.get_current_span()
        if name is not None:
            current.update_name(name)
        current.set_attributes(attributes)

    @staticmethod
    def is_recording() -> bool:
        """Whether there is a current span that is recorded, so that it is sent."""
        return trace.get_current_span().is_recording()

    @staticmethod
    def traceparent() -> str | None:
        """The current span in the form of the header `traceparent`; None without a span."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
