"""Measures seconds from an event that crosses a limit until its campaign is seen inactive, and the references."""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import psycopg

from benchmarks import plain_task, workload
from benchmarks.stage import PROCESSES, QUEUE, BenchStage
from runtime import clock

CROSSINGS: Final = 300
WARM: Final = 20
"""Crossings before the measurement, so that each process has connected."""

LOAD_MESSAGE: Final = 1_000
"""Events in one message of the background load."""

LOAD_KEPT: Final = 0.9
"""Share of the background load that the sender must have sent on time, or the measure fails."""

BETWEEN_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.001
LIMIT: Final = 1_000_000
MADE_BEFOREHAND_SECONDS: Final = 20

# A brand of one campaign for each crossing.
FILL: Final = (
    "INSERT INTO brands (name) SELECT 'Crossing ' || number FROM generate_series(1, %(crossings)s) AS number",
    (
        "INSERT INTO campaigns (brand_id, name, enforced_at)"
        " SELECT id, name, now() FROM brands WHERE name LIKE 'Crossing %%'"
    ),
    (
        "INSERT INTO budgets (brand_id, period, limit_micros)"
        " SELECT id, 'daily', %(limit)s FROM brands WHERE name LIKE 'Crossing %%'"
    ),
)


def crossings(stage: BenchStage, load_a_second: float) -> list[float]:
    """Measures CROSSINGS times the seconds from an event that crosses a limit until its campaign is seen inactive.

    `load_a_second`: events a second in the background; 0: none.
    """
    with stage.copied() as connection, stage.workers():
        campaigns = add_campaigns(connection, WARM + CROSSINGS)
        with loaded(stage, load_a_second):
            return [crossing(stage, connection, campaign, number) for number, campaign in enumerate(campaigns)][WARM:]


def add_campaigns(connection: psycopg.Connection[Any], crossings: int) -> list[int]:
    """Adds `crossings` brands of one campaign, each with a daily budget; returns the campaigns' ids."""
    for statement in FILL:
        parameters = {"crossings": crossings, "limit": LIMIT}
        connection.execute(statement, parameters if "%" in statement else None)
    rows = connection.execute("SELECT id FROM campaigns WHERE name LIKE 'Crossing %' ORDER BY id").fetchall()
    return [campaign for (campaign,) in rows]


def crossing(stage: BenchStage, connection: psycopg.Connection[Any], campaign: int, number: int) -> float:
    """Enqueues an event that crosses the campaign's limit; returns the seconds until the campaign is seen inactive."""
    kwargs = {"events": [crossing_event(campaign)]}
    return timed(stage, kwargs, "ingest_spend", f"crossing-{number}", lambda: is_inactive(connection, campaign))


def crossing_event(campaign: int) -> dict[str, Any]:
    """An event that spends the whole budget of a campaign's brand."""
    return {
        "event_id": str(uuid4()),
        "campaign_id": campaign,
        "occurred_at": (clock.now() - timedelta(seconds=1)).isoformat(),
        "amount_micros": LIMIT,
    }


def is_inactive(connection: psycopg.Connection[Any], campaign: int) -> bool:
    """Whether other connections see the campaign paused."""
    query = "SELECT effective_status = 'inactive' FROM campaigns WHERE id = %s"
    (found,) = connection.execute(query, [campaign]).fetchall()[0]
    return bool(found)


def plain_crossings(stage: BenchStage) -> list[float]:
    """Measures CROSSINGS times the seconds from a crossing event until a plain Celery task has paused its campaign."""
    with stage.copied() as connection, plain_workers(stage):
        connection.execute(plain_task.MADE_WITH)
        campaigns = add_campaigns(connection, WARM + CROSSINGS)
        return [_plain_crossing(connection, campaign) for campaign in campaigns][WARM:]


def _plain_crossing(connection: psycopg.Connection[Any], campaign: int) -> float:
    time.sleep(BETWEEN_SECONDS)
    event = crossing_event(campaign)
    started = time.perf_counter()
    plain_task.count.delay(event)
    while not is_inactive(connection, campaign):
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - started


@contextmanager
def plain_workers(stage: BenchStage) -> Iterator[None]:
    """Runs PROCESSES Celery worker processes during the block, as many as there are worker processes of Spendgate."""
    plain_task.app.conf.broker_url = stage.redis_url
    argv = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "benchmarks.plain_task",
        "worker",
        "-c",
        str(PROCESSES),
        "-l",
        "error",
    ]
    with (stage.home / f"plain-{stage.name}.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=stage.env())
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        plain_task.app.close()


def references(stage: BenchStage, load_a_second: float) -> list[float]:
    """Measures CROSSINGS times the seconds of a message to an actor that does nothing, plus a commit of one row.

    `load_a_second`: events a second in the background; 0: none.
    """
    taken = []
    with stage.copied() as connection, stage.workers("benchmarks.idle_worker"), loaded(stage, load_a_second):
        for number in range(CROSSINGS):
            name = f"nothing-{number}"
            gone: Callable[[], bool] = lambda name=name: not stage.redis.hexists(f"dramatiq:{QUEUE}.msgs", name)  # type: ignore[misc]  # noqa: E731 - bound now
            seconds = timed(stage, {}, "do_nothing", name, gone)
            started = time.perf_counter()
            connection.execute("UPDATE brands SET name = name WHERE id = %s", [number + 1])
            taken.append(seconds + time.perf_counter() - started)
    return taken


def timed(stage: BenchStage, kwargs: dict[str, Any], actor: str, name: str, is_done: Callable[[], bool]) -> float:
    """Enqueues a message under the id `name`; returns the seconds until `is_done` returns True."""
    time.sleep(BETWEEN_SECONDS)
    message = workload.message(kwargs, name, actor)
    started = time.perf_counter()
    stage.put_one(name, message)
    while not is_done():
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - started


@contextmanager
def loaded(stage: BenchStage, events_a_second: float) -> Iterator[None]:
    """Sends `events_a_second` events a second in the background during the block; 0: none.

    Raises AssertionError at the end if they were not sent in time, or the workers are more than a second behind.
    """
    if not events_a_second:
        yield
        return
    stopping, sent = threading.Event(), list[str]()
    coming = load(events_a_second)
    began = time.perf_counter()

    def send() -> None:
        for number, (name, message) in enumerate(coming):
            stopping.wait(max(0.0, began + number * LOAD_MESSAGE / events_a_second - time.perf_counter()))
            if stopping.is_set():
                return
            stage.put_one(name, message)
            sent.append(name)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stopping.set()
        sender.join()
    wanted = (time.perf_counter() - began) * events_a_second / LOAD_MESSAGE
    assert len(sent) > LOAD_KEPT * wanted, f"only {len(sent)} of {wanted:.0f} messages of load were sent"
    assert stage.waiting() < events_a_second / LOAD_MESSAGE, "the load was more than a second behind"


def load(events_a_second: float) -> Iterator[tuple[str, bytes]]:
    """An endless stream of (id, message) pairs of spend.

    Creates the messages for the first MADE_BEFOREHAND_SECONDS beforehand, to spare the sender.
    """
    spend = workload.Spend(seed=99)

    def made(number: int) -> tuple[str, bytes]:
        name = f"load-{number}"
        return name, workload.message({"events": spend.batches(1, LOAD_MESSAGE)[0]}, name, "ingest_spend")

    numbers = itertools.count()
    beforehand = [made(next(numbers)) for _ in range(int(MADE_BEFOREHAND_SECONDS * events_a_second / LOAD_MESSAGE))]
    return itertools.chain(beforehand, map(made, numbers))
