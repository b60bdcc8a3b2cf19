"""Sends one spend event through Redis with dramatiq alone, without a package of Spendgate."""

import os
import uuid
from datetime import UTC, datetime

import dramatiq
from dramatiq.brokers.redis import RedisBroker

now = datetime.now(UTC).isoformat()
event = {"event_id": str(uuid.uuid4()), "campaign_id": 1, "occurred_at": now, "amount_micros": 1_250_000}
message = dramatiq.Message("spend", "ingest_spend", (), {"events": [event]}, {})
# Workers maintain the queue; the Redis user of a producer may not do so.
RedisBroker(url=os.environ["REDIS_URL"], maintenance_chance=0).enqueue(message)
