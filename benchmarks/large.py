"""Measures how fast all campaigns of a very large brand pause, and the latency of other brands meanwhile."""

import time
from datetime import timedelta
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import uuid4

import psycopg

from benchmarks import clockwork, latency
from benchmarks.stage import LONGEST_SECONDS, BenchStage
from runtime import clock

CAMPAIGNS: Final = 1_000_000
OTHERS: Final = 4_000
IDLE_CROSSINGS: Final = 200
BETWEEN_EVENTS: Final = 10
"""Number of other brands' crossings between two events of the large brand."""

# The large brand with campaigns that are already enforced, and a brand of one campaign for each crossing.
FILL: Final = (
    "INSERT INTO brands (name) VALUES ('Large')",
    """
    INSERT INTO campaigns (brand_id, name, enforced_at)
    SELECT brands.id, 'Large ' || number, now()
    FROM brands CROSS JOIN generate_series(1, %(campaigns)s) AS number WHERE brands.name = 'Large'
    """,
    "INSERT INTO budgets (brand_id, period, limit_micros) SELECT id, 'daily', 1000000 FROM brands WHERE name = 'Large'",
    "UPDATE brands SET enforced_budget_holds = '{}' WHERE name = 'Large'",
)


class Round(NamedTuple):
    """The figures of one round in which a large brand pauses.

    `campaigns_a_second`: paused campaigns of the large brand. `idle`, `meanwhile`: seconds from an event of another
    brand that crosses its limit until its campaign is paused, before and while the large brand pauses. `own_events`:
    seconds from the enqueue of each event of the large brand until it is counted.
    """

    campaigns_a_second: float
    idle: list[float]
    meanwhile: list[float]
    own_events: list[float]


@cache
def measured(stage: BenchStage, number: int, campaigns: int = CAMPAIGNS) -> Round:
    """Measures a round: one event pauses all campaigns of a large brand; others cross limits before and meanwhile.

    The result for a round's `number` is cached.
    """
    del number
    large = stage.kept(f"large_{campaigns}", *FILL, parameters={"campaigns": campaigns})
    with stage.copied(large) as connection, stage.workers():
        others = enumerate(latency.add_campaigns(connection, OTHERS))
        idle = [
            latency.crossing(stage, connection, campaign, place) for place, campaign in islice(others, IDLE_CROSSINGS)
        ]
        started = time.perf_counter()
        own = [_event(stage, connection, 0, latency.LIMIT)]
        meanwhile = []
        for place, campaign in others:
            if not _is_under_way(connection):
                break
            meanwhile.append(latency.crossing(stage, connection, campaign, place))
            if place % BETWEEN_EVENTS == 0:
                own.append(_event(stage, connection, place, 1))
        while _is_under_way(connection):
            assert time.perf_counter() - started < LONGEST_SECONDS, "the pass did not end"
            time.sleep(latency.BETWEEN_SECONDS)
        seconds = time.perf_counter() - started
        paused = "SELECT count(*) FROM campaigns WHERE name LIKE 'Large %' AND holds = '{brand_daily_budget}'"
        clockwork.check(connection, paused, campaigns)
    return Round(campaigns / seconds, idle, meanwhile, own)


def _is_under_way(connection: psycopg.Connection[Any]) -> bool:
    ((found,),) = connection.execute("SELECT EXISTS (SELECT FROM pending_enforcements)").fetchall()
    return bool(found)


def _event(stage: BenchStage, connection: psycopg.Connection[Any], number: int, micros: int) -> float:
    """Enqueues an event of the large brand; returns the seconds until it is counted."""
    event_id = str(uuid4())
    query = "SELECT id FROM campaigns WHERE brand_id = (SELECT id FROM brands WHERE name = 'Large') ORDER BY id LIMIT 1"
    ((campaign,),) = connection.execute(query).fetchall()
    event = {
        "event_id": event_id,
        "campaign_id": campaign,
        "occurred_at": (clock.now() - timedelta(seconds=1)).isoformat(),
        "amount_micros": micros,
    }

    def is_counted() -> bool:
        query = "SELECT EXISTS (SELECT FROM spend_events WHERE event_id = %s)"
        ((found,),) = connection.execute(query, [event_id]).fetchall()
        return bool(found)

    return latency.timed(stage, {"events": [event]}, "ingest_spend", f"own-{number}", is_counted)
