"""A whole producer: dramatiq, and no import of ours."""

import os
import uuid
from datetime import UTC, datetime

import dramatiq
from dramatiq.brokers.redis import RedisBroker

now = datetime.now(UTC).isoformat()
event = {"event_id": str(uuid.uuid4()), "campaign_id": 1, "occurred_at": now, "amount_micros": 1_250_000}
message = dramatiq.Message("spend", "ingest_spend", (), {"events": [event]}, {})
# Tending the queue is the workers' work, and more than a producer's Redis user may do.
RedisBroker(url=os.environ["REDIS_URL"], maintenance_chance=0).enqueue(message)
