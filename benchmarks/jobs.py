"""`python -m benchmarks.jobs JOB TIMES`: prints the seconds of each run of a job in its own process, as JSON."""

import json
import sys
import time

from sqlalchemy import text

from app.ingest.replay_rejected import replay_chosen
from app.jobs import enforce_due, reset
from app.proof.seals import seal
from db.engine import transaction
from domain.periods import Period
from runtime import clock, logs


def main(job: str, times: int) -> int:
    """Runs the job `times` times, after three empty transactions that connect; prints a JSON list of the seconds."""
    logs.configure()
    jobs = {
        "tick": lambda: enforce_due(clock.now()),
        "reset": lambda: reset(Period.DAILY),
        "seal": seal,
        "replay": replay_chosen,
        "empty": empty_transaction,
    }
    for _ in range(3):
        empty_transaction()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        jobs[job]()
        taken.append(time.perf_counter() - started)
    print(json.dumps(taken))
    return 0


def empty_transaction() -> None:
    """Runs an empty transaction, the least work of a job."""
    with transaction() as connection:
        connection.execute(text("SELECT 1"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
