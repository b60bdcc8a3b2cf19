"""Measures the speed of work on histories: sealing status changes, and replaying rejected events."""

import json
import time
from typing import Final

from benchmarks import clockwork, ingest
from benchmarks.stage import BenchStage
from benchmarks.workload import Spend

CHANGES: Final = 200_000
INPUTS: Final = 50_000
A_MESSAGE: Final = 1_000

# Status changes of the workload's campaigns, in the form of a budget that ran out.
ADD_CHANGES: Final = """
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details)
    SELECT brand_id, campaigns.id, now(), 'active', 'inactive', '{}', '{brand_daily_budget}', 'spend',
        '{"day": "2026-06-17", "budgets": {"brand_daily_budget": {"spent_micros": 1000000, "limit_micros": 1000000}}}'
    FROM generate_series(1, %s) AS number
    JOIN campaigns ON campaigns.id = 1 + number %% (SELECT count(*) FROM campaigns)
"""

# The least work of a seal: one hash over all rows as text.
HASH_ONCE: Final = """
    SELECT sha256(convert_to(string_agg(status_changes::text, '' ORDER BY id), 'UTF8')) FROM status_changes
"""

UNSEALED: Final = """
    SELECT count(*) FROM status_changes
    WHERE id > (SELECT max(up_to_id) FROM history_seals WHERE history = 'status_changes')
"""

ADD_INPUTS: Final = """
    INSERT INTO rejected_events (reason, payload)
    SELECT 'in_future', input FROM json_array_elements(%s::json) AS input
"""


def sealed(stage: BenchStage) -> tuple[float, float]:
    """Measures status changes a second: those that a job seals, and those that one statement hashes."""
    with stage.copied() as connection:
        connection.execute(ADD_CHANGES, [CHANGES])
        ((changes,),) = connection.execute("SELECT count(*) FROM status_changes").fetchall()
        started = time.perf_counter()
        connection.execute(HASH_ONCE)
        plain = time.perf_counter() - started
        (seconds,) = clockwork.job(stage, "seal", 1)
        clockwork.check(connection, UNSEALED, 0)
    return changes / seconds, changes / plain


def replayed(stage: BenchStage, number: int) -> tuple[float, float]:
    """Measures rejected events a second that a replay counts, and events a second that workers count from messages."""
    spend = Spend(seed=number)
    with stage.copied() as connection:
        for batch in spend.batches(INPUTS // A_MESSAGE, A_MESSAGE):
            connection.execute(ADD_INPUTS, [json.dumps(batch)])
        (seconds,) = clockwork.job(stage, "replay", 1)
        clockwork.check(connection, "SELECT count(*) FROM spend_events", INPUTS)
    messages = spend.batches(INPUTS // A_MESSAGE, A_MESSAGE)
    return INPUTS / seconds, ingest.ingested(stage, messages, spend.batches(ingest.WARM, 200))
