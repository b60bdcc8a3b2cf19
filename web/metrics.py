"""`/metrics` of a web process: its requests and its own work, for Prometheus, without spend or names.

The values of every label come from a fixed list, so that the number of series is bounded. Figures of Postgres and of
the broker are served by the scheduler (`workers.state_metrics`), once for the whole service.
"""

from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from runtime.metrics import OTHER, registry

router = APIRouter(tags=["probes"])

REQUESTS: Final = Counter(
    "spendgate_http_requests", "HTTP requests answered", ["method", "route", "status"], registry=registry
)
SECONDS: Final = Histogram(
    "spendgate_http_request_seconds", "Duration of HTTP requests in seconds", ["method", "route"], registry=registry
)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def note_request(method: str, route: str | None, status: int, seconds: float) -> None:
    """Counts one request and its duration. Bounds the number of series.

    A method outside METHODS counts as `other`. `route`: the path's template; None counts as `unmatched`.
    """
    method = method if method in METHODS else OTHER
    route = route or "unmatched"
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(method, route).observe(seconds)


@router.get(
    "/metrics", summary="Metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}}
)
def metrics() -> Response:
    """The metrics of this process in Prometheus' text format."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
