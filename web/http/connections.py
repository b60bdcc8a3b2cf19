"""One HTTP connection with deadlines: for the head of a request, and for a client that does not read its answer.

uvicorn has neither. web/http/bodies.py bounds bodies, web/http/request_limits.py bounds requests in progress. A
connection without a request in progress is called waiting. New connections are always accepted; when there are too
many, the one that has waited longest is closed. A client that sends its request at once is served, however many
connections others hold open.
"""

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from web.client_addresses import counted_as
from web.http.proxies import TrustedProxies
from web.problems import RETRY_AFTER_SECONDS

MIN_BYTES_PER_SECOND: Final = 1_024
"""A client that reads an answer more slowly than this, in the mean of a send timeout, is disconnected."""


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds. `header`: from the connection's start, or its last answer, to the end of a request's head.

    `send`: between two checks that the client reads.
    """

    header: float
    send: float


@dataclass
class WaitingConnections:
    """The connections of this process without a request in progress, in the order in which they began to wait.

    Connections of a trusted proxy serve many clients: only `max_in_all` limits them.
    """

    max_in_all: int
    max_per_address: int
    proxies: TrustedProxies
    _order: dict["BoundedConnection", None] = field(default_factory=dict)
    _by_address: dict[str, dict["BoundedConnection", None]] = field(default_factory=dict)

    def add(self, connection: "BoundedConnection") -> None:
        """Adds a connection. Over a limit, closes the connection that has waited longest: of its address, or of all."""
        self._order[connection] = None
        of_address = self._by_address.setdefault(connection.address, {})
        of_address[connection] = None
        if len(of_address) > self.max_per_address and not connection.is_of_proxy(self.proxies):
            next(iter(of_address)).end_waiting(HTTPStatus.TOO_MANY_REQUESTS)
        elif len(self._order) > self.max_in_all:
            next(iter(self._order)).end_waiting(HTTPStatus.SERVICE_UNAVAILABLE)

    def discard(self, connection: "BoundedConnection") -> None:
        """Removes a connection whose request began, or which was closed."""
        self._order.pop(connection, None)
        of_address = self._by_address.get(connection.address, {})
        of_address.pop(connection, None)
        if not of_address:
            self._by_address.pop(connection.address, None)


class BoundedConnection(H11Protocol):
    """uvicorn's HTTP connection with deadlines for the request's head and for reading the response."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        waiting: WaitingConnections,
        timeouts: Timeouts,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self._waiting = waiting
        self._timeouts = timeouts
        self._requests_in_progress = 0
        self._has_received = False
        self._is_lost = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0
        self._served = self.app
        self.app = self._serve

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts waiting for the first request."""
        super().connection_made(transport)
        self.address = counted_as(self.client[0]) if self.client else ""
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the timers; the connection no longer counts as waiting."""
        self._is_lost = True
        self._stop_waiting()
        self._stop_watching_writes()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Notes that a request has begun, so that one past its deadline is answered with a status."""
        self._has_received = True
        super().data_received(data)

    def pause_writing(self) -> None:
        """Starts the deadline of a client that does not read its answer."""
        super().pause_writing()
        self._watch_writes()

    def resume_writing(self) -> None:
        """Ends the deadline: the client reads again."""
        self._stop_watching_writes()
        super().resume_writing()

    def is_of_proxy(self, proxies: TrustedProxies) -> bool:
        """Whether a trusted proxy made the connection."""
        return self.client is not None and proxies.trusts(self.client[0])

    def end_waiting(self, status: HTTPStatus) -> None:
        """Closes a waiting connection; answers `status` first if a part of a request's head has arrived.

        Aborts it if the client has not read its last answer.
        """
        self._stop_waiting()
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.abort()  # the client has not read its last answer
            return
        if self._has_received and self.conn.their_state is h11.IDLE:
            self.transport.write(_refusal(status))
        self.transport.close()
        self._watch_writes()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application for one request; the connection does not count as waiting meanwhile."""
        self._requests_in_progress += 1
        self._stop_waiting()
        try:
            await self._served(scope, receive, send)
        finally:
            self._requests_in_progress -= 1
            if self._requests_in_progress == 0:
                self._wait()

    def _wait(self) -> None:
        if self._is_lost:
            return
        self._has_received = False
        self._head_timer = self.loop.call_later(self._timeouts.header, self._head_is_late)
        self._waiting.add(self)

    def _stop_waiting(self) -> None:
        self._waiting.discard(self)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if (
            self.transport.get_write_buffer_size()
        ):  # the client still reads the last response, which has its own deadline
            self._watch_writes()
            self._head_timer = self.loop.call_later(self._timeouts.header, self._head_is_late)
        else:
            self.end_waiting(HTTPStatus.REQUEST_TIMEOUT)

    def _watch_writes(self) -> None:
        if self._send_timer is None:
            self._unsent_bytes = self.transport.get_write_buffer_size()
            self._send_timer = self.loop.call_later(self._timeouts.send, self._check_writes)

    def _check_writes(self) -> None:
        """Disconnects a client that read too little since the last check."""
        self._send_timer = None
        unsent = self.transport.get_write_buffer_size()
        if unsent and self._unsent_bytes - unsent < MIN_BYTES_PER_SECOND * self._timeouts.send:
            self.transport.abort()
        elif unsent:
            self._watch_writes()

    def _stop_watching_writes(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


def _refusal(status: HTTPStatus) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Retry-After: {RETRY_AFTER_SECONDS}",
        "Content-Length: 0",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
