"""Measures what may depend on the number of counted events: speed with a large ledger, and memory of a worker."""

import time
from pathlib import Path
from typing import Final

from benchmarks import ingest, workload
from benchmarks.stage import BenchStage

FEW: Final = 1_000_000
MANY: Final = 20_000_000
A_MESSAGE: Final = 1_000
FIRST_EVENTS: Final = 100_000
ALL_EVENTS: Final = 5_000_000
WAITING_AT_MOST: Final = 60
"""Messages on the queue, at most: enough to keep the workers busy, few enough to keep Redis small."""

# Events of the workload's hours, campaigns and size, inserted in the order of the primary key, which is fastest.
FILL_LEDGER: Final = """
    INSERT INTO spend_events (event_id, brand_id, campaign_id, occurred_at, amount_micros)
    SELECT gen_random_uuid(), 1 + number %% %(brands)s, 1 + number %% %(campaigns)s,
        now() - number %% %(seconds)s * interval '1 second', 1 + number %% 9999
    FROM generate_series(1, %(events)s) AS number
    ORDER BY 2, 1
"""


def rate_upon(stage: BenchStage, events: int, batches: ingest.Batches, warm: ingest.Batches) -> float:
    """Measures events a second with at least `events` events in the ledger; the events of each round stay there."""
    sizes = {"brands": workload.BRANDS, "campaigns": workload.CAMPAIGNS, "seconds": workload.HOURS * 3600}
    kept = stage.kept(f"ledger_{events}", FILL_LEDGER, parameters={**sizes, "events": events})
    with stage.entered(kept) as observer, stage.workers():
        before = ingest.counted(observer)
        stage.put(workload.messages(warm))
        stage.until_done()
        seconds = stage.seconds_for(workload.messages(batches))
        added = sum(map(len, batches)) + sum(map(len, warm))
        ingest.check(observer, before + added)
    return sum(map(len, batches)) / seconds


def resident(stage: BenchStage, number: int) -> tuple[float, float]:
    """Measures the memory, in MiB, of the largest worker process after ALL_EVENTS and after FIRST_EVENTS."""
    spend = workload.Spend(seed=number)
    with stage.copied(), stage.workers() as master:
        _fed(stage, spend, FIRST_EVENTS)
        early = _largest_child(master.pid)
        _fed(stage, spend, ALL_EVENTS - FIRST_EVENTS)
        return _largest_child(master.pid), early


def _fed(stage: BenchStage, spend: workload.Spend, events: int) -> None:
    """Sends `events` new events, with at most some WAITING_AT_MOST messages waiting; returns once all are counted."""
    for number in range(events // A_MESSAGE):
        (batch,) = spend.batches(1, A_MESSAGE)
        name = f"fed-{number}"
        stage.put_one(name, workload.message({"events": batch}, name, "ingest_spend"))
        while stage.waiting() > WAITING_AT_MOST:
            time.sleep(0.005)
    stage.until_done()


def _largest_child(parent: int) -> float:
    """Resident memory, in MiB, of the largest child process of `parent`."""
    statuses = (path.read_text() for path in Path("/proc").glob("[0-9]*/status"))
    fields = (dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line) for status in statuses)
    sizes = [int(found["VmRSS"].split()[0]) / 1024 for found in fields if int(found["PPid"]) == parent]
    return max(sizes)
