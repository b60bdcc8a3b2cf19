"""A whole producer: dramatiq, and no import of ours."""

import os
import uuid
from datetime import UTC, datetime

import dramatiq
from dramatiq.brokers.redis import RedisBroker

now = datetime.now(UTC).isoformat()
event = {"event_id": str(uuid.uuid4()), "campaign_id": 1, "occurred_at": now, "amount_micros": 1_250_000}
message = dramatiq.Message("spend", "ingest_spend", (), {"events": [event]}, {})
RedisBroker(url=os.environ["REDIS_URL"]).enqueue(message)
