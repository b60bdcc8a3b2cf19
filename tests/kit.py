"""Shared helpers of tests: concurrent jobs, a Dramatiq worker in this process, messages put on a queue directly."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Barrier
from typing import Any
from uuid import uuid4

import dramatiq
import psycopg
import pytest
import redis
from dramatiq import Worker
from structlog.typing import EventDict

from db.engine import engine
from delivery.broker import get_broker
from runtime.settings import settings
from tests.queues import queues
from tests.world import World
from workers.actors import alerts, enforcement, ingest, notices, platforms, reports, schedule

broker = get_broker()

ACTORS = (alerts, enforcement, ingest, notices, platforms, reports, schedule)
SCHEDULED: list[dramatiq.Actor[Any, Any]] = [
    actor
    for module in ACTORS
    for actor in vars(module).values()
    if isinstance(actor, dramatiq.Actor) and "periodic" in actor.options
]
"""The actors to which the scheduler sends messages."""

ANY_TIME = 1_700_000_000_000


@lru_cache(maxsize=1)
def queue() -> redis.Redis:
    """A Redis client without our broker, as an operator uses it."""
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def at_once(*jobs: Callable[[], object]) -> None:
    """Runs the jobs in threads that start together; raises the exception of one that failed."""
    start = Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        start.wait()
        job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(run, job) for job in jobs]:
            done.result()


@contextmanager
def working(threads: int = 2) -> Iterator[Worker]:
    """Runs a real Dramatiq worker for all queues in this process, and stops it at the end."""
    middleware = list(broker.middleware)
    worker = Worker(broker, worker_threads=threads, worker_timeout=20)
    was_worker, broker.is_worker = broker.is_worker, True
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(timeout=10_000)
        broker.is_worker = was_worker
        broker.middleware[:] = middleware


def put(data: bytes, queue_name: str = "spend", redis_id: str | None = None) -> str:
    """Puts raw bytes on a queue as another program does; returns the id of the entry."""
    name = redis_id or str(uuid4())
    queues().put(queue_name, name, data)
    return name


def put_message(actor: str = "ingest_spend", queue: str = "spend", **fields: Any) -> str:
    """Puts a message on a queue without Dramatiq; `fields` replace its fields. Returns the id of the entry."""
    name = str(uuid4())
    return put(json.dumps(message_of(actor, queue, name, **fields)).encode(), queue, name)


def message_of(actor: str, queue: str, redis_id: str, **fields: Any) -> dict[str, Any]:
    """A message as Dramatiq would encode it to JSON; `fields` replace its fields."""
    message = {
        "queue_name": queue,
        "actor_name": actor,
        "args": [],
        "kwargs": {},
        "options": {},
        "message_id": str(uuid4()),
        "message_timestamp": ANY_TIME,
        **fields,
    }
    if isinstance(message["options"], dict):
        message["options"] = {"redis_message_id": redis_id, **message["options"]}
    return message


def put_text(kwargs: str, queue_name: str = "spend", **fields: Any) -> str:
    """Puts an `ingest_spend` message whose `kwargs` are this JSON text, also such that Python cannot encode."""
    place, name = "@kwargs@", str(uuid4())
    message = json.dumps(message_of("ingest_spend", queue_name, name, kwargs=place, **fields))
    return put(message.replace(f'"{place}"', kwargs).encode(), queue_name, name)


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Collects the statements that this process sends to Postgres in the block, with their parameters."""
    sent: list[tuple[str, Any]] = []

    def record(_cursor: psycopg.Cursor, statement: str, parameters: Any) -> None:
        sent.append((statement, parameters))

    with at_each_statement(before=record):
        yield sent


Look = Callable[[psycopg.Cursor, str, Any], object]


def nothing(*_: object) -> None:
    """Does nothing with a statement."""


@contextmanager
def at_each_statement(*, before: Look = nothing, after: Look = nothing) -> Iterator[None]:
    """Calls `before` and `after` for each statement that this process sends to Postgres in the block."""
    execute = psycopg.Cursor.execute

    def observed(cursor: psycopg.Cursor, query: Any, parameters: Any = None, **options: Any) -> psycopg.Cursor:
        if cursor.connection.info.parameter_status("application_name") != "spendgate":
            return execute(cursor, query, parameters, **options)
        seen = (cursor, query.decode() if isinstance(query, bytes) else str(query), parameters)
        before(*seen)
        done = execute(cursor, query, parameters, **options)
        after(*seen)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", observed)
        yield


def dead_letters(queue_name: str = "spend") -> set[str]:
    """The ids of the queue's dead letters in the broker."""
    return queues().dead_letters(queue_name)


def is_empty(*queue_names: str) -> bool:
    """Whether the queues (by default `spend`) have no message that waits, is being processed, or is delayed.

    Delayed messages are counted before and after the others: a message may move between the two counts.
    """
    delayed = [f"{name}.DQ" for name in queue_names or ("spend",)]
    return not any(queues().count(name) for name in (*delayed, *(queue_names or ("spend",)), *delayed))


def lines(logged: Sequence[EventDict], event: str) -> list[dict[str, Any]]:
    """The logged lines of one event, without the fields `event` and `log_level`."""
    bare = {"event", "log_level"}
    return [
        {name: value for name, value in line.items() if name not in bare} for line in logged if line["event"] == event
    ]


def toggles(world: World, campaign: int) -> list[tuple[str, str]]:
    """The times at which the campaign was toggled and its new statuses, oldest first."""
    rows = world.rows("SELECT * FROM status_changes WHERE campaign_id = %s ORDER BY id", campaign)
    return [(f"{row['changed_at']:%m-%d %H:%M}", row["to_status"]) for row in rows]


def wait_for_locks(milliseconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets this process wait for a lock for so long only, also on connections that were open already."""
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", str(milliseconds))
    settings.cache_clear()
    engine().dispose()
    engine.cache_clear()
