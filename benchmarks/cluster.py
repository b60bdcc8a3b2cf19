"""Measures the speed on the Citus cluster that SPENDGATE_TEST_CITUS names, and on a plain database beside it.

`python -m benchmarks.cluster` prints the processor time that an event takes of each server. The plain database is on
the coordinator's server. Every server must run on this computer. Both sides have the same binaries and settings of
Postgres, so only the spreading differs.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg

from benchmarks import ingest, processors, workload
from benchmarks.processors import postmaster
from benchmarks.stage import BenchStage, running
from runtime.embedded.servers import Servers
from tests import citus

EVENTS: Final = 100_000
SINGLE: Final = 2_000
A_MESSAGE: Final = 1_000
ALONE: Final = 200
"""Measured messages of one event; each is enqueued after the previous message was counted."""

WARM: Final = 40
A_FEW: Final = 100
"""Events of each of the WARM messages before the measurement, at most."""
# The workload's brands and campaigns come by SQL; the product's edits would write these rows.
FILL_DIRECTORY: Final = (
    "INSERT INTO directory_brands (id, time_zone, currency) SELECT id, time_zone, currency FROM brands",
    """
    INSERT INTO directory_campaigns (id, brand_id, platform, platform_account_id, external_id)
    SELECT id, brand_id, platform, platform_account_id, external_id FROM campaigns
    """,
)

NODES: Final = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid"


class ClusterStage(BenchStage):
    """A stage on the cluster's servers: each round gets a new database, spread over them or, if `is_plain`, not."""

    def __init__(self, home: Path, redis_url: str, *, is_plain: bool) -> None:
        url = os.environ[citus.VARIABLE]
        super().__init__(home, Servers(url, redis_url))
        self._cluster_url = url
        self._is_plain = is_plain

    @contextmanager
    def copied(self, template: str = "") -> Iterator[psycopg.Connection[Any]]:
        """Makes a database with the workload's brands, which the stage uses during the block; then drops it.

        `template` is ignored.
        """
        del template
        name = f"bench_{os.getpid()}_{next(self._numbers)}"
        self._drop(name)
        if self._is_plain:
            self.execute("CREATE DATABASE {}", name)
        else:
            citus.make_database(self._cluster_url, name)
        try:
            self.fill_database(name)
            with self.entered(name) as connection:
                for statement in () if self._is_plain else FILL_DIRECTORY:
                    connection.execute(statement)
                yield connection
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        if self._is_plain:
            self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        else:
            citus.drop_database(self._cluster_url, name)

    def pids(self, workers: int) -> dict[str, int]:
        """The process ids of the servers that count an event, and of the workers' master, by name."""
        found = {"workers": workers, "coordinator": postmaster(self.url())}
        if not self._is_plain:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                nodes = connection.execute(NODES.encode()).fetchall()
            for number, node in enumerate(nodes, 1):
                found[f"node {number}"] = postmaster(citus.database_url(self._cluster_url, self.name, node))
        return {**found, "Redis": self.redis.info()["process_id"]}


def stages(stage: BenchStage) -> tuple[ClusterStage, ClusterStage]:
    """The stages of the cluster and of the plain database, in this order, with the Redis of `stage`."""
    cluster, plain = (ClusterStage(stage.home, stage.redis_url, is_plain=is_plain) for is_plain in (False, True))
    return cluster, plain


def rates(stage: BenchStage, number: int, events: int) -> tuple[float, float]:
    """Measures events a second from messages of `events` events, on the cluster and on the plain database."""
    spend = workload.Spend(seed=number)
    total = SINGLE if events == 1 else EVENTS
    warm, batches = spend.batches(WARM, min(events, A_FEW)), spend.batches(total // events, events)
    ours, reference = (ingest.ingested(one, batches, warm, must_cross=False) for one in stages(stage))
    return ours, reference


def seconds_alone(stage: BenchStage, number: int) -> tuple[float, float]:
    """Measures the seconds from enqueue to acknowledgement of an event while nothing else waits.

    Returns the medians on the cluster and on the plain database.
    """
    spend = workload.Spend(seed=number)
    ours, reference = (_seconds_alone(one, spend.batches(WARM + ALONE, 1)) for one in stages(stage))
    return ours, reference


def _seconds_alone(stage: ClusterStage, batches: ingest.Batches) -> float:
    taken = []
    with stage.copied(), stage.workers():
        for place, message in enumerate(workload.messages(batches)):
            started = time.perf_counter()
            stage.put_one(f"message-{place}", message)
            while stage.waiting():
                time.sleep(0.0005)
            taken.append(time.perf_counter() - started)
    return median(taken[WARM:])


def footprint(stage: ClusterStage, events: int, total: int) -> dict[str, float]:
    """Measures the microseconds of processor time that an event takes of each server and the workers, by name.

    `total` events are sent, in messages of `events` events.
    """
    spend = workload.Spend(seed=1)
    warm, batches = spend.batches(WARM, min(events, A_FEW)), spend.batches(total // events, events)
    with stage.copied() as observer, stage.workers() as workers:
        stage.put(workload.messages(warm))
        stage.until_done()
        with processors.timed(stage.pids(workers.pid)) as used:
            stage.put(workload.messages(batches))
            stage.until_done()
        ingest.check(observer, total + WARM * min(events, A_FEW))
    return {name: seconds * 1e6 / total for name, seconds in used.items()}


def main() -> int:
    """Prints the table; returns the exit code: 2 if SPENDGATE_TEST_CITUS names no cluster."""
    if not citus.is_used():
        sys.stderr.write(f"{citus.VARIABLE}: not set; name the coordinator's URL\n")
        return 2
    print("| microseconds of processor for an event | workers | coordinator | nodes, each | Redis |")
    print("|---|---:|---:|---|---:|")
    with running() as stage:
        for events, total in ((A_MESSAGE, EVENTS), (1, SINGLE)):
            for one, name in zip(stages(stage), ("spread", "plain"), strict=True):
                used = footprint(one, events, total)
                nodes = ", ".join(f"{micros:.1f}" for server, micros in used.items() if server.startswith("node"))
                parts = [f"{used['workers']:.1f}", f"{used['coordinator']:.1f}", nodes, f"{used['Redis']:.1f}"]
                print(f"| {name}, messages of {events:,} | {' | '.join(parts)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
