"""Serves the fake platform over real HTTP from a thread of this process."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cli.fake_platforms import google
from cli.fake_platforms.state import FakePlatform, Received
from runtime import addresses

DRIP_SECONDS = 0.05
START_POLL_SECONDS = 0.01
Answering = Callable[[], Any]


@contextmanager
def serving(platform: FakePlatform) -> Iterator[str]:
    """Runs the server on a free port and yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=addresses.BACKLOG)
    config = uvicorn.Config(_app(platform), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(START_POLL_SECONDS)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        platform.ends.set()
        server.should_exit = True
        thread.join()
        listener.close()


def _app(platform: FakePlatform) -> Starlette:
    async def token(request: Request) -> Response:
        return await _google_token(platform, request)

    async def search(request: Request) -> Response:
        body = await request.json()
        return await _google(platform, request, "search", body, lambda: google.search(platform, body["query"]))

    async def mutate(request: Request) -> Response:
        body = await request.json()
        return await _google(platform, request, "mutate", body, lambda: google.mutate(platform, body))

    prefix = "/v26/customers/{customer}"
    return Starlette(
        routes=[
            Route("/token", token, methods=["POST"]),
            Route(f"{prefix}/googleAds:searchStream", search, methods=["POST"]),
            Route(f"{prefix}/campaigns:mutate", mutate, methods=["POST"]),
        ]
    )


def note(platform: FakePlatform, request: Request, kind: str, body: Any) -> str:
    """Stores the request; returns the fault that it gets."""
    path = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    platform.received.append(Received(kind, path, dict(request.headers), body))
    return platform.next_fault(kind)


async def _google_token(platform: FakePlatform, request: Request) -> Response:
    form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
    fault = note(platform, request, "token", form)
    if fault:
        return await faulty(platform, fault, dict)
    if platform.is_revoked or form.get("refresh_token") != platform.refresh_token:
        refusal = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        return JSONResponse(refusal, 400)
    return JSONResponse(
        {"access_token": platform.token, "expires_in": 3599, "token_type": "Bearer", "scope": "adwords"}
    )


async def _google(platform: FakePlatform, request: Request, kind: str, body: Any, answer: Answering) -> Response:
    fault = note(platform, request, kind, body)
    if request.path_params["customer"] != platform.account_id:
        return JSONResponse(google.error(403, "PERMISSION_DENIED", []), 403)
    if fault == "expired" or request.headers.get("authorization") != f"Bearer {platform.token}":
        return JSONResponse(google.error(401, "UNAUTHENTICATED", [], "Request had invalid credentials."), 401)
    if fault == "429":
        return JSONResponse(google.exhausted(platform.retry_seconds), 429)
    if fault:
        return await faulty(platform, fault, answer)
    return JSONResponse(answer())


async def faulty(platform: FakePlatform, fault: str, answer: Answering) -> Response:
    """The answer with a fault. A hanging answer ends with the test."""
    content = answer() if fault.startswith("apply") else None
    if fault.endswith("hang"):
        await asyncio.to_thread(platform.ends.wait)
        return JSONResponse(content)
    if fault == "drip":
        return StreamingResponse(_dripping(platform, json.dumps(answer()).encode()), media_type="application/json")
    return JSONResponse(google.error(500, "INTERNAL", [], "Internal error encountered."), 500)


async def _dripping(platform: FakePlatform, content: bytes) -> AsyncIterator[bytes]:
    for byte in content:
        if platform.ends.is_set():
            return
        yield bytes([byte])
        await asyncio.sleep(DRIP_SECONDS)
