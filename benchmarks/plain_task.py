"""A plain Celery task as a reference: it counts an event once, and pauses the campaigns of a brand over its budget.

It waits for messages by a blocking command of Redis, and sends one statement at a time through SQLAlchemy. It knows no
zones, schedules, flights, other budgets, restatements or rejected events. `celery -A benchmarks.plain_task worker` runs
it.
"""

import os
from functools import cache
from typing import Any, Final

from celery import Celery
from sqlalchemy import Engine, create_engine, make_url, text

MADE_WITH: Final = (
    "CREATE TABLE plain_events (event_id uuid PRIMARY KEY, campaign_id bigint, occurred_at timestamptz, amount bigint)"
)

app = Celery("benchmarks", broker=os.environ.get("REDIS_URL"))
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1)

ADD = text("""
    INSERT INTO plain_events VALUES (:event_id, :campaign_id, :occurred_at, :amount_micros) ON CONFLICT DO NOTHING
""")

FIND = text("""
    SELECT brand_id, CAST(now() AT TIME ZONE time_zone AS date) AS day
    FROM campaigns JOIN brands ON brands.id = brand_id WHERE campaigns.id = :campaign_id
""")

COUNT = (
    text("""
        INSERT INTO campaign_days (brand_id, campaign_id, day, spent_micros)
        VALUES (:brand_id, :campaign_id, :day, :amount_micros)
        ON CONFLICT (brand_id, campaign_id, day)
            DO UPDATE SET spent_micros = campaign_days.spent_micros + excluded.spent_micros
    """),
    text("""
        INSERT INTO brand_days (brand_id, day, spent_micros) VALUES (:brand_id, :day, :amount_micros)
        ON CONFLICT (brand_id, day) DO UPDATE SET spent_micros = brand_days.spent_micros + excluded.spent_micros
    """),
)

LOCK = text("SELECT id FROM brands WHERE id = :brand_id FOR UPDATE")

BUDGETS = text("""
    SELECT limit_micros, (
        SELECT sum(spent_micros) FROM brand_days
        WHERE brand_days.brand_id = budgets.brand_id AND day >= date_trunc('month', CAST(:day AS date))
            AND (period = 'monthly' OR day = :day)
    ) AS spent_micros
    FROM budgets WHERE brand_id = :brand_id AND campaign_id IS NULL
""")

ACTIVE = text("SELECT id FROM campaigns WHERE brand_id = :brand_id AND effective_status = 'active' ORDER BY id")

PAUSE = (
    text("UPDATE campaigns SET effective_status = 'inactive', holds = '{brand_daily_budget}' WHERE id = :id"),
    text("""
        INSERT INTO status_changes
            (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details)
        VALUES (:brand_id, :id, now(), 'active', 'inactive', '{}', '{brand_daily_budget}', 'spend', '{}')
    """),
)


@cache
def engine() -> Engine:
    """The process's engine, made after Celery has forked it."""
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
    return create_engine(url, pool_pre_ping=True)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def count(event: dict[str, Any]) -> None:
    """Counts the event, and pauses the campaigns of its brand if the brand has spent one of its budgets."""
    with engine().begin() as connection:
        if not connection.execute(ADD, event).rowcount:
            return
        brand = {**event, **connection.execute(FIND, event).mappings().one()}
        for statement in (*COUNT, LOCK):
            connection.execute(statement, brand)
        if any(one.spent_micros >= one.limit_micros for one in connection.execute(BUDGETS, brand)):
            for (campaign_id,) in connection.execute(ACTIVE, brand).all():
                for statement in PAUSE:
                    connection.execute(statement, {**brand, "id": campaign_id})
