"""Measures scheduled jobs, such as whether the time of a tick follows the number of changes, not of campaigns."""

import json
import subprocess
import sys
import time
from statistics import median
from typing import Any, Final

import psycopg

from benchmarks.stage import BenchStage

DUE: Final = 1_000
FEW: Final = 10_000
MANY: Final = 1_000_000
HELD: Final = 100_000
NOTHING_TIMES: Final = 200

# Campaigns that are already enforced and not due, spread evenly over all brands.
ADD_CAMPAIGNS: Final = """
    INSERT INTO campaigns (brand_id, name, enforced_at)
    SELECT 1 + number %% (SELECT count(*) FROM brands), 'More ' || number, now() FROM generate_series(1, %s) AS number
"""

# Gives campaigns without a schedule one that closed a minute ago, while they are still active.
MAKE_DUE: Final = (
    (
        "CREATE TEMPORARY TABLE due AS SELECT campaigns.id, now() AT TIME ZONE time_zone AS wall FROM campaigns"
        " JOIN brands ON brands.id = brand_id WHERE campaigns.id %% 2 = 1 ORDER BY campaigns.id LIMIT %s"
    ),
    "DELETE FROM dayparts WHERE campaign_id IN (SELECT id FROM due)",
    (
        "INSERT INTO dayparts SELECT id, extract(isodow FROM wall), 0,"
        " greatest(1, extract(hour FROM wall) * 60 + extract(minute FROM wall) - 1) FROM due"
    ),
    (
        "UPDATE campaigns SET effective_status = 'active', holds = '{}', next_change_at = now() - interval '1 minute'"
        " FROM due WHERE campaigns.id = due.id"
    ),
    "UPDATE campaigns SET next_change_at = NULL WHERE next_change_at > now()",
)

# Holds every campaign by a daily budget that was exhausted on a past day.
HOLD: Final = (
    "DELETE FROM dayparts",
    "UPDATE campaigns SET effective_status = 'inactive', holds = ARRAY['brand_daily_budget'], next_change_at = now()",
    (
        "INSERT INTO watermarks (name, reached_at) VALUES ('daily_reset', now() - interval '30 hours')"
        " ON CONFLICT (name) DO UPDATE SET reached_at = excluded.reached_at"
    ),
)
LIFT: Final = (
    "UPDATE campaigns SET effective_status = 'active', holds = '{}', next_change_at = NULL, enforced_at = now()"
)


def tick(stage: BenchStage, campaigns: int) -> float:
    """Measures seconds of a tick, the job of each minute, with DUE campaigns due among `campaigns` campaigns."""
    with stage.copied() as connection:
        _grow(connection, campaigns)
        for statement in MAKE_DUE:
            connection.execute(statement, [DUE] if "%s" in statement else None)
        connection.execute("VACUUM ANALYZE campaigns")
        (seconds,) = job(stage, "tick", 1)
        held = "SELECT count(*) FROM campaigns WHERE 'outside_schedule' = ANY(holds) AND id IN (SELECT id FROM due)"
        check(connection, held, DUE)
    return seconds


def reset(stage: BenchStage) -> tuple[float, float]:
    """Measures seconds of a daily reset that reactivates HELD campaigns, and of one plain UPDATE of the same rows."""
    taken = []
    for is_ours in (True, False):
        with stage.copied() as connection:
            _grow(connection, HELD)
            for statement in HOLD:
                connection.execute(statement)
            connection.execute("VACUUM ANALYZE campaigns")
            if is_ours:
                taken += job(stage, "reset", 1)
            else:
                started = time.perf_counter()
                connection.execute(LIFT)
                taken.append(time.perf_counter() - started)
            check(connection, "SELECT count(*) FROM campaigns WHERE effective_status = 'active'", HELD)
    return taken[0], taken[1]


def nothing(stage: BenchStage, name: str) -> tuple[float, float]:
    """Measures seconds of a job with nothing to do, and of an empty transaction; medians of NOTHING_TIMES runs."""
    with stage.copied() as connection:
        connection.execute("UPDATE campaigns SET next_change_at = NULL")
        job(stage, "reset", 1)
        connection.execute("VACUUM ANALYZE campaigns")
        return median(job(stage, name, NOTHING_TIMES)), median(job(stage, "empty", NOTHING_TIMES))


def _grow(connection: psycopg.Connection[Any], campaigns: int) -> None:
    (there,) = connection.execute("SELECT count(*) FROM campaigns").fetchall()[0]
    connection.execute(ADD_CAMPAIGNS, [campaigns - there])
    connection.execute("VACUUM ANALYZE campaigns")


def job(stage: BenchStage, name: str, times: int) -> list[float]:
    """Runs a job of benchmarks/jobs.py `times` times in a new process; returns the seconds of each run."""
    argv = [sys.executable, "-m", "benchmarks.jobs", name, str(times)]
    env = {**stage.env(), "LOG_LEVEL": "ERROR"}
    completed = subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=env)
    taken: list[float] = json.loads(completed.stdout.splitlines()[-1])
    return taken


def check(connection: psycopg.Connection[Any], query: str, expected: int) -> None:
    """Raises AssertionError unless the query, a count, returns `expected`."""
    (found,) = connection.execute(query).fetchall()[0]
    assert found == expected, f"{query}: {found} instead of {expected}"
