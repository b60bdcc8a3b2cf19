"""`python -m benchmarks.replica`: measures how much a read replica relieves Postgres, for docs/evidence/scaling.md.

Events are counted while pages are requested: none, from the primary, and from a streaming replica. The table also has
the processor seconds of each server, because all share two cores here.
"""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Final, NamedTuple

import psycopg

from benchmarks import ingest, processors, workload
from benchmarks.pages import seconds, wait_for
from benchmarks.processors import postmaster
from benchmarks.stage import BenchStage, running, until
from benchmarks.standby import standby
from tests.ports import free_port

ROUNDS: Final = 5
MESSAGES: Final = 400
A_MESSAGE: Final = 1_000
PAGES_A_SECOND: Final = 20
HEAD: Final = (
    *("pages look at", "events/s", "slowest and fastest", "a page, median", "95 %"),
    *("primary: processor, s", "replica: processor, s"),
)
PAGES: Final = ("/", "/brands/500", "/campaigns/5000", "/changes")


class Taken(NamedTuple):
    """Events a second, the pages' response times in milliseconds, and processor seconds of the servers."""

    rate: float
    pages_ms: list[float]
    primary: float
    replica: float


@contextmanager
def looked_at(stage: BenchStage, replica_url: str | None) -> Iterator[list[float]]:
    """Starts a web process and requests its pages, at most PAGES_A_SECOND, in the background during the block.

    Yields the list to which it adds response times in milliseconds. `replica_url` None: pages read from the primary.
    """
    port, stopping, taken = free_port(), threading.Event(), list[float]()
    env = {**stage.env(), "PORT": str(port), "SPENDGATE_OPEN_DASHBOARD": "true", "LOG_LEVEL": "ERROR"}
    web = subprocess.Popen(
        [sys.executable, "-m", "web"], env=env | ({"REPLICA_DATABASE_URL": replica_url} if replica_url else {})
    )
    base = f"http://127.0.0.1:{port}"

    def look() -> None:
        for page in itertools.cycle(PAGES):
            if stopping.wait(1 / PAGES_A_SECOND):
                return
            taken.append(seconds(base + page) * 1_000)

    reader = threading.Thread(target=look)
    try:
        wait_for(f"{base}/readyz")
        reader.start()
        yield taken
    finally:
        stopping.set()
        reader.join()
        web.terminate()
        web.wait()


def counted(stage: BenchStage, spend: workload.Spend) -> float:
    """Measures events a second that the worker processes count."""
    ready = workload.messages(spend.batches(MESSAGES, A_MESSAGE))
    with stage.workers():
        stage.put(workload.messages(spend.batches(ingest.WARM, 200)))
        stage.until_done()
        return MESSAGES * A_MESSAGE / stage.seconds_for(ready)


def measured(stage: BenchStage, servers: dict[str, int], replica: str, looks_at: str, seed: int) -> Taken:
    """Measures one round, with pages that read from `looks_at`: `primary`, `replica`, or `nothing` for no pages."""
    spend = workload.Spend(seed=seed)
    with stage.copied():
        url = f"{replica.rpartition('/')[0]}/{stage.name}"
        until(lambda: answers(url))
        with processors.timed(servers) as used:
            if looks_at == "nothing":
                rate, pages = counted(stage, spend), list[float]()
            else:
                with looked_at(stage, url if looks_at == "replica" else None) as pages:
                    rate = counted(stage, spend)
    return Taken(rate, pages, used["primary"], used["replica"])


def answers(url: str) -> bool:
    """Whether the replica has the database already; waits 0.1 s before it returns False."""
    try:
        with psycopg.connect(url, connect_timeout=5):
            return True
    except psycopg.OperationalError:
        time.sleep(0.1)
        return False


def main() -> int:
    """Prints the table of rates, response times and processor seconds, by what the pages read from."""
    taken: dict[str, list[Taken]] = {"nothing": [], "primary": [], "replica": []}
    with running() as stage, standby(stage.url("postgres"), stage.home / "standby") as replica:
        servers = {"primary": postmaster(stage.url("postgres")), "replica": postmaster(replica)}
        for seed in range(ROUNDS):
            for looks_at, rounds in taken.items():
                rounds.append(measured(stage, servers, replica, looks_at, seed))
    print(f"{MESSAGES * A_MESSAGE:,} events, {PAGES_A_SECOND} pages a second at most, medians of {ROUNDS} rounds\n")
    print(f"| {' | '.join(HEAD)} |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for looks_at, rounds in taken.items():
        print(row(looks_at, rounds))
    return 0


def row(looks_at: str, rounds: list[Taken]) -> str:
    """The line of the table for what the pages read from, with medians of its rounds."""
    rates = sorted(one.rate for one in rounds)
    figures: list[Any] = [f"{median(rates):,.0f}", f"{rates[0]:,.0f} to {rates[-1]:,.0f}"]
    pages = sorted(page for one in rounds for page in one.pages_ms)
    figures += [f"{median(pages):.0f} ms", f"{pages[len(pages) * 95 // 100]:.0f} ms"] if pages else ["", ""]
    figures += [f"{median(one.primary for one in rounds):.2f}", f"{median(one.replica for one in rounds):.2f}"]
    return f"| {looks_at} | {' | '.join(figures)} |"


if __name__ == "__main__":
    sys.exit(main())
