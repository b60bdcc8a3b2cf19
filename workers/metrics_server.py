"""Serves the metrics of a worker's processes, or of the scheduler, in Prometheus' text format, and /healthz.

/healthz reads no server, so that a slow Postgres is no reason to restart a process. It answers 503 once a process had
no heartbeat for minutes.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from runtime import listening
from runtime.listening import PortInUse
from runtime.settings import BAD_SETTINGS_EXIT, SettingsError, settings

log = structlog.get_logger()

CLIENT_SECONDS: Final = 5.0
PARENT_POLL_SECONDS: Final = 1.0


Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


Health = Callable[[], bool]
"""A function that returns whether all processes run; it is quick, and reads no server."""


def _with_health(metrics: Application, is_healthy: Health) -> Application:
    """Returns an application that answers /healthz by `is_healthy`, and each other path by `metrics`."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return metrics(environ, start_response)
        status, body = ("200 OK", b"ok\n") if is_healthy() else ("503 Service Unavailable", b"a process is stuck\n")
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [body]

    return answer


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """A server on a socket that already listens; slow clients do not delay each other."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, registry: CollectorRegistry, is_healthy: Health) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__((host, port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = host, port
        self.setup_environ()
        self.set_app(_with_health(make_wsgi_app(registry), is_healthy))
        self.timeout = PARENT_POLL_SECONDS

    def handle_error(self, *_: Any) -> None:
        """Ignores the error of a request, mostly of a client that went away."""


def listeners(port: int, variable: str) -> list[socket.socket]:
    """Opens sockets that listen on `port` of SPENDGATE_METRICS_HOST; none for port 0, or if it is in use (logged).

    `variable`: the setting that names the port. Ends the process with BAD_SETTINGS_EXIT if the host is not an address
    of this machine, or the user may not use the port.
    """
    if port == 0:
        return []
    try:
        return listening.listening_sockets(settings().metrics_host, port, "SPENDGATE_METRICS_HOST", variable)
    except PortInUse:
        log.warning("metrics.port_in_use", port=port)
        return []
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(BAD_SETTINGS_EXIT)


def serve_in_thread(sockets: Sequence[socket.socket], registry: CollectorRegistry, is_healthy: Health) -> None:
    """Serves metrics and /healthz on the sockets, from threads of this process, until it ends."""
    for listener in sockets:
        server = _Server(listener, registry, is_healthy)
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def serve_in_fork(sockets: Sequence[socket.socket], registry: CollectorRegistry, is_healthy: Health) -> None:
    """Serves metrics and /healthz on the sockets from a forked process, which ends with this one.

    A process that forks workers must have no threads.
    """
    if not sockets:
        return
    parent = os.getpid()
    if os.fork() == 0:
        with suppress(BaseException):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            serve_in_thread(sockets[1:], registry, is_healthy)
            server = _Server(sockets[0], registry, is_healthy)
            while os.getppid() == parent:
                server.handle_request()
        os._exit(0)
    listening.close(list(sockets))
