"""The actor that makes monthly reports."""

import dramatiq
from periodiq import cron

from app.reports.generate import generate_due
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["generate_monthly_reports"], periodic=cron("0 * * * *"))
def generate_monthly_reports() -> None:
    """Stores the reports of months that ended since the last run, and once a day new versions for restated months."""
    generate_due()
