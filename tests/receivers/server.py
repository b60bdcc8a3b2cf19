"""A receiver of webhooks on 127.0.0.1 that records each request and answers as the test says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request: its path, headers by lower-case name, and body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The body as JSON."""
        message: dict[str, Any] = json.loads(self.body)
        return message


@dataclass
class Answer:
    """The receiver's answer: a status with headers and a body, or whatever `instead` does with the connection."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    instead: Callable[[BaseHTTPRequestHandler], None] | None = None


class Receiver:
    """The requests that came in, and the answers: of each path one, or a function of the request."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.is_closed = threading.Event()
        self._received: list[Received] = []
        self._answers: dict[str, Callable[[Received], Answer]] = {}
        self._lock = threading.Lock()

    def answer(self, path: str, answer: Answer | Callable[[Received], Answer]) -> None:
        """Answers requests to the path so from now on."""
        with self._lock:
            self._answers[path] = answer if callable(answer) else lambda _: answer

    def received(self, path: str = "") -> list[Received]:
        """The requests so far, in the order in which they arrived; of one path, or of all."""
        with self._lock:
            return [one for one in self._received if path in {"", one.path}]

    def messages(self, path: str = "") -> list[dict[str, Any]]:
        """The messages of `received`."""
        return [one.message for one in self.received(path)]

    def take(self, one: Received) -> Answer:
        """Records a request and returns its answer."""
        with self._lock:
            self._received.append(one)
            of_path = self._answers.get(one.path)
        return Answer() if of_path is None else of_path(one)

    def hang(self, _: BaseHTTPRequestHandler) -> None:
        """Keeps the connection open without an answer until the receiver is closed."""
        self.is_closed.wait(120)

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Sends a head, and then one byte of a long body each quarter of a second."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not self.is_closed.wait(0.25):
            handler.wfile.write(b".")
            handler.wfile.flush()


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the sender was killed
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.receiver.take(Received(self.path, headers, body))
        try:
            if answer.instead is not None:
                answer.instead(self)
                return
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens on a free port while the block runs."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    receiver = Receiver(server.server_port)
    handler.receiver = receiver  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.is_closed.set()
        server.shutdown()
        server.server_close()
