"""Actors that deliver webhooks: one message and own transactions for each endpoint."""

import dramatiq
from periodiq import cron

from app.notices import runs
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF
from runtime import clock


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["deliver_webhooks"], periodic=cron("* * * * *"))
def deliver_webhooks() -> None:
    """Enqueues a message to `deliver` for each endpoint with something to send; without any it runs a few queries."""
    runs.enqueue_due(clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["deliver"])
def deliver(endpoint_id: int) -> None:
    """Sends the endpoint's due messages, for a bounded time."""
    runs.deliver(endpoint_id)
