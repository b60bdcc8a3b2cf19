"""Probes of the web process: `/healthz` (alive) and `/readyz` (ready)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from dramatiq.errors import BrokerConnectionError
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.engine import snapshot
from db.repository.reading import overview
from delivery.broker import get_broker
from runtime import clock
from runtime.settings import settings

router = APIRouter(tags=["probes"])

THREADS: Final = 2
_threads = ThreadPoolExecutor(THREADS, "probe")
"""Threads reserved for probes, so that they are answered while all other threads are busy."""


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answers as long as the process runs, even if all its threads are busy."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    responses={
        503: {"description": "Postgres or the broker is unreachable, the tables do not exist, or the clock is off"}
    },
)
async def readyz() -> JSONResponse:
    """Answers 200 if Postgres has the tables, the broker replies and the clock is right, else 503 with the faults."""
    faults = await asyncio.get_running_loop().run_in_executor(_threads, _faults)
    return JSONResponse({"status": "unavailable" if faults else "ok", **faults}, status_code=503 if faults else 200)


def _faults() -> dict[str, str]:
    faults = {"clock": "off"} if clock.guard.is_off else {}
    try:
        with snapshot() as connection:
            overview.check_tables(connection)
    except DBAPIError as error:
        faults["postgres"] = type(error.orig).__name__
    except PoolTimeout:
        faults["postgres"] = "busy"
    try:
        get_broker().ping()
    except BrokerConnectionError as error:
        faults["rabbitmq" if settings().queue_is_rabbitmq else "redis"] = str(error)
    return faults
