"""`python -m tests.faults.driver OPERATIONS SEED`: one of several processes that spend, edit and run jobs at once.

All drivers draw from one pool of events, so that two of them often send the same event at the same time.
"""

import random
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from app import jobs
from app.edits import editing
from app.enforcement import edited, enforce_brands
from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.enforcement import targets
from domain.causes import Cause
from domain.periods import Period
from domain.schedules import Daypart, normalised
from runtime import clock, logs
from workers.actors import schedule
from workers.actors.ingest import ingest_spend

POOL = 6_000
CAMPAIGNS_A_BRAND = 4
UNIT = 1_000_000


def pool(brands: int) -> list[dict[str, Any]]:
    """The events of a run, equal in every driver: a fifth of them are refunds, some are of earlier days."""
    draw = random.Random(20260617)
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        {
            "event_id": str(UUID(int=draw.getrandbits(128), version=4)),
            "campaign_id": draw.randint(1, brands * CAMPAIGNS_A_BRAND),
            "occurred_at": (today - timedelta(days=draw.choice((0, 0, 0, 0, 1, 20)))).isoformat(),
            "amount_micros": draw.randint(1, 9) * UNIT * draw.choice((1, 1, 1, 1, -1)),
        }
        for _ in range(POOL)
    ]


def main(operations: int, seed: int) -> None:
    """Does `operations` operations, drawn by the seed."""
    draw = random.Random(seed)
    with snapshot() as connection:
        brand_ids = targets.brands_after(connection, 0, 1_000)
    events = pool(len(brand_ids))
    choices: list[Callable[[], object]] = [
        *6 * [partial(_spend, draw, events)],
        *3 * [partial(_limit, draw, brand_ids)],
        partial(_schedule, draw, brand_ids),
        partial(_pause, draw, brand_ids),
        schedule.apply_dayparting,
        schedule.refresh_spend,
        partial(jobs.reset, Period.DAILY, everything=True),
        lambda: enforce_brands(draw.sample(brand_ids, 3), Cause.CHECK),
    ]
    for _ in range(operations):
        draw.choice(choices)()


def _spend(draw: random.Random, events: list[dict[str, Any]]) -> None:
    ingest_spend(events=draw.sample(events, draw.choice((1, 5, 40))))


def _limit(draw: random.Random, brand_ids: list[int]) -> None:
    brand_id = draw.choice(brand_ids)
    campaign_id = draw.choice((None, _campaign(draw, brand_id)))
    period = draw.choice((Period.DAILY, Period.MONTHLY, Period.LIFETIME))
    limit = draw.randint(0, 400) * UNIT
    edit = Edit("driver", clock.now())
    edited(lambda connection: editing.set_budget(connection, brand_id, campaign_id, period, limit, edit), brand_id)


def _schedule(draw: random.Random, brand_ids: list[int]) -> None:
    brand_id = draw.choice(brand_ids)
    minute = draw.randrange(0, 1400)
    parts = normalised(Daypart(day, minute, draw.randint(minute + 1, 1440)) for day in draw.sample(range(1, 8), 3))
    schedule = draw.choice(((), parts))
    edit = Edit("driver", clock.now())
    campaign_id = _campaign(draw, brand_id)
    edited(lambda connection: editing.set_schedule(connection, campaign_id, schedule, edit), brand_id)


def _pause(draw: random.Random, brand_ids: list[int]) -> None:
    brand_id = draw.choice(brand_ids)
    change = {"configured_status": draw.choice(("enabled", "enabled", "paused"))}
    edit = Edit("driver", clock.now())
    campaign_id = _campaign(draw, brand_id)
    edited(lambda connection: editing.edit_campaign(connection, campaign_id, change, edit), brand_id)


def _campaign(draw: random.Random, brand_id: int) -> int:
    """A campaign of the brand: brand n owns the campaigns 4n-3 to 4n, by the order of creation."""
    return (brand_id - 1) * CAMPAIGNS_A_BRAND + draw.randint(1, CAMPAIGNS_A_BRAND)


if __name__ == "__main__":
    logs.configure_for_command()
    main(int(sys.argv[1]), int(sys.argv[2]))
