"""One round of each measure: the product's figure beside that of a plain reference."""

from collections.abc import Callable
from functools import cache
from statistics import quantiles
from typing import Final, NamedTuple

from benchmarks import clockwork, files, history, idle, ingest, large, latency, scrape, size, stall, traced
from benchmarks.stage import BenchStage
from benchmarks.workload import Spend

EVENTS: Final = 600_000
SINGLE: Final = 20_000


class Pair(NamedTuple):
    """The figures of one round: the product's and the reference's."""

    ours: float
    reference: float


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
    """Events a second by workers with traces, from messages with sampled senders; reference: without traces."""

    def measured(stage: BenchStage, number: int) -> Pair:
        spend = Spend(seed=number)
        warm, batches = spend.batches(ingest.WARM, min(events, 200)), spend.batches(total // events, events)
        plain = traced.ingested(stage, batches, warm, is_on=False)
        return Pair(traced.ingested(stage, batches, warm, is_on=True), plain)

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


def seals(stage: BenchStage, _number: int) -> Pair:
    """Status changes a second that are sealed; reference: hashed by one statement."""
    return Pair(*history.sealed(stage))


def replays(stage: BenchStage, number: int) -> Pair:
    """Rejected events a second that a replay counts; reference: workers count them from messages."""
    return Pair(*history.replayed(stage, number))


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
