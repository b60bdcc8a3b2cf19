"""What operators and their tools ask: is it alive, is it ready."""

import redis
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.engine import snapshot
from db.repository import overview
from workers.broker import broker

router = APIRouter(tags=["probes"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers, also while all its threads wait."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Postgres or Redis is away, or the tables are not there"}})
def readyz() -> JSONResponse:
    """The process can do its work: Postgres has the tables, Redis answers."""
    faults = {}
    try:
        with snapshot() as connection:
            overview.is_ready(connection)
    except DBAPIError as error:
        faults["postgres"] = type(error.orig).__name__
    except PoolTimeout:
        faults["postgres"] = "busy"
    try:
        broker.client.ping()
    except redis.RedisError as error:
        faults["redis"] = type(error).__name__
    return JSONResponse({"status": "unavailable" if faults else "ok", **faults}, status_code=503 if faults else 200)
