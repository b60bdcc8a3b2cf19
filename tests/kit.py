"""What the tests of the workers share: work done at once, a worker of our own, messages put on a queue by hand."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Barrier
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from dramatiq import Worker
from structlog.typing import EventDict

from delivery.broker import get_broker
from tests.queues import queues
from tests.world import World
from workers.actors import enforcement, ingest, reports, schedule

broker = get_broker()

ACTORS = (enforcement, ingest, reports, schedule)
ANY_TIME = 1_700_000_000_000


@lru_cache(maxsize=1)
def queue() -> redis.Redis:
    """Redis, as an operator looks into it."""
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def at_once(*jobs: Callable[[], object]) -> None:
    """Runs the jobs in threads that start together; raises what one of them raised."""
    start = Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        start.wait()
        job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(run, job) for job in jobs]:
            done.result()


@contextmanager
def working(threads: int = 2) -> Iterator[Worker]:
    """A real Dramatiq worker in this process, for every queue; stopped at the end."""
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
    """Puts bytes on a queue as another program does; returns the name under which they lie there."""
    name = redis_id or str(uuid4())
    queues().put(queue_name, name, data)
    return name


def put_message(actor: str = "ingest_spend", queue: str = "spend", **fields: Any) -> str:
    """Puts a message on a queue without Dramatiq's help; `fields` take the place of its own."""
    name = str(uuid4())
    return put(json.dumps(message_of(actor, queue, name, **fields)).encode(), queue, name)


def message_of(actor: str, queue: str, redis_id: str, **fields: Any) -> dict[str, Any]:
    """A message as it is written; `fields` take the place of its own."""
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
    """The same with arguments spelt as they are: no JSON of ours is as deep, or has such numbers."""
    place, name = "@kwargs@", str(uuid4())
    message = json.dumps(message_of("ingest_spend", queue_name, name, kwargs=place, **fields))
    return put(message.replace(f'"{place}"', kwargs).encode(), queue_name, name)


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The statements that this process sends to Postgres meanwhile, with their parameters."""
    sent: list[tuple[str, Any]] = []

    def record(_cursor: psycopg.Cursor, statement: str, parameters: Any) -> None:
        sent.append((statement, parameters))

    with at_each_statement(before=record):
        yield sent


Look = Callable[[psycopg.Cursor, str, Any], object]


def nothing(*_: object) -> None:
    """Looks away."""


@contextmanager
def at_each_statement(*, before: Look = nothing, after: Look = nothing) -> Iterator[None]:
    """Looks at each statement that this process sends to Postgres meanwhile, whichever way it goes there."""
    execute = psycopg.Cursor.execute

    def looked_at(cursor: psycopg.Cursor, query: Any, parameters: Any = None, **options: Any) -> psycopg.Cursor:
        if cursor.connection.info.parameter_status("application_name") != "spendgate":
            return execute(cursor, query, parameters, **options)
        seen = (cursor, query.decode() if isinstance(query, bytes) else str(query), parameters)
        before(*seen)
        done = execute(cursor, query, parameters, **options)
        after(*seen)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", looked_at)
        yield


def dead_letters(queue_name: str = "spend") -> set[str]:
    """The names of the dead letters that the broker keeps for the queue."""
    return queues().dead_letters(queue_name)


def is_empty(*queue_names: str) -> bool:
    """Whether nothing waits on the queues (`spend`), is being worked on, or is delayed.

    What is delayed is looked at before and after: a message may go over between two looks, either way.
    """
    delayed = [f"{name}.DQ" for name in queue_names or ("spend",)]
    return not any(queues().count(name) for name in (*delayed, *(queue_names or ("spend",)), *delayed))


def lines(logged: Sequence[EventDict], event: str) -> list[dict[str, Any]]:
    """The logged lines of one event, without what every line has."""
    bare = {"event", "log_level"}
    return [
        {name: value for name, value in line.items() if name not in bare} for line in logged if line["event"] == event
    ]


def toggles(world: World, campaign: int) -> list[tuple[str, str]]:
    """When the campaign was toggled, and to what, oldest first."""
    rows = world.rows("SELECT * FROM status_changes WHERE campaign_id = %s ORDER BY id", campaign)
    return [(f"{row['changed_at']:%m-%d %H:%M}", row["to_status"]) for row in rows]
