"""Actors that make reports."""

import dramatiq
from periodiq import cron

from app.reports.generate import generate_due
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["generate_monthly_reports"], periodic=cron("0 * * * *"))
def generate_monthly_reports() -> None:
    """Stores the report of each brand's month that ended since the last run; once a day also of restated months."""
    generate_due()
