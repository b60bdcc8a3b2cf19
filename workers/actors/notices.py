"""Actors that deliver webhooks: each endpoint has messages and transactions of its own, and so delays no other."""

import dramatiq
from periodiq import cron

from app.notices import runs
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF
from runtime import clock


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["deliver_webhooks"], periodic=cron("* * * * *"))
def deliver_webhooks() -> None:
    """Enqueues a message to `deliver` for each endpoint with something to send, and reports endpoints that fail."""
    runs.enqueue_due(clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["deliver"])
def deliver(endpoint_id: int) -> None:
    """Sends the endpoint's due messages for a bounded time; without a free slot in this process, it waits for one."""
    runs.deliver(endpoint_id)
