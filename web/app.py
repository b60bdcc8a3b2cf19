"""Builds the web application: API, admin, dashboard, metrics and probes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from runtime import tracing
from runtime.settings import settings
from web import metrics, people, probes, problems
from web.admin import site
from web.api import routes
from web.dashboard import alerts, brand, changes, overview, pages, platforms, reports
from web.http.bodies import BodyLimit
from web.http.cookies import HostCookies
from web.http.hosts import LoopbackNames
from web.http.proxies import ProxyHeaders, TrustedProxies
from web.http.request_limits import Bounds, RequestLimits
from web.http.request_log import RequestLines
from web.http.static_files import CachedFiles
from web.http.traced import TracedRequests

HERE = Path(__file__).parent
MIN_COMPRESSED = 500
"""Bytes from which GZipMiddleware compresses a response. It leaves out event streams, whose events it would delay."""

COMPRESSION = 6


@asynccontextmanager
async def _bounded_threads(_app: FastAPI) -> AsyncIterator[None]:
    """Limits the threads that run requests to SPENDGATE_WEB_THREADS, so that each finds a database connection."""
    current_default_thread_limiter().total_tokens = settings().web_threads
    yield


def create_app() -> FastAPI:
    """Builds the application; each web process calls it once."""
    app = FastAPI(
        title="Spendgate",
        version=metadata.version("spendgate"),
        description=routes.DESCRIPTION,
        openapi_tags=routes.TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=_bounded_threads,
    )
    problems.install(app)
    pages.install(app)
    app.exception_handler(people.SignInFirst)(people.to_sign_in)
    # Before all routes of the API: the admin's pages look up hundreds of their addresses, in this order.
    site.mount(app)
    app.mount("/static", CachedFiles(directory=HERE / "static"), name="static")
    app.include_router(probes.router)
    app.include_router(metrics.router)
    app.include_router(routes.router)
    for part in (overview, brand, changes, alerts, reports, platforms):
        app.include_router(part.router)
    read = settings()
    app.add_middleware(BodyLimit, max_bytes=read.max_body_bytes, seconds=read.body_timeout_seconds)
    app.add_middleware(
        RequestLimits,
        requests=Bounds(read.max_connections, read.max_connections_per_address),
        streams=Bounds(read.max_streams, read.max_streams_per_address),
        followers=Bounds(read.max_followers, read.max_followers),
    )
    if read.open_dashboard and not read.trusted_proxies:
        app.add_middleware(LoopbackNames)
    app.add_middleware(GZipMiddleware, minimum_size=MIN_COMPRESSED, compresslevel=COMPRESSION)
    app.add_middleware(RequestLines, failed=pages.for_people(problems.unexpected))
    if tracing.is_on():
        app.add_middleware(TracedRequests)
    app.add_middleware(HostCookies)
    app.add_middleware(ProxyHeaders, proxies=TrustedProxies(read.trusted_proxies))
    return app
