"""`python -m web`: starts the web process with uvicorn, logging in Spendgate's format."""

import gc
import resource
import socket
import sys
from argparse import ArgumentParser
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn

from app import processes
from app.doctor.checkup import log_at_start
from db.connections import ProcessKind, this_process
from runtime import listening, logs, metrics, tracing
from runtime.listening import is_loopback
from runtime.settings import BAD_SETTINGS_EXIT, Settings, SettingsError, settings
from web.http.connections import BoundedConnection, Timeouts, WaitingConnections
from web.http.proxies import ANY, TrustedProxies
from web.http.request_limits import MAX_PROBES

GRACE_SECONDS = 20
"""Seconds that requests in progress may still take after SIGTERM."""

NOT_STARTED_EXIT = 3

SPARE_CONNECTIONS: Final = 100
"""Idle connections kept open beyond one for each request, stream and probe that may be in progress."""

OTHER_FILES: Final = 500
"""File descriptors reserved for Postgres, Redis, files and libraries."""


class Server(uvicorn.Server):
    """A uvicorn server that ends open event streams first when it stops; otherwise they would delay the shutdown.

    Pages and programs that follow a stream reconnect by themselves.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Starts a graceful shutdown. Ignores further signals; uvicorn would abort requests at the second SIGINT."""
        del sig, frame
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the server, exempts all objects made so far from garbage collection, and turns collection on."""
        await super().startup(sockets)
        gc.freeze()
        gc.enable()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        from web.dashboard.changes import feed  # noqa: PLC0415 - after the settings are known to be good
        from web.serving.feed import serving_feed  # noqa: PLC0415 - after the settings are known to be good

        feed.end()
        serving_feed().end()
        await super().shutdown(sockets)


def main() -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit code: 0, 2 for a bad setting, 3 if the server did not start."""
    gc.disable()  # until the server has started: what it imports stays
    options = ArgumentParser("python -m web", description="The web process: dashboard, admin, API, probes.")
    options.add_argument("--host", help="the address to listen on, instead of SPENDGATE_HOST")
    option = options.parse_args().host
    try:
        read = settings()
        read.required_database_url()
        read.required_queue_url()
        tracing.require()
        host = option or read.host
        _refuse_any_proxy(read, host)
        sockets = listening.listening_sockets(host, read.port, "--host" if option else "SPENDGATE_HOST")
        logs.configure()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_SETTINGS_EXIT
    this_process.kind = ProcessKind.WEB
    metrics.tell_build()
    tracing.start("web")
    log_at_start()
    processes.start_reporting()
    _allow_files(2 * _max_waiting(read) + OTHER_FILES)
    config = uvicorn.Config(
        "web.app:create_app",
        factory=True,
        log_config=None,
        access_log=False,
        server_header=False,
        http=_connections(read),
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Server(config)
    structlog.get_logger().info("web.listening", page=listening.page_url(host, sockets[0].getsockname()[1]))
    with suppress(KeyboardInterrupt):
        server.run(sockets)
    tracing.stop()
    return 0 if server.started else NOT_STARTED_EXIT


def _refuse_any_proxy(read: Settings, host: str) -> None:
    """Raises SettingsError if SPENDGATE_TRUSTED_PROXIES has `*`, because any client could then forge its address.

    Allows `*` if the pages need no login and `host` is a loopback address: only this machine can connect to it.
    """
    if TrustedProxies(read.trusted_proxies).trusts_any and not (read.open_dashboard and is_loopback(host)):
        raise SettingsError(
            f"SPENDGATE_TRUSTED_PROXIES: {ANY} lets any client claim any address; "
            "name the proxy's address or network (* only with SPENDGATE_OPEN_DASHBOARD on a loopback address)"
        )


def _max_waiting(read: Settings) -> int:
    """The largest number of idle connections: SPARE_CONNECTIONS, and one per possible request, stream and probe."""
    return read.max_connections + read.max_streams + read.max_followers + MAX_PROBES + SPARE_CONNECTIONS


def _connections(read: Settings) -> Any:
    """Returns a function that makes the protocol object of a new connection, with the limits of the settings."""
    waiting = WaitingConnections(
        max_in_all=_max_waiting(read),
        max_per_address=read.max_connections_per_address,
        proxies=TrustedProxies(read.trusted_proxies),
    )
    timeouts = Timeouts(header=read.header_timeout_seconds, send=read.send_timeout_seconds)
    return partial(BoundedConnection, waiting=waiting, timeouts=timeouts)


def _allow_files(wanted: int) -> None:
    """Raises the soft limit of open files to `wanted`, or to the hard limit if that is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


if __name__ == "__main__":
    sys.exit(main())
