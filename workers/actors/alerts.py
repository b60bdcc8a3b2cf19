"""Actors that raise and resolve alerts, and send them to people: each channel has a message of its own."""

import dramatiq
from periodiq import cron

from app.alerts import evaluate, send
from app.job_steps import stop_on_timeout
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["send_alerts"], periodic=cron("* * * * *"))
def send_alerts() -> None:
    """Evaluates the alerts that may have changed; enqueues a message for each channel that has texts to send."""
    with stop_on_timeout():
        evaluate.evaluate()
    send.enqueue_due()


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["send_to_channel"])
def send_to_channel(channel_id: int) -> None:
    """Sends the channel's due texts, each within a deadline, until one fails or many are sent."""
    send.send_to_channel(channel_id)
