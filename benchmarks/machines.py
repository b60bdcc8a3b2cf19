"""`python -m benchmarks.machines`: measures the figures of docs/evidence/scaling.md.

Events a second with one worker machine and with two, on one Redis and one Postgres. Each machine is a network
namespace, joined to the servers' namespace by a bridge; all share this computer's cores. Then the processor time, disk
and log that an event takes, and the time to drop all months of the ledger. Needs root and iproute2.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Final

from benchmarks import ingest, processors, workload
from benchmarks.processors import postmaster
from benchmarks.stage import BenchStage, running

ROUNDS: Final = 5
MESSAGES: Final = 200
A_MESSAGE: Final = 1_000
MACHINES: Final = 2
BRIDGE: Final = "spendgate0"
NETWORK: Final = "10.231.77"
SERVERS: Final = f"{NETWORK}.1"


def ip(*arguments: str) -> None:
    """Runs a command of iproute2."""
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def network() -> Iterator[list[str]]:
    """Creates a bridge with the servers' address, and MACHINES network namespaces with addresses on it.

    Yields the names of the namespaces; deletes all at the end of the block.
    """
    names = [f"spendgate-{number}" for number in range(1, MACHINES + 1)]
    with ExitStack() as stack:
        ip("link", "add", BRIDGE, "type", "bridge")
        stack.callback(ip, "link", "delete", BRIDGE)
        ip("address", "add", f"{SERVERS}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names, 1):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
            ip("link", "add", f"spendgate{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"spendgate{number}", "master", BRIDGE, "up")
            ip("-n", name, "address", "add", f"{NETWORK}.{number + 1}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names


def rate(stage: BenchStage, machines: list[str], batches: ingest.Batches, warm: ingest.Batches) -> float:
    """Measures events a second that one worker process on each of `machines` reads, counts and enforces, in all."""
    with stage.copied() as observer, ExitStack() as stack:
        for machine in machines:
            stack.enter_context(stage.workers(machine=machine, address=SERVERS, processes=1))
        stage.put(workload.messages(warm))
        stage.until_done()
        seconds = stage.seconds_for(workload.messages(batches))
        ingest.check(observer, sum(map(len, batches)) + sum(map(len, warm)))
    return sum(map(len, batches)) / seconds


# Bytes of the ledger with its keys and of the other tables that spend adds to, and the rows of both.
SIZES: Final = """
    SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'spend_events'::regclass),
        pg_total_relation_size('campaign_days') + pg_total_relation_size('brand_days'),
        (SELECT count(*) FROM spend_events), (SELECT count(*) FROM campaign_days) + (SELECT count(*) FROM brand_days)
"""
LOG: Final = "SELECT pg_current_wal_lsn() - '0/0'"


def footprint(stage: BenchStage) -> Iterator[str]:
    """Measures processor time, disk and log that an event takes, and the time to drop all months of the ledger.

    Yields one line of a Markdown table for each figure.
    """
    spend = workload.Spend(seed=1)
    with stage.copied() as connection, stage.workers() as workers:
        pids = {
            "workers": workers.pid,
            "Postgres": postmaster(stage.url()),
            "Redis": stage.redis.info()["process_id"],
        }
        ((log_before,),) = connection.execute(LOG).fetchall()
        messages = workload.messages(spend.batches(MESSAGES, A_MESSAGE))
        with processors.timed(pids) as used:
            stage.put(messages)
            stage.until_done()
        ((log_after,),) = connection.execute(LOG).fetchall()
        ((ledger, counters, events, days),) = connection.execute(SIZES).fetchall()
        started = time.perf_counter()
        ((dropped,),) = connection.execute("SELECT count(*) FROM drop_ledger_months('2199-01-01')").fetchall()
        seconds = time.perf_counter() - started
        assert dropped > 0, "no month was dropped"
    for name, spent in used.items():
        yield f"| microseconds of processor for an event, {name} | {spent * 1e6 / events:.1f} |"
    yield f"| bytes of an event in a message of {A_MESSAGE:,} | {sum(map(len, messages)) / events:.0f} |"
    yield f"| bytes of an event in the ledger, its key included | {ledger / events:.0f} |"
    log_bytes = (log_after - log_before) / events
    yield f"| bytes of the log of transactions for an event and its counters | {log_bytes:.0f} |"
    yield f"| bytes of a campaign's or brand's day | {counters / days:.0f} |"
    yield f"| milliseconds to drop all months of the ledger, {events:,} events | {seconds * 1000:.0f} |"


def main() -> int:
    """Prints the tables; returns the exit code: 2 without root or iproute2."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        sys.stderr.write("network namespaces need root and iproute2\n")
        return 2
    rates: dict[int, list[float]] = {number: [] for number in range(1, MACHINES + 1)}
    with network() as machines, running(also_at=SERVERS) as stage:
        for seed in range(ROUNDS):
            for number, taken in rates.items():
                spend = workload.Spend(seed=seed)
                warm, batches = spend.batches(ingest.WARM, 200), spend.batches(MESSAGES, A_MESSAGE)
                taken.append(rate(stage, machines[:number], batches, warm))
        lines = list(footprint(stage))
    print("| worker machines, of one process each | events/s | slowest and fastest | ratio to one, and its spread |")
    print("|---:|---:|---:|---:|")
    for number, taken in rates.items():
        ratios_to_one = sorted(two / one for one, two in zip(rates[1], taken, strict=True))
        spread = f"{min(taken):,.0f} to {max(taken):,.0f}"
        ratios = f"{median(ratios_to_one):.2f}, {ratios_to_one[0]:.2f} to {ratios_to_one[-1]:.2f}"
        print(f"| {number} | {median(taken):,.0f} | {spread} | {ratios} |")
    print("\n| figure | |\n|---|---:|")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
