"""A collector of traces on 127.0.0.1 that takes OTLP over HTTP and keeps the spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.cli.shell import Env


class Collector:
    """The spans of every process that exports to it, in the order of arrival."""

    def __init__(self, port: int) -> None:
        self.env: Env = {
            "SPENDGATE_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        self.services: set[str] = set()
        self._spans: list[Span] = []

    def take(self, body: bytes) -> None:
        """Decodes and keeps an export."""
        for exported in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services.update(
                one.value.string_value for one in exported.resource.attributes if one.key == "service.name"
            )
            self._spans += [span for scope in exported.scope_spans for span in scope.spans]

    def spans(self, trace_id: bytes = b"", name: str = "") -> list[Span]:
        """The spans so far, or those of one trace or of one name."""
        return [span for span in list(self._spans) if span.trace_id.startswith(trace_id) and name in {"", span.name}]


def attributes(span: Span) -> dict[str, Any]:
    """The attributes of a span by name."""
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Runs a collector during the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
