"""`python -m benchmarks.log`: bytes that an event adds to Postgres's log of transactions, and to its disk.

With page checksums, full-page writes and a checkpoint before each part, as in continuous use: after a checkpoint
Postgres logs each page whole when it first changes. The part without a checkpoint is the least.
"""

import sys
from typing import Any, Final

import psycopg

from benchmarks import workload
from benchmarks.ingest import counted
from benchmarks.stage import BenchStage, running

A_MESSAGE: Final = 1_000
PART_MESSAGES: Final = 100
PARTS: Final = 4
LOG: Final = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"
DISK: Final = "SELECT pg_database_size(current_database())"
SETTINGS: Final = "SELECT current_setting('data_checksums'), current_setting('full_page_writes')"


def measured(stage: BenchStage, version: int, *, with_checkpoints: bool) -> tuple[float, float]:
    """Measures bytes of log and of disk for an event, with UUIDs of this version as ids."""
    spend = workload.Spend(version, seed=version)
    with stage.copied() as observer, stage.workers():
        _count_part(stage, spend)
        log, disk, events = _value(observer, LOG), _value(observer, DISK), counted(observer)
        for _ in range(PARTS):
            if with_checkpoints:
                observer.execute("CHECKPOINT")
            _count_part(stage, spend)
        events = counted(observer) - events
        return (_value(observer, LOG) - log) / events, (_value(observer, DISK) - disk) / events


def _count_part(stage: BenchStage, spend: workload.Spend) -> None:
    stage.put(workload.messages(spend.batches(PART_MESSAGES, A_MESSAGE)))
    stage.until_done()


def _value(connection: psycopg.Connection[Any], query: str) -> int:
    ((value,),) = connection.execute(query.encode()).fetchall()
    return int(value)


def main() -> int:
    """Prints a table of the bytes of log and of disk that an event takes, by kind of ids and checkpoints."""
    with running() as stage:
        with psycopg.connect(stage.url("postgres")) as connection:
            ((checksums, whole_pages),) = connection.execute(SETTINGS).fetchall()
        print(f"data_checksums {checksums}, full_page_writes {whole_pages}\n")
        print("| ids | checkpoint | bytes of log an event | bytes of disk an event |\n|---|---|---:|---:|", flush=True)
        for version in (7, 4):
            for with_checkpoints in (True, False):
                log, disk = measured(stage, version, with_checkpoints=with_checkpoints)
                each = f"every {PART_MESSAGES * A_MESSAGE:,} events" if with_checkpoints else "none"
                print(f"| UUID {version} | {each} | {log:.0f} | {disk:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
