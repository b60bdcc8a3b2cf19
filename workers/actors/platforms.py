"""Actors that read ad platforms and send decisions to them: each account has messages and transactions of its own."""

import dramatiq
from periodiq import cron

from app.platforms import turns, visits
from app.platforms.registry import ADAPTERS
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF
from runtime import clock


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["visit_platforms"], periodic=cron("* * * * *"))
def visit_platforms() -> None:
    """Enqueues a message for each account whose spend or statuses are due to be read, or that has changes to send."""
    visits.enqueue_due(ADAPTERS, clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["wake_platforms"])
def wake_platforms(brand_ids: list[int]) -> None:
    """Enqueues a message for each account of the brands, whose campaigns were toggled, to send the changes at once."""
    visits.wake(brand_ids)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["pull_spend"])
def pull_spend(account: int) -> None:
    """Reads the account's spend if it is due, and counts it. Without a free slot in this process, it waits for one."""
    turns.reads().take(account)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["reconcile_account"])
def reconcile_account(account: int) -> None:
    """Reads the account's statuses and brings its campaigns to the desired ones, as far as its mode allows.

    Without a free slot in this process, the account waits for one.
    """
    turns.changes().take(account)
