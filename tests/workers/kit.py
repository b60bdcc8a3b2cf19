"""What the tests of the workers share: work done at once, a worker of our own, messages put into Redis by hand."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any
from uuid import uuid4

from dramatiq import Worker
from structlog.typing import EventDict

from tests.world import World
from workers import enforcement, ingest, reports, schedules
from workers.broker import broker

ACTORS = (enforcement, ingest, reports, schedules)
ANY_TIME = 1_700_000_000_000


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
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(timeout=10_000)
        broker.middleware[:] = middleware


def put(data: bytes, queue: str = "spend", redis_id: str | None = None) -> str:
    """Puts bytes on a queue as Dramatiq's script does; returns the id under which they lie there."""
    redis_id = redis_id or str(uuid4())
    broker.client.hset(f"dramatiq:{queue}.msgs", redis_id, data)
    broker.client.rpush(f"dramatiq:{queue}", redis_id)
    return redis_id


def put_message(actor: str = "ingest_spend", queue: str = "spend", **fields: Any) -> str:
    """Puts a message on a queue without Dramatiq's help; `fields` take the place of its own."""
    redis_id = str(uuid4())
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
    return put(json.dumps(message).encode(), queue, redis_id)


def dead_letters(queue: str = "spend") -> set[str]:
    """The ids of the dead letters that Redis keeps for the queue."""
    ids: Any = broker.client.hkeys(f"dramatiq:{queue}.XQ.msgs")
    return {redis_id.decode() for redis_id in ids}


def is_empty(queue: str = "spend") -> bool:
    """Whether nothing waits on the queue, is being worked on, or is delayed."""
    waiting = [f"dramatiq:{name}.msgs" for name in (queue, f"{queue}.DQ")]
    return not any(broker.client.hlen(key) for key in waiting)


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
