"""A span around each request, within the trace of the caller if it sends the header `traceparent`."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime import tracing
from web.http.request_log import QUIET_PATHS, route_of


class TracedRequests:
    """Makes a span for each request, named by its method and route; none for probes, metrics and static files."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(QUIET_PATHS):
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("traceparent", "")
        method = scope["method"]

        async def send_noting_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                tracing.describe(attributes={"http.response.status_code": int(message["status"])})
            await send(message)

        parents = [sent] if tracing.is_traceparent(sent) else []
        with tracing.span(method, "server", parents=parents, attributes={"http.request.method": method}):
            try:
                await self.app(scope, receive, send_noting_status)
            finally:
                route = route_of(scope)
                if route is not None:
                    tracing.describe(f"{method} {route}", {"http.route": route})
