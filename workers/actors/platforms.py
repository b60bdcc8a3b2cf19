"""Actors that read ad platforms and send decisions to them: one message and own transactions for each account."""

import dramatiq
from periodiq import cron

from app.platforms import turns, visits
from app.platforms.registry import ADAPTERS
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF
from runtime import clock


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["visit_platforms"], periodic=cron("* * * * *"))
def visit_platforms() -> None:
    """Enqueues a message for each account whose spend or statuses are due to be read."""
    visits.enqueue_due(ADAPTERS, clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["wake_platforms"])
def wake_platforms(brand_ids: list[int]) -> None:
    """Enqueues messages for accounts of brands with toggled campaigns, to send their changes at once."""
    visits.wake(brand_ids)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["pull_spend"])
def pull_spend(account: int) -> None:
    """Reads the account's spend, if it is due, and counts it."""
    turns.reads().take(account)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["reconcile_account"])
def reconcile_account(account: int) -> None:
    """Reads the account's statuses and brings its campaigns to the desired ones, as far as its mode allows."""
    turns.changes().take(account)
