"""Measures the speed of counting while another program locks a brand's row, and after the release of the lock."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import psycopg

from benchmarks import ingest, workload
from benchmarks.ingest import Batches
from benchmarks.stage import BenchStage, until

OFFERED: Final = 20_000
"""Events a second that the producer sends: less than workers count at full speed, more than stalled ones count."""

A_MESSAGE: Final = 1_000
LOCKED_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 10.0
"""Seconds after the release of the lock at which the measurement of the recovered speed starts."""

OBSERVED_SECONDS: Final = 8.0
PRODUCED: Final = int(OFFERED * (OBSERVED_SECONDS + LOCKED_SECONDS + SETTLED_SECONDS + 2 * OBSERVED_SECONDS))
SPIN: Final = "while True: pass"
LOCK: Final = "SELECT FROM brands WHERE id = %s FOR NO KEY UPDATE"
OPEN: Final = "SELECT pg_current_xact_id() WHERE %s > 0"
"""Locks nothing. Any open transaction keeps Postgres from reusing old row versions, which slows updates of counters."""

SPENT_BY_OTHERS: Final = "SELECT coalesce(sum(spent_micros), 0) FROM brand_days WHERE brand_id <> %s"


def recovered(stage: BenchStage, number: int, busy_loops: int) -> tuple[float, float]:
    """Measures events a second SETTLED_SECONDS after a lock of LOCKED_SECONDS on the busiest brand, and before it.

    `busy_loops`: processes that load the machine meanwhile.
    """
    spend = workload.Spend(seed=number)
    ready = workload.messages(spend.batches(PRODUCED // A_MESSAGE, A_MESSAGE))
    brand_id = spend.busiest_brand()
    with stage.copied() as observer, stage.workers(), busy(busy_loops), producing(stage, ready):
        time.sleep(OBSERVED_SECONDS / 2)
        before = rate(observer)
        with opened(stage, LOCK, brand_id):
            time.sleep(LOCKED_SECONDS)
        time.sleep(SETTLED_SECONDS)
        after = rate(observer)
        until(lambda: stage.waiting() < OFFERED // A_MESSAGE)
    return after, before


def rate(observer: psycopg.Connection[Any]) -> float:
    """Measures, for OBSERVED_SECONDS, the events a second that reach the ledger."""
    first, started = ingest.counted(observer), time.perf_counter()
    time.sleep(OBSERVED_SECONDS)
    return (ingest.counted(observer) - first) / (time.perf_counter() - started)


def of_others(stage: BenchStage, batches: Batches, warm: Batches, brand_id: int, *, is_locked: bool) -> float:
    """Measures events a second of all brands but one while another program has a transaction open.

    `is_locked`: that transaction locks the brand `brand_id`; else it locks nothing. Each process meets the lock once
    before the measurement starts.
    """
    warm_micros, _ = _others(warm, brand_id)
    micros, others = _others(batches, brand_id)
    with stage.copied() as observer, ExitStack() as lock:
        lock.enter_context(opened(stage, LOCK if is_locked else OPEN, brand_id))
        with stage.workers():
            stage.put(workload.messages(warm))
            until(lambda: spent_by_others(observer, brand_id) == warm_micros)
            ready = workload.messages(batches)
            started = time.perf_counter()
            for number, message in enumerate(ready):
                stage.put_one(f"timed-{number}", message)
            until(lambda: spent_by_others(observer, brand_id) == warm_micros + micros)
            seconds = time.perf_counter() - started
            lock.close()
            stage.until_done()
            ingest.check(observer, sum(map(len, batches)) + sum(map(len, warm)))
            ingest.check_enforced(observer)
    return others / seconds


def _others(batches: Batches, brand_id: int) -> tuple[int, int]:
    """The micros and the number of the events of all brands but `brand_id`."""
    amounts = [
        event["amount_micros"]
        for batch in batches
        for event in batch
        if workload.brand_of(event["campaign_id"]) != brand_id
    ]
    return sum(amounts), len(amounts)


def spent_by_others(observer: psycopg.Connection[Any], brand_id: int) -> int:
    """Micros in the counters of all brands but `brand_id`."""
    ((micros,),) = observer.execute(SPENT_BY_OTHERS, [brand_id]).fetchall()
    return int(micros)


@contextmanager
def opened(stage: BenchStage, statement: str, brand_id: int) -> Iterator[None]:
    """Keeps another program's transaction open during the block, after a statement about a brand."""
    with psycopg.connect(stage.url()) as other_program:
        other_program.execute(statement.encode(), [brand_id])
        yield
        other_program.rollback()


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Runs `loops` processes that compute without a pause during the block, to load the machine."""
    running = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


@contextmanager
def producing(stage: BenchStage, messages: list[bytes]) -> Iterator[None]:
    """Enqueues the messages at OFFERED events a second during the block, regardless of how fast they are counted."""
    stopping = threading.Event()
    began = time.perf_counter()

    def send() -> None:
        for number, message in enumerate(messages):
            stopping.wait(max(0.0, began + number * A_MESSAGE / OFFERED - time.perf_counter()))
            if stopping.is_set():
                return
            stage.put_one(f"message-{number}", message)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stopping.set()
        sender.join()
