"""Limits the requests and event streams in progress in one process: in all, and per client address."""

from collections import Counter
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from web import problems
from web.client_addresses import client_of

PROBES: Final = frozenset({"/healthz", "/readyz"})
STREAMS: Final = frozenset({"/changes/stream"})
FOLLOWERS: Final = frozenset({"/api/serving/stream", "/api/status-changes/stream"})
"""Streams that need an API key. One address may open as many as all together, since followers may share one."""

MAX_PROBES: Final = 50
"""Probes in progress at most. They count separately, so that they are answered when other limits are reached."""


class Bounds(NamedTuple):
    """The most requests that may be in progress: in all, and of one client address."""

    in_all: int
    per_address: int


class InProgress:
    """Counts the requests of one kind that are in progress."""

    def __init__(self, kind: str, bounds: Bounds) -> None:
        self.kind = kind
        self.bounds = bounds
        self._of_address: Counter[str] = Counter()
        self._in_all = 0

    def refusal(self, address: str) -> Response | None:
        """The response to a request over a limit: 503 in all, 429 per address; None if it is within both."""
        if self._in_all >= self.bounds.in_all:
            detail = f"{self.bounds.in_all} {self.kind} are open, which is the limit; try again later"
            return problems.answer(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=problems.RETRY_LATER)
        if self._of_address[address] >= self.bounds.per_address:
            detail = f"your address has {self.bounds.per_address} {self.kind} open, which is its limit; close some"
            return problems.answer(HTTPStatus.TOO_MANY_REQUESTS, detail, headers=problems.RETRY_LATER)
        return None

    def begin(self, address: str) -> None:
        """Counts a request that begins."""
        self._in_all += 1
        self._of_address[address] += 1

    def end(self, address: str) -> None:
        """Uncounts a request that ended."""
        self._in_all -= 1
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]


class RequestLimits:
    """Limits the requests in progress, with limits of their own for pages' streams, followers' streams and probes.

    Answers 503 over the limit of the process and 429 over the limit of the address, before the body is read.
    """

    def __init__(self, app: ASGIApp, requests: Bounds, streams: Bounds, followers: Bounds) -> None:
        self.app = app
        self._requests = InProgress("requests", requests)
        self._streams = InProgress("streams", streams)
        self._followers = InProgress("followers", followers)
        self._probes = InProgress("probes", Bounds(MAX_PROBES, MAX_PROBES))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        in_progress, address = self._kind(scope), client_of(scope)
        refusal = in_progress.refusal(address)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        in_progress.begin(address)
        try:
            await self.app(scope, receive, send)
        finally:
            in_progress.end(address)

    def _kind(self, scope: Scope) -> InProgress:
        if scope["path"] in STREAMS:
            return self._streams
        if scope["path"] in FOLLOWERS:
            return self._followers
        is_probe = scope["path"] in PROBES and scope["method"] in {"GET", "HEAD"} and not _has_body(scope)
        return self._probes if is_probe else self._requests


def _has_body(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return b"transfer-encoding" in names or b"content-length" in names
