"""`python -m benchmarks.steps`: where the time goes, by step and event, on the way from Redis to the commit.

One thread of one process takes messages of 1,000 events as a worker does, so many in a transaction, each step timed by
itself: what a step waits for Postgres, Redis or the disk is that step's.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from benchmarks import workload
from benchmarks.stage import Stage, running

A_MESSAGE: Final = 1_000
MESSAGES: Final = 320
TOGETHER: Final = (1, 16)
"""Messages in a transaction: alone, and as many as a busy process has waiting."""


class Taken(NamedTuple):
    """Seconds of all the events, in all and of each step."""

    seconds: float
    steps: dict[str, float]


def measured(stage: Stage, together: int) -> Taken:
    """The messages by a process of their own, so many in each transaction."""
    spend = workload.Spend(seed=together)
    with stage.copied():
        stage.put(workload.messages(spend.batches(MESSAGES, A_MESSAGE)))
        argv = [sys.executable, "-m", "benchmarks.stepwise", str(together)]
        env = {**stage.env(), "LOG_FORMAT": "json"}
        told = subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=env)
    seconds, steps = json.loads(told.stdout.splitlines()[-1])
    return Taken(seconds, steps)


def rows(alone: Taken, shared: Taken) -> Iterator[str]:
    """The lines of the table."""
    events = MESSAGES * A_MESSAGE
    for step in sorted(shared.steps, key=lambda step: -shared.steps[step]):
        cells = [
            f"{taken.steps.get(step, 0) * 1e6 / events:.2f} | {taken.steps.get(step, 0) / taken.seconds:.0%}"
            for taken in (alone, shared)
        ]
        yield f"| {step} | {' | '.join(cells)} |"
    totals = [
        f"{taken.seconds * 1e6 / events:.2f} | {events / taken.seconds:,.0f} a second" for taken in (alone, shared)
    ]
    yield f"| **in all** | {' | '.join(totals)} |"


def main() -> int:
    """Prints the table."""
    with running() as stage:
        alone, shared = (measured(stage, together) for together in TOGETHER)
    print("| step | µs an event, a message a transaction | share | µs an event, 16 messages a transaction | share |")
    print("|---|---:|---:|---:|---:|")
    for line in rows(alone, shared):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
