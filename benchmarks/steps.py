"""`python -m benchmarks.steps`: microseconds by step and event, on the way from Redis to the commit.

One thread of one process takes messages of 1,000 events as a worker does, with one or with 16 messages in a
transaction. A step's time includes its waits for Postgres, Redis and the disk. Medians of alternating rounds.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Final, NamedTuple

from benchmarks import workload
from benchmarks.stage import BenchStage, running

A_MESSAGE: Final = 1_000
MESSAGES: Final = 320
ROUNDS: Final = 5
TOGETHER: Final = (1, 16)
"""Messages in a transaction: one, and two full bundles (up to four may share a transaction)."""


class Taken(NamedTuple):
    """Seconds of all events, in total and by step."""

    seconds: float
    steps: dict[str, float]


def measured(stage: BenchStage, together: int, seed: int) -> Taken:
    """Processes MESSAGES messages in a new process, `together` in each transaction; returns the seconds."""
    spend = workload.Spend(seed=seed)
    with stage.copied():
        stage.put(workload.messages(spend.batches(MESSAGES, A_MESSAGE)))
        argv = [sys.executable, "-m", "benchmarks.stepwise", str(together)]
        completed = subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=stage.env())
    seconds, steps = json.loads(completed.stdout.splitlines()[-1])
    return Taken(seconds, steps)


def rows(alone: list[Taken], shared: list[Taken]) -> Iterator[str]:
    """Yields the lines of the table, the longest step first. `alone`, `shared`: the rounds with one and 16 messages."""
    events = MESSAGES * A_MESSAGE
    steps = {step: seconds_of(step, shared) for taken in shared for step in taken.steps}
    for step in sorted(steps, key=lambda step: -steps[step]):
        cells = []
        for rounds in (alone, shared):
            seconds, whole = seconds_of(step, rounds), median(taken.seconds for taken in rounds)
            cells.append(f"{seconds * 1e6 / events:.2f} | {seconds / whole:.0%}")
        yield f"| {step} | {' | '.join(cells)} |"
    totals = []
    for rounds in (alone, shared):
        taken = sorted(taken.seconds * 1e6 / events for taken in rounds)
        totals.append(f"{median(taken):.2f} | {taken[0]:.2f} to {taken[-1]:.2f}")
    yield f"| **in all**, and its spread | {' | '.join(totals)} |"


def seconds_of(step: str, rounds: list[Taken]) -> float:
    """The seconds of a step: the median of the rounds, in which a missing step counts as 0."""
    return median(taken.steps.get(step, 0) for taken in rounds)


def main() -> int:
    """Prints the table of microseconds an event and shares of the whole, by step."""
    taken: dict[int, list[Taken]] = {together: [] for together in TOGETHER}
    with running() as stage:
        for seed in range(ROUNDS):
            for together, rounds in taken.items():
                rounds.append(measured(stage, together, seed))
    alone, shared = taken.values()
    print("| step | µs an event, a message a transaction | share | µs an event, 16 messages a transaction | share |")
    print("|---|---:|---:|---:|---:|")
    for line in rows(alone, shared):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
