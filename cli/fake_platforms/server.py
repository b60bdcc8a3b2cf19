"""Serves the fake platform over real HTTP from a thread of this process."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cli.fake_platforms import google, meta, page
from cli.fake_platforms.faults import answered, faulty, note
from cli.fake_platforms.state import FakePlatform
from runtime import listening

START_POLL_SECONDS = 0.01
Edge = Callable[[FakePlatform, dict[str, str]], dict[str, Any]]


@contextmanager
def serving(platform: FakePlatform) -> Iterator[str]:
    """Runs the server on a free port, yields its URL, and stops it at the end of the block."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=listening.BACKLOG)
    config = uvicorn.Config(_app(platform), log_config=None, access_log=False, lifespan="off")
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
    return Starlette(routes=[*page.routes(platform), *_google_routes(platform), *_meta_routes(platform)])


def _google_routes(platform: FakePlatform) -> list[Route]:
    async def token(request: Request) -> Response:
        return await _google_token(platform, request)

    async def search(request: Request) -> Response:
        body = await request.json()
        return await answered(
            platform, google, request, "search", body, lambda: JSONResponse(google.search(platform, body["query"]))
        )

    async def mutate(request: Request) -> Response:
        body = await request.json()
        return await answered(
            platform, google, request, "mutate", body, lambda: JSONResponse(google.mutate(platform, body))
        )

    prefix = "/v26/customers/{account}"
    return [
        Route("/token", token, methods=["POST"]),
        Route(f"{prefix}/googleAds:searchStream", search, methods=["POST"]),
        Route(f"{prefix}/campaigns:mutate", mutate, methods=["POST"]),
    ]


async def _google_token(platform: FakePlatform, request: Request) -> Response:
    await asyncio.sleep(platform.latency_seconds)
    form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
    fault = note(platform, request, "token", form)
    if fault:
        return await faulty(platform, google, fault, lambda: JSONResponse({}))
    if not google.is_login(platform, form):
        refusal = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        return JSONResponse(refusal, 400)
    return JSONResponse(
        {"access_token": platform.token, "expires_in": 3599, "token_type": "Bearer", "scope": "adwords"}
    )


def _meta_routes(platform: FakePlatform) -> list[Route]:
    async def batch(request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        form |= dict(request.query_params)
        items = json.loads(form["batch"])
        return await answered(
            platform,
            meta,
            request,
            "mutate",
            items,
            lambda: JSONResponse(meta.batch(platform, items), headers=_usage(platform)),
            form,
        )

    edges: dict[str, Edge] = {
        "": meta.account,
        "/campaigns": meta.campaigns,
        "/insights": meta.insights,
        "/activities": meta.activities,
    }
    account = "/v26.0/act_{account}"
    return [
        Route("/v26.0/", batch, methods=["POST"]),
        *(Route(f"{account}{path}", _meta_edge(platform, edge), methods=["GET"]) for path, edge in edges.items()),
    ]


def _meta_edge(platform: FakePlatform, edge: Edge) -> Callable[[Request], Any]:
    async def read(request: Request) -> Response:
        params = dict(request.query_params)

        def answer() -> Response:
            try:
                return JSONResponse(edge(platform, params), headers=_usage(platform))
            except meta.Refusal as refusal:
                return meta.refused(refusal)

        return await answered(platform, meta, request, "search", params, answer, params)

    return read


def _usage(platform: FakePlatform) -> dict[str, str]:
    return meta.usage(platform, platform.usage_percent)
