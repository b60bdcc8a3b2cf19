"""Measures throughput with every message traced, and runs the collector that takes the spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import msgspec

from benchmarks import ingest, workload
from benchmarks.ingest import Batches
from benchmarks.stage import BenchStage


class _Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Takes an export and forgets it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@contextmanager
def collecting() -> Iterator[dict[str, str]]:
    """Runs a collector during the block; yields the environment for processes that send their spans to it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"SPENDGATE_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    finally:
        server.shutdown()
        server.server_close()


def traced(messages: list[bytes]) -> list[bytes]:
    """The messages, each with the `traceparent` of a sender that records its span."""
    decoded = map(msgspec.json.decode, messages)
    return [
        msgspec.json.encode({**one, "options": {"traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"}})
        for one in decoded
    ]


def ingested(stage: BenchStage, batches: Batches, warm: Batches, *, is_on: bool) -> float:
    """Measures events a second by workers with traces (`is_on`) or without; the senders of messages record spans."""
    ready = traced(workload.messages(batches))
    with collecting() as settings, stage.using(settings if is_on else {}), stage.copied() as observer, stage.workers():
        stage.put(traced(workload.messages(warm)))
        stage.until_done()
        seconds = stage.seconds_for(ready)
        ingest.check(observer, sum(map(len, batches)) + sum(map(len, warm)))
    return sum(map(len, batches)) / seconds
