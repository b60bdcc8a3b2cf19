"""A whole producer: dramatiq, and no import of ours."""

import os
import uuid
from datetime import UTC, datetime

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["REDIS_URL"])
now = datetime.now(UTC).isoformat()  # noqa: TID251 - an upstream system has its own clock
spend = {"event_id": str(uuid.uuid4()), "campaign_id": 1, "occurred_at": now, "amount_micros": 1_250_000}
message = dramatiq.Message(
    queue_name="spend", actor_name="ingest_spend", args=(), kwargs={"events": [spend]}, options={}
)
broker.enqueue(message)
