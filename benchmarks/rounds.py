"""One round of each measure: the product's figure beside the figure of a plain reference."""

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
    """Returns a round: events a second from messages of `events` events; reference: a COPY of the same rows.

    `version`: of the UUIDs of events, 7 or 4. `reference`: measures events a second of the reference.
    """

    def measured(stage: BenchStage, number: int) -> Pair:
        spend = Spend(version, seed=number)
        warm, batches = spend.batches(ingest.WARM, min(events, 200)), spend.batches(EVENTS // events, events)
        plain = reference(stage, batches)
        return Pair(ingest.ingested(stage, batches, warm), plain)

    return measured


def single(stage: BenchStage, number: int) -> Pair:
    """Measures messages a second that have one event each; reference: messages for an actor that does nothing."""
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 1), spend.batches(SINGLE, 1)
    reference = ingest.passed_through(stage, batches)
    return Pair(ingest.ingested(stage, batches, warm), reference)


def with_traces(events: int, total: int) -> Callable[[BenchStage, int], Pair]:
    """Returns a round: events a second by workers with traces; reference: by workers without traces.

    `total` events are sent, in messages of `events` events whose senders are sampled.
    """

    def measured(stage: BenchStage, number: int) -> Pair:
        spend = Spend(seed=number)
        warm, batches = spend.batches(ingest.WARM, min(events, 200)), spend.batches(total // events, events)
        plain = traced.ingested(stage, batches, warm, is_on=False)
        return Pair(traced.ingested(stage, batches, warm, is_on=True), plain)

    return measured


def kept(stage: BenchStage, number: int) -> Pair:
    """Measures events a second while Redis keeps messages after their commit; reference: while it does not."""
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 4_000, 1_000)
    reference = ingest.ingested(stage, batches, warm)
    with stage.using({"SPENDGATE_KEEP_MESSAGES_MINUTES": "60"}):
        return Pair(ingest.ingested(stage, batches, warm), reference)


def twice(stage: BenchStage, number: int) -> Pair:
    """Measures deliveries a second when all messages are sent twice, one time after the other; reference: new ones."""
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 2_000, 1_000)
    fresh = ingest.ingested(stage, [*batches, *spend.batches(EVENTS // 2_000, 1_000)], warm)
    return Pair(ingest.ingested(stage, batches, warm, deliveries=2), fresh)


def stalled(busy_loops: int) -> Callable[[BenchStage, int], Pair]:
    """Returns a round: events a second after a lock on one brand, while the producer keeps sending; reference: before.

    `busy_loops`: processes that load the machine meanwhile.
    """
    return lambda stage, number: Pair(*stall.recovered(stage, number, busy_loops))


def one_locked(stage: BenchStage, number: int) -> Pair:
    """Measures events a second of all brands but the busiest, while that is locked; reference: while none is.

    In the reference, too, another program has a transaction open.
    """
    spend = Spend(seed=number)
    warm, batches = spend.batches(ingest.WARM, 1_000), spend.batches(2 * EVENTS // 1_000, 1_000)
    reference = stall.of_others(stage, batches, warm, spend.busiest_brand(), is_locked=False)
    return Pair(stall.of_others(stage, batches, warm, spend.busiest_brand(), is_locked=True), reference)


def hot(stage: BenchStage, number: int) -> Pair:
    """Measures events a second when all events are of one brand; reference: of 1,000 brands."""
    rates = []
    for only_brand_id in (1, None):
        spend = Spend(seed=number, only_brand_id=only_brand_id)
        warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 1_000, 1_000)
        rates.append(ingest.ingested(stage, batches, warm, must_cross=only_brand_id is None))
    return Pair(*rates)


def aged(stage: BenchStage, number: int) -> Pair:
    """Measures events a second with `size.MANY` events in the ledger; reference: with `size.FEW`."""
    spend = Spend(seed=number)
    rates = []
    for events in (size.FEW, size.MANY):
        warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 1_000, 1_000)
        rates.append(size.rate_upon(stage, events, batches, warm))
    return Pair(rates[1], rates[0])


def resident(stage: BenchStage, number: int) -> Pair:
    """Measures memory, in MiB, of the largest worker process after `size.ALL_EVENTS`; reference: after the first."""
    return Pair(*size.resident(stage, number))


def ticks(stage: BenchStage, _number: int) -> Pair:
    """Measures seconds of a tick, the job of each minute, among 1,000,000 campaigns; reference: among 10,000."""
    reference = clockwork.tick(stage, clockwork.FEW)
    return Pair(clockwork.tick(stage, clockwork.MANY), reference)


def resets(stage: BenchStage, _number: int) -> Pair:
    """Measures seconds of a daily reset that reactivates campaigns; reference: one UPDATE of the same campaigns."""
    return Pair(*clockwork.reset(stage))


def seals(stage: BenchStage, _number: int) -> Pair:
    """Measures status changes a second that are sealed; reference: that one statement hashes."""
    return Pair(*history.sealed(stage))


def replays(stage: BenchStage, number: int) -> Pair:
    """Measures rejected events a second that a replay counts; reference: events that workers count from messages."""
    return Pair(*history.replayed(stage, number))


def large_rate(stage: BenchStage, number: int) -> Pair:
    """Measures campaigns a second when one large brand pauses; reference: the daily reset of many brands."""
    seconds, _ = clockwork.reset(stage)
    return Pair(large.measured(stage, number).campaigns_a_second, clockwork.HELD / seconds)


def with_large_brand(place: int) -> Callable[[BenchStage, int], Pair]:
    """Returns a round: seconds until other brands' campaigns pause while a large brand pauses; reference: while idle.

    `place`: the percentile of the seconds, 1 to 99.
    """

    def measured(stage: BenchStage, number: int) -> Pair:
        found = large.measured(stage, number)
        ours, reference = (quantiles(taken, n=100)[place - 1] for taken in (found.meanwhile, found.idle))
        return Pair(ours, reference)

    return measured


def large_events(stage: BenchStage, number: int) -> Pair:
    """Measures seconds from enqueue until counted of a large brand's slowest event while it pauses; reference: 1 s."""
    return Pair(max(large.measured(stage, number).own_events), 1)


def idle_worker(stage: BenchStage, _number: int) -> Pair:
    """Measures processor use, in percent of a core, of the busiest idle worker process; reference: its bound."""
    return Pair(idle.percent_of_a_core(stage), idle.ALLOWED_PERCENT)


def scrape_workers(stage: BenchStage, number: int) -> Pair:
    """Measures seconds of a scrape of workers after 200 of their processes were replaced; reference: its bound."""
    return Pair(scrape.of_workers(stage, number), scrape.ALLOWED_SECONDS)


def scrape_compared(stage: BenchStage, number: int) -> Pair:
    """Measures seconds of a scrape of workers after 200 restarts of processes; reference: a server without metrics."""
    return Pair(scrape.of_workers(stage, number), scrape.of_nothing())


def scrape_scheduler(stage: BenchStage, number: int) -> Pair:
    """Measures seconds of a scrape of the scheduler, which reads Postgres and Redis for it; reference: its bound."""
    return Pair(scrape.of_scheduler(stage, number), scrape.ALLOWED_SECONDS)


def idle_job(job: str) -> Callable[[BenchStage, int], Pair]:
    """Returns a round: seconds of a job of benchmarks/jobs.py with nothing to do; reference: an empty transaction."""
    return lambda stage, _number: Pair(*clockwork.nothing(stage, job))


def file_rate(_stage: BenchStage, _number: int) -> Pair:
    """Measures rows a second of processor time, from a CSV file into totals; reference: csv.reader alone."""
    return Pair(*files.rates(files.csv_file(1), files.plain_csv))


def workbook_rate(_stage: BenchStage, _number: int) -> Pair:
    """Measures rows a second of processor time, from a workbook into totals; reference: its parser alone."""
    return Pair(*files.rates(files.workbook(), files.plain_workbook))


def file_memory(stage: BenchStage, _number: int) -> Pair:
    """Measures peak memory, in MiB, of a process that imports 100 MB of CSV; reference: its bound."""
    return Pair(files.peak_megabytes(stage.env()), files.ALLOWED_MEGABYTES)


def workbook_memory(stage: BenchStage, _number: int) -> Pair:
    """Measures peak memory, in MiB, of a process that imports a workbook of 200,000 rows; reference: CSV's bound."""
    return Pair(files.peak_megabytes_of_workbook(stage.env()), files.ALLOWED_MEGABYTES)


@cache
def delays(stage: BenchStage, load: float, number: int) -> tuple[list[float], list[float]]:
    """Measures seconds until a campaign pauses after each event that crosses a limit, and of each reference.

    `load`: events a second in the background. The reference is a plain Celery task if it is 0, else a message to an
    actor that does nothing and a commit. The result for a round's `number` is cached.
    """
    del number
    references = latency.references(stage, load) if load else latency.plain_crossings(stage)
    return latency.crossings(stage, load), references


def delay(load: float, place: int) -> Callable[[BenchStage, int], Pair]:
    """Returns a round: seconds until a campaign pauses after an event that crosses a limit.

    `load`: events a second in the background. Reference: a plain Celery task if it is 0, else a message to an actor
    that does nothing and a commit. `place`: the percentile of the seconds, 1 to 99.
    """

    def measured(stage: BenchStage, number: int) -> Pair:
        ours, reference = (quantiles(taken, n=100)[place - 1] for taken in delays(stage, load, number))
        return Pair(ours, reference)

    return measured
