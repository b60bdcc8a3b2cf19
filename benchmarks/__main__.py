"""`python -m benchmarks [measure …]`: speed and latency of the product, each beside a plain reference of the same run.

Prints a Markdown table: medians of alternating rounds, and the ratio of each pair with its spread.
"""

import sys
from collections.abc import Callable
from statistics import median
from typing import Final, NamedTuple

from benchmarks import cluster, ingest, rounds
from benchmarks.rounds import Pair
from benchmarks.stage import BenchStage, running
from tests import citus

ROUNDS: Final = 5
ROUNDS_OF_CLUSTER: Final = 3
"""Rounds of a measure of the Citus cluster: few, because each makes a database on every server."""

QUARTER: Final = 40_000
"""Events a second: a quarter of the rate that the measure `rate-1000` reaches on the reference machine."""

SECONDS: Final = "seconds"
MEGABYTES: Final = "MB"
PERCENT: Final = "% of a core"
MISSED: Final = "no"
AT_MOST: Final = {SECONDS, MEGABYTES, PERCENT}
HEAD: Final = ("measure", "unit", "ours", "reference", "ratio", "its spread", "to reach", "reached")


class Measure(NamedTuple):
    """A measure: its unit, the function for one round, and the bound of the ratio.

    The ratio must be at least the bound, or at most the bound for units in AT_MOST, of which less is better. `to_reach`
    None: no bound. `rounds` None: ROUNDS.
    """

    name: str
    unit: str
    measured: Callable[[BenchStage, int], Pair]
    to_reach: float | None
    rounds: int | None = None


def of_cluster(events: int) -> Callable[[BenchStage, int], Pair]:
    """Returns a function for one round: events a second on the Citus cluster, from messages of `events` events.

    Reference: on a plain database of the coordinator's server.
    """
    return lambda stage, number: Pair(*cluster.rates(stage, number, events))


def alone(stage: BenchStage, number: int) -> Pair:
    """Measures seconds of an event while nothing else waits, on the Citus cluster; reference: on a plain database."""
    return Pair(*cluster.seconds_alone(stage, number))


MEASURES: Final = {
    "rate-1000": Measure("messages of 1,000 events; COPY", "events/s", rounds.rate(1_000, 7), 0.8),
    "rate-1000-v4": Measure("messages of 1,000 events, random ids; COPY", "events/s", rounds.rate(1_000, 4), 0.8),
    "rate-5000": Measure("messages of 5,000 events; COPY", "events/s", rounds.rate(5_000, 7), 0.5),
    "ready-1000": Measure(
        "messages of 1,000 events; COPY of prepared rows", "events/s", rounds.rate(1_000, 7, ingest.copied_ready), None
    ),
    "ready-5000": Measure(
        "messages of 5,000 events; COPY of prepared rows", "events/s", rounds.rate(5_000, 7, ingest.copied_ready), None
    ),
    "rate-1": Measure("messages of one event; an actor that does nothing", "messages/s", rounds.single, 0.7),
    "traces-1000": Measure(
        "messages of 1,000 events, traced; not", "events/s", rounds.with_traces(1_000, rounds.EVENTS), 0.95
    ),
    "traces-1": Measure("messages of one event, traced; not", "messages/s", rounds.with_traces(1, rounds.SINGLE), 0.95),
    "kept": Measure("messages of 1,000 events, kept after their commit; not kept", "events/s", rounds.kept, 0.95),
    "twice": Measure("all messages, and all once more; as many new ones", "deliveries/s", rounds.twice, 0.5),
    "stall": Measure("10 to 18 s after a lock of 10 s on one brand; before", "events/s", rounds.stalled(0), 0.8),
    "stall-busy": Measure(
        "10 to 18 s after a lock of 10 s, with two busy loops; before", "events/s", rounds.stalled(2), 0.8
    ),
    "one-locked": Measure(
        "all other brands while the busiest is locked; while a transaction is open", "events/s", rounds.one_locked, 0.8
    ),
    "hot": Measure("all spend on one brand; on 1,000", "events/s", rounds.hot, 0.7),
    "idle-p50": Measure("event to inactive campaign, idle, p50; a plain Celery task", SECONDS, rounds.delay(0, 50), 1),
    "idle-p99": Measure("event to inactive campaign, idle, p99; a plain Celery task", SECONDS, rounds.delay(0, 99), 1),
    "load-p50": Measure(
        "event to inactive campaign, quarter load, p50; round trip and commit", SECONDS, rounds.delay(QUARTER, 50), 2
    ),
    "load-p99": Measure(
        "event to inactive campaign, quarter load, p99; round trip and commit", SECONDS, rounds.delay(QUARTER, 99), 4
    ),
    "tick": Measure("tick: 1,000 campaigns due among 1,000,000; among 10,000", SECONDS, rounds.ticks, 1.3),
    "reset": Measure("daily reset of 100,000 campaigns; one UPDATE", SECONDS, rounds.resets, 4),
    "large": Measure(
        "1,000,000 campaigns of one brand pause; daily reset of 100,000", "campaigns/s", rounds.large_rate, 0.5
    ),
    "large-p50": Measure(
        "event to inactive campaign with a large brand, p50; idle", SECONDS, rounds.with_large_brand(50), 2
    ),
    "large-p95": Measure(
        "event to inactive campaign with a large brand, p95; idle", SECONDS, rounds.with_large_brand(95), 2
    ),
    "large-own": Measure(
        "slowest event of a large brand that pauses, until counted; one second", SECONDS, rounds.large_events, 1
    ),
    "aged": Measure("20,000,000 events in the ledger; 1,000,000", "events/s", rounds.aged, 0.9),
    "memory": Measure("a worker process after 5,000,000 events; after 100,000", MEGABYTES, rounds.resident, 1.1),
    "idle-tick": Measure("tick with nothing to do; an empty transaction", SECONDS, rounds.idle_job("tick"), 3),
    "idle-reset": Measure("daily reset with nothing to do; an empty transaction", SECONDS, rounds.idle_job("reset"), 3),
    "seal": Measure("status changes sealed; hashed by one statement", "rows/s", rounds.seals, None),
    "replay": Measure("rejected events replayed; messages of 1,000 events", "events/s", rounds.replays, None),
    "file": Measure("CSV of 200,000 rows into totals; csv.reader alone", "rows/s", rounds.file_rate, 0.08),
    "workbook": Measure("XLSX of 200,000 rows into totals; its parser alone", "rows/s", rounds.workbook_rate, 0.08),
    "file-memory": Measure("a process that imports 100 MB of CSV; 200 MB", MEGABYTES, rounds.file_memory, 1),
    "workbook-memory": Measure(
        "a process that imports XLSX of 200,000 rows; 200 MB", MEGABYTES, rounds.workbook_memory, None
    ),
    "scrape": Measure("a scrape of 8 worker processes after 200 restarts; 0.2 s", SECONDS, rounds.scrape_workers, 1),
    "scrape-empty": Measure(
        "a scrape of 8 worker processes; of no metrics at all", SECONDS, rounds.scrape_compared, None
    ),
    "scrape-scheduler": Measure("a scrape of the scheduler; 0.2 s", SECONDS, rounds.scrape_scheduler, 1),
    "idle-worker": Measure("an idle worker process; 0.3 % of a core", PERCENT, rounds.idle_worker, 1),
}


ON_CITUS: Final = {
    "citus-1000": Measure(
        "messages of 1,000 events on Citus; on one server", "events/s", of_cluster(1_000), None, ROUNDS_OF_CLUSTER
    ),
    "citus-1": Measure(
        "messages of one event on Citus; on one server", "events/s", of_cluster(1), None, ROUNDS_OF_CLUSTER
    ),
    "citus-alone": Measure("one event alone on Citus; on one server", SECONDS, alone, 1.5, ROUNDS_OF_CLUSTER),
}
"""Measures for the cluster that SPENDGATE_TEST_CITUS names."""


def known_measures() -> dict[str, Measure]:
    """The measures by name; measures of a Citus cluster only if SPENDGATE_TEST_CITUS names one."""
    return {**MEASURES, **(ON_CITUS if citus.is_used() else {})}


def verdict(measure: Measure, ratio: float) -> tuple[str, str]:
    """The bound in words, and whether the ratio meets it; empty strings without a bound."""
    if measure.to_reach is None:
        return "", ""
    if measure.unit in AT_MOST:
        return f"at most {measure.to_reach}", "yes" if ratio <= measure.to_reach else MISSED
    return f"at least {measure.to_reach}", "yes" if ratio >= measure.to_reach else MISSED


def row(measure: Measure, pairs: list[Pair]) -> tuple[str, ...]:
    """The cells of a measure's row, as in HEAD; figures and ratio are medians of its rounds."""
    ratios = sorted(pair.ours / pair.reference for pair in pairs)
    ratio = median(ratios)
    figures = (median(pair.ours for pair in pairs), median(pair.reference for pair in pairs))
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    return (measure.name, measure.unit, *map(shown, figures), f"{ratio:.2f}", spread, *verdict(measure, ratio))


def shown(figure: float) -> str:
    """The figure as text: without decimals from 100 on, else with four significant digits."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.4g}"


def main(names: list[str]) -> int:
    """Runs the named measures, or all. Returns the exit code: 1 if one misses its bound, 2 for an unknown name."""
    measures = known_measures()
    unknown = [name for name in names if name not in measures]
    if unknown:
        sys.stderr.write(f"no measure {unknown[0]}: there are {', '.join(measures)}\n")
        return 2
    print(f"| {' | '.join(HEAD)} |\n|---|---|---:|---:|---:|---:|---:|---|", flush=True)
    rows = []
    with running() as stage:
        for measure in [measures[name] for name in names or measures]:
            pairs, times = [], measure.rounds or ROUNDS
            for number in range(times):
                pairs.append(measure.measured(stage, number))
                sys.stderr.write(f"\r\x1b[K{measure.name}: round {number + 1} of {times}, {shown(pairs[-1].ours)}")
            sys.stderr.write("\r\x1b[K")
            rows.append(row(measure, pairs))
            print(f"| {' | '.join(rows[-1])} |", flush=True)
    return int(any(cells[-1] == MISSED for cells in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
