"""The pages and probes of the service."""

from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy.exc import DBAPIError

from db.engine import snapshot
from db.repository import overview
from db.repository.zones import readable_zones
from domain.money import format_units
from domain.words import HOLD_WORDS
from runtime import clock
from workers.broker import broker

LATEST_CHANGES = 25
CAMPAIGNS_SHOWN = 200


def _local(moment: datetime, name: str) -> str:
    """The moment by a brand's wall clock; a dash where its zone does not exist."""
    zone = readable_zones([name]).get(name)
    return "–" if zone is None else f"{moment.astimezone(zone):%a %H:%M}"


templates = Jinja2Templates(Path(__file__).parent / "templates")
templates.env.filters["units"] = format_units
templates.env.filters["reasons"] = lambda holds: "; ".join(HOLD_WORDS.get(hold, hold) for hold in holds)
templates.env.filters["local"] = _local

app = FastAPI(title="Spendgate", version="0.1.0")


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def overview_page(request: Request) -> Response:
    """Brands, campaigns and the latest status changes, as they are now."""
    return templates.TemplateResponse(request, "overview.html", _overview())


@app.get("/overview", response_class=HTMLResponse, include_in_schema=False)
def overview_part(request: Request) -> Response:
    """The page's changing part alone, which the page fetches again and again."""
    return templates.TemplateResponse(request, "overview_part.html", _overview())


def _overview() -> dict[str, Any]:
    at = clock.now()
    with snapshot() as connection:
        budgets = overview.budgets(connection, at, of_brands=True)
        return {
            "at": at,
            "brands": overview.brands(connection, at),
            "limits": {(row["brand_id"], row["period"]): row for row in budgets},
            "campaigns": overview.campaigns(connection, at, limit=CAMPAIGNS_SHOWN),
            "changes": overview.status_changes(connection, LATEST_CHANGES),
            "tally": overview.tally(connection),
        }


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@app.get("/readyz")
def readyz() -> JSONResponse:
    """The process can do its work: Postgres has the tables, Redis answers."""
    faults = {}
    try:
        with snapshot() as connection:
            overview.tally(connection)
    except DBAPIError as error:
        faults["postgres"] = type(error.orig).__name__
    try:
        broker.client.ping()
    except redis.RedisError as error:
        faults["redis"] = type(error).__name__
    return JSONResponse({"status": "unavailable" if faults else "ok", **faults}, status_code=503 if faults else 200)
