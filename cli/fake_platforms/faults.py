"""Answers requests to the fake platform, with the faults that a test asked for, which are the same for every API."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cli.fake_platforms.state import Answered, FakePlatform, Received

DRIP_SECONDS = 0.05
Answering = Callable[[], Response]


class Wire(Protocol):
    """The form in which one platform's API answers refused logins, limits and failures; modules implement it."""

    def is_logged_in(self, platform: FakePlatform, request: Request, params: dict[str, str], /) -> bool:
        """Whether the request has a valid login."""

    def other_account(self) -> Response:
        """The answer to a request for an account that the login has no access to."""

    def not_logged_in(self, platform: FakePlatform, /) -> Response:
        """The answer to a login that expired."""

    def limited(self, platform: FakePlatform, seconds: int, /) -> Response:
        """The answer while a quota is used up: it allows a retry after `seconds`."""

    def failed(self) -> Response:
        """The answer to a request at which the server fails (5xx)."""


async def answered(
    platform: FakePlatform,
    wire: Wire,
    request: Request,
    kind: str,
    body: Any,
    answer: Answering,
    params: Mapping[str, str] | None = None,
) -> Response:
    """Stores the request and returns its answer: a refusal, the next fault of its `kind`, a limit, or `answer()`.

    Waits `platform.latency_seconds` first, and stores the answer too, unless it drips. `params`: parameters of the
    request that may contain its login; None: it has none.
    """
    await asyncio.sleep(platform.latency_seconds)
    fault = note(platform, request, kind, body)
    operations = len(body["operations"]) if isinstance(body, dict) and "operations" in body else 1

    def within_quota() -> Response:
        seconds = platform.wait_for_quota(operations)
        return wire.limited(platform, int(seconds) + 1) if seconds else answer()

    response = await _response(platform, wire, request, fault, within_quota, dict(params or {}))
    if not isinstance(response, StreamingResponse):
        platform.answers.append(Answered(kind, response.status_code, bytes(response.body)))
    return response


async def _response(
    platform: FakePlatform, wire: Wire, request: Request, fault: str, answer: Answering, params: dict[str, str]
) -> Response:
    if request.path_params.get("account", platform.account_id) != platform.account_id:
        return wire.other_account()
    if fault == "expired" or not wire.is_logged_in(platform, request, params):
        return wire.not_logged_in(platform)
    return await faulty(platform, wire, fault, answer) if fault else answer()


def note(platform: FakePlatform, request: Request, kind: str, body: Any) -> str:
    """Adds the spend until now and stores the request; returns the fault that it gets, an empty text for none."""
    platform.serve()
    path = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    platform.note(Received(kind, path, dict(request.headers), body))
    return platform.next_fault(kind)


async def faulty(platform: FakePlatform, wire: Wire, fault: str, answer: Answering) -> Response:
    """Returns the answer with this fault. For a fault that hangs, waits first until `platform.ends` is set."""
    if fault == "429":
        return wire.limited(platform, platform.retry_seconds)
    content = answer() if fault.startswith("apply") else None
    if fault.endswith("hang"):
        await asyncio.to_thread(platform.ends.wait)
        return content or JSONResponse(None)
    if fault == "drip":
        return StreamingResponse(_dripping(platform, bytes(answer().body)), media_type="application/json")
    return wire.failed()


async def _dripping(platform: FakePlatform, content: bytes) -> AsyncIterator[bytes]:
    for byte in content:
        if platform.ends.is_set():
            return
        yield bytes([byte])
        await asyncio.sleep(DRIP_SECONDS)
