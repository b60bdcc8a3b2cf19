"""`python -m benchmarks [measure …]`: speed and latency of the product, each beside a plain reference of the same run.

Prints a Markdown table: medians of alternating rounds, and the ratio of each pair with its spread.
"""

import sys
from collections.abc import Callable
from functools import cache
from statistics import median, quantiles
from typing import Final, NamedTuple

from benchmarks import clockwork, files, idle, ingest, large, latency, scrape, size, stall, traced
from benchmarks.stage import BenchStage, running
from benchmarks.workload import Spend

ROUNDS: Final = 5
EVENTS: Final = 600_000
SINGLE: Final = 20_000
QUARTER: Final = 40_000
"""Events a second: a quarter of the rate that the first measure reaches on the reference machine."""

SECONDS: Final = "seconds"
MEGABYTES: Final = "MB"
PERCENT: Final = "% of a core"
MISSED: Final = "no"
AT_MOST: Final = {SECONDS, MEGABYTES, PERCENT}
HEAD: Final = ("measure", "unit", "ours", "reference", "ratio", "its spread", "to reach", "reached")


class Pair(NamedTuple):
    """The figures of one round: the product's and the reference's."""

    ours: float
    reference: float


class Measure(NamedTuple):
    """A measure: its unit, the function for one round, and the bound of the ratio.

    The ratio must be at least the bound, or at most the bound for units in AT_MOST, of which less is better.
    """

    name: str
    unit: str
    measured: Callable[[BenchStage, int], Pair]
    to_reach: float | None


def rate(
    events: int, version: int, reference: Callable[[BenchStage, ingest.Batches], float] = ingest.copied
) -> Callable[[BenchStage, int], Pair]:
    """Events a second from messages of so many events; reference: one connection that COPYs the same rows."""

    def measured(stage: BenchStage, number: int) -> Pair:
        spend = Spend(version, seed=number)
        warm, batches = spend.batches(ingest.WARM, min(events, 200)), spend.batches(EVENTS // events, events)
        plain = reference(stage, batches)
        return Pair(ingest.ingested(stage, batches, warm), plain)

    return measured


def single(stage: BenchStage, number: int) -> Pair:
    """Messages of one event a second; reference: messages for an actor that does nothing."""
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 1), spend.batches(SINGLE, 1)
    reference = ingest.passed_through(stage, batches)
    return Pair(ingest.ingested(stage, batches, warm), reference)


def with_traces(events: int, total: int) -> Callable[[BenchStage, int], Pair]:
    """Events a second with every message of so many events traced; reference: without traces."""

    def measured(stage: BenchStage, number: int) -> Pair:
        spend = Spend(seed=number)
        warm, batches = spend.batches(ingest.WARM, min(events, 200)), spend.batches(total // events, events)
        plain = ingest.ingested(stage, batches, warm, must_cross=False)
        return Pair(traced.ingested(stage, batches, warm), plain)

    return measured


def kept(stage: BenchStage, number: int) -> Pair:
    """Events a second while Redis keeps messages after their commit; reference: while it does not."""
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 4_000, 1_000)
    reference = ingest.ingested(stage, batches, warm)
    with stage.using({"SPENDGATE_KEEP_MESSAGES_MINUTES": "60"}):
        return Pair(ingest.ingested(stage, batches, warm), reference)


def twice(stage: BenchStage, number: int) -> Pair:
    """Deliveries a second when all messages are sent again after the last one; reference: as many new messages."""
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 2_000, 1_000)
    fresh = ingest.ingested(stage, [*batches, *spend.batches(EVENTS // 2_000, 1_000)], warm)
    return Pair(ingest.ingested(stage, batches, warm, deliveries=2), fresh)


def stalled(busy_loops: int) -> Callable[[BenchStage, int], Pair]:
    """Events a second after a lock on one brand, while the producer keeps sending; reference: before the lock."""
    return lambda stage, number: Pair(*stall.recovered(stage, number, busy_loops))


def one_locked(stage: BenchStage, number: int) -> Pair:
    """Events a second of all brands but the busiest, which is locked; reference: a transaction that locks none."""
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 1_000), spend.batches(2 * EVENTS // 1_000, 1_000)
    reference = stall.of_others(stage, batches, warm, spend.busiest_brand(), is_locked=False)
    return Pair(stall.of_others(stage, batches, warm, spend.busiest_brand(), is_locked=True), reference)


def hot(stage: BenchStage, number: int) -> Pair:
    """Events a second when all are of one brand; reference: of 1,000 brands."""
    rates = []
    for only_brand_id in (1, None):
        spend = Spend(seed=number, only_brand_id=only_brand_id)
        warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 1_000, 1_000)
        rates.append(ingest.ingested(stage, batches, warm, must_cross=only_brand_id is None))
    return Pair(*rates)


def aged(stage: BenchStage, number: int) -> Pair:
    """Events a second with many events in the ledger; reference: with few."""
    spend = Spend(seed=number)
    rates = []
    for events in (size.FEW, size.MANY):
        warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 1_000, 1_000)
        rates.append(size.rate_upon(stage, events, batches, warm))
    return Pair(rates[1], rates[0])


def resident(stage: BenchStage, number: int) -> Pair:
    """Memory of the largest worker process after many events; reference: after the first of them."""
    return Pair(*size.resident(stage, number))


def ticks(stage: BenchStage, _number: int) -> Pair:
    """Seconds of a tick among many campaigns; reference: among few."""
    reference = clockwork.tick(stage, clockwork.FEW)
    return Pair(clockwork.tick(stage, clockwork.MANY), reference)


def resets(stage: BenchStage, _number: int) -> Pair:
    """Seconds of a reset that reactivates many campaigns; reference: one UPDATE of them."""
    return Pair(*clockwork.reset(stage))


def large_rate(stage: BenchStage, number: int) -> Pair:
    """Campaigns a second when one large brand pauses; reference: the daily reset of many brands."""
    seconds, _ = clockwork.reset(stage)
    return Pair(large.measured(stage, number).campaigns_a_second, clockwork.HELD / seconds)


def with_large_brand(place: int) -> Callable[[BenchStage, int], Pair]:
    """Seconds until other brands' campaigns pause while a large brand pauses; reference: while idle.

    `place`: the percentile.
    """

    def measured(stage: BenchStage, number: int) -> Pair:
        found = large.measured(stage, number)
        ours, reference = (quantiles(taken, n=100)[place - 1] for taken in (found.meanwhile, found.idle))
        return Pair(ours, reference)

    return measured


def large_events(stage: BenchStage, number: int) -> Pair:
    """Seconds of a large brand's slowest event while it pauses, from enqueue until counted; reference: one second."""
    return Pair(max(large.measured(stage, number).own_events), 1)


def idle_worker(stage: BenchStage, _number: int) -> Pair:
    """Processor use of the busiest idle worker process; reference: its limit."""
    return Pair(idle.percent_of_a_core(stage), idle.ALLOWED_PERCENT)


def scrape_workers(stage: BenchStage, number: int) -> Pair:
    """Seconds of a scrape of workers whose processes were replaced 200 times; reference: its limit."""
    return Pair(scrape.of_workers(stage, number), scrape.ALLOWED_SECONDS)


def scrape_compared(stage: BenchStage, number: int) -> Pair:
    """Seconds of the scrape of `scrape_workers`; reference: of a server without any metric."""
    return Pair(scrape.of_workers(stage, number), scrape.of_nothing())


def scrape_scheduler(stage: BenchStage, number: int) -> Pair:
    """Seconds of a scrape of the scheduler, which reads figures of Postgres and Redis; reference: its limit."""
    return Pair(scrape.of_scheduler(stage, number), scrape.ALLOWED_SECONDS)


def idle_job(job: str) -> Callable[[BenchStage, int], Pair]:
    """Seconds of a job with nothing to do; reference: an empty transaction."""
    return lambda stage, _number: Pair(*clockwork.nothing(stage, job))


def file_rate(_stage: BenchStage, _number: int) -> Pair:
    """Rows a second of a CSV file read into totals; reference: csv.reader alone."""
    return Pair(*files.rates(files.csv_file(1), files.plain_csv))


def workbook_rate(_stage: BenchStage, _number: int) -> Pair:
    """Rows a second of a workbook read into totals; reference: its parser alone."""
    return Pair(*files.rates(files.workbook(), files.plain_workbook))


def file_memory(stage: BenchStage, _number: int) -> Pair:
    """Peak memory of a process that imports 100 MB of CSV; reference: its limit."""
    return Pair(files.peak_megabytes(stage.env()), files.ALLOWED_MEGABYTES)


def workbook_memory(stage: BenchStage, _number: int) -> Pair:
    """Peak memory of a process that imports a workbook of 200,000 rows; reference: the limit for CSV."""
    return Pair(files.peak_megabytes_of_workbook(stage.env()), files.ALLOWED_MEGABYTES)


@cache
def delays(stage: BenchStage, load: float, number: int) -> tuple[list[float], list[float]]:
    """The seconds of each crossing of a limit in one round, and of each reference.

    The reference of an idle crossing is a plain Celery task, of one under load an empty actor and one commit.
    """
    del number
    references = latency.references(stage, load) if load else latency.plain_crossings(stage)
    return latency.crossings(stage, load), references


def delay(load: float, place: int) -> Callable[[BenchStage, int], Pair]:
    """Seconds until a campaign pauses; reference: see `delays`.

    `place`: the percentile.
    """

    def measured(stage: BenchStage, number: int) -> Pair:
        ours, reference = (quantiles(taken, n=100)[place - 1] for taken in delays(stage, load, number))
        return Pair(ours, reference)

    return measured


MEASURES: Final = {
    "rate-1000": Measure("messages of 1,000 events; COPY", "events/s", rate(1_000, 7), 0.8),
    "rate-1000-v4": Measure("messages of 1,000 events, random ids; COPY", "events/s", rate(1_000, 4), 0.8),
    "rate-5000": Measure("messages of 5,000 events; COPY", "events/s", rate(5_000, 7), 0.5),
    "ready-1000": Measure(
        "messages of 1,000 events; COPY of prepared rows", "events/s", rate(1_000, 7, ingest.copied_ready), None
    ),
    "ready-5000": Measure(
        "messages of 5,000 events; COPY of prepared rows", "events/s", rate(5_000, 7, ingest.copied_ready), None
    ),
    "rate-1": Measure("messages of one event; an actor that does nothing", "messages/s", single, 0.7),
    "traces-1000": Measure("messages of 1,000 events, traced; not", "events/s", with_traces(1_000, EVENTS), 0.95),
    "traces-1": Measure("messages of one event, traced; not", "messages/s", with_traces(1, SINGLE), 0.95),
    "kept": Measure("messages of 1,000 events, kept after their commit; not kept", "events/s", kept, 0.95),
    "twice": Measure("all messages, and all once more; as many new ones", "deliveries/s", twice, 0.5),
    "stall": Measure("10 to 18 s after a lock of 10 s on one brand; before", "events/s", stalled(0), 0.8),
    "stall-busy": Measure("10 to 18 s after a lock of 10 s, with two busy loops; before", "events/s", stalled(2), 0.8),
    "one-locked": Measure(
        "all other brands while the busiest is locked; while a transaction is open", "events/s", one_locked, 0.8
    ),
    "hot": Measure("all spend on one brand; on 1,000", "events/s", hot, 0.7),
    "idle-p50": Measure("event to inactive campaign, idle, p50; a plain Celery task", SECONDS, delay(0, 50), 1),
    "idle-p99": Measure("event to inactive campaign, idle, p99; a plain Celery task", SECONDS, delay(0, 99), 1),
    "load-p50": Measure(
        "event to inactive campaign, quarter load, p50; round trip and commit", SECONDS, delay(QUARTER, 50), 2
    ),
    "load-p99": Measure(
        "event to inactive campaign, quarter load, p99; round trip and commit", SECONDS, delay(QUARTER, 99), 4
    ),
    "tick": Measure("tick: 1,000 campaigns due among 1,000,000; among 10,000", SECONDS, ticks, 1.3),
    "reset": Measure("daily reset of 100,000 campaigns; one UPDATE", SECONDS, resets, 4),
    "large": Measure("1,000,000 campaigns of one brand pause; daily reset of 100,000", "campaigns/s", large_rate, 0.5),
    "large-p50": Measure("event to inactive campaign with a large brand, p50; idle", SECONDS, with_large_brand(50), 2),
    "large-p95": Measure("event to inactive campaign with a large brand, p95; idle", SECONDS, with_large_brand(95), 2),
    "large-own": Measure(
        "slowest event of a large brand that pauses, until counted; one second", SECONDS, large_events, 1
    ),
    "aged": Measure("20,000,000 events in the ledger; 1,000,000", "events/s", aged, 0.9),
    "memory": Measure("a worker process after 5,000,000 events; after 100,000", MEGABYTES, resident, 1.1),
    "idle-tick": Measure("tick with nothing to do; an empty transaction", SECONDS, idle_job("tick"), 3),
    "idle-reset": Measure("daily reset with nothing to do; an empty transaction", SECONDS, idle_job("reset"), 3),
    "file": Measure("CSV of 200,000 rows into totals; csv.reader alone", "rows/s", file_rate, 0.08),
    "workbook": Measure("XLSX of 200,000 rows into totals; its parser alone", "rows/s", workbook_rate, 0.08),
    "file-memory": Measure("a process that imports 100 MB of CSV; 200 MB", MEGABYTES, file_memory, 1),
    "workbook-memory": Measure("a process that imports XLSX of 200,000 rows; 200 MB", MEGABYTES, workbook_memory, None),
    "scrape": Measure("a scrape of 8 worker processes after 200 restarts; 0.2 s", SECONDS, scrape_workers, 1),
    "scrape-empty": Measure("a scrape of 8 worker processes; of no metrics at all", SECONDS, scrape_compared, None),
    "scrape-scheduler": Measure("a scrape of the scheduler; 0.2 s", SECONDS, scrape_scheduler, 1),
    "idle-worker": Measure("an idle worker process; 0.3 % of a core", PERCENT, idle_worker, 1),
}


def verdict(measure: Measure, ratio: float) -> tuple[str, str]:
    """The bound in words, and whether the ratio meets it; empty strings without a bound."""
    if measure.to_reach is None:
        return "", ""
    if measure.unit in AT_MOST:
        return f"at most {measure.to_reach}", "yes" if ratio <= measure.to_reach else MISSED
    return f"at least {measure.to_reach}", "yes" if ratio >= measure.to_reach else MISSED


def row(measure: Measure, pairs: list[Pair]) -> tuple[str, ...]:
    """The cells of a measure: medians of its rounds."""
    ratios = sorted(pair.ours / pair.reference for pair in pairs)
    ratio = median(ratios)
    figures = (median(pair.ours for pair in pairs), median(pair.reference for pair in pairs))
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    return (measure.name, measure.unit, *map(shown, figures), f"{ratio:.2f}", spread, *verdict(measure, ratio))


def shown(figure: float) -> str:
    """A figure with its significant digits."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.4g}"


def main(names: list[str]) -> int:
    """Runs the named measures, or all. Returns the exit code: 1 if one misses its bound, 2 for an unknown name."""
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        sys.stderr.write(f"no measure {unknown[0]}: there are {', '.join(MEASURES)}\n")
        return 2
    print(f"| {' | '.join(HEAD)} |\n|---|---|---:|---:|---:|---:|---:|---|", flush=True)
    rows = []
    with running() as stage:
        for measure in [MEASURES[name] for name in names or MEASURES]:
            pairs = []
            for number in range(ROUNDS):
                pairs.append(measure.measured(stage, number))
                sys.stderr.write(f"\r\x1b[K{measure.name}: round {number + 1} of {ROUNDS}, {shown(pairs[-1].ours)}")
            sys.stderr.write("\r\x1b[K")
            rows.append(row(measure, pairs))
            print(f"| {' | '.join(rows[-1])} |", flush=True)
    return int(any(cells[-1] == MISSED for cells in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
