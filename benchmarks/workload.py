"""The workload: 1,000 brands of 10 campaigns each, limits on every brand, schedules on half of the campaigns, and
spend of the last 10 hours that falls on the campaigns by Zipf's law.
"""

import json
import secrets
import uuid
from bisect import bisect
from datetime import timedelta
from itertools import accumulate
from random import Random
from typing import Any, Final

from runtime import clock

BRANDS: Final = 1_000
CAMPAIGNS_A_BRAND: Final = 10
CAMPAIGNS: Final = BRANDS * CAMPAIGNS_A_BRAND
HOURS: Final = 10
SEED: Final = 20_261_122

# A load of hundreds of thousands of events crosses the daily limit of every tenth brand, and no other limit.
FILL: Final = (
    """
    INSERT INTO brands (name, time_zone)
    SELECT 'Brand ' || number, (ARRAY['America/New_York', 'Europe/Berlin', 'Asia/Kathmandu', 'UTC'])[number %% 4 + 1]
    FROM generate_series(1, %(brands)s) AS number
    """,
    """
    INSERT INTO campaigns (brand_id, name)
    SELECT 1 + (number - 1) %% %(brands)s, 'Campaign ' || number FROM generate_series(1, %(campaigns)s) AS number
    """,
    """
    INSERT INTO budgets (brand_id, period, limit_micros)
    SELECT id, period, CASE WHEN id %% 10 = 0 THEN 20000 ELSE 1000000000000 END
        * CASE period WHEN 'daily' THEN 1 ELSE 25 END
    FROM brands CROSS JOIN unnest(ARRAY['daily', 'monthly']) AS period
    """,
    """
    INSERT INTO dayparts (brand_id, campaign_id, weekday, starts_minute, ends_minute)
    SELECT brand_id, id, weekday, 360, 1320 FROM campaigns CROSS JOIN generate_series(1, 7) AS weekday WHERE id %% 2 = 0
    """,
)


def brand_of(campaign_id: int) -> int:
    """The id of the brand to which FILL gave the campaign."""
    return 1 + (campaign_id - 1) % BRANDS


class Spend:
    """A stream of new events. `version`: of their UUIDs, 7 (ascending with time) or 4 (random).

    `only_brand_id`: the brand of all events; None: of all brands.
    """

    def __init__(self, version: int = 7, seed: int = SEED, only_brand_id: int | None = None) -> None:
        self._draw = Random(seed)
        self._campaigns = [
            campaign_id
            for campaign_id in range(1, CAMPAIGNS + 1)
            if only_brand_id is None or brand_of(campaign_id) == only_brand_id
        ]
        self._weights = list(accumulate(1 / rank for rank in range(1, len(self._campaigns) + 1)))
        self._draw.shuffle(self._campaigns)
        self._now = clock.now()
        self._version = version
        self._made = 0

    def event(self) -> dict[str, Any]:
        """Creates the next event."""
        rank = bisect(self._weights, self._draw.random() * self._weights[-1])
        ago = timedelta(seconds=self._draw.uniform(0, HOURS * 3600))
        self._made += 1
        return {
            "event_id": self._id(),
            "campaign_id": self._campaigns[min(rank, len(self._campaigns) - 1)],
            "occurred_at": (self._now - ago).isoformat(timespec="milliseconds"),
            "amount_micros": self._draw.randint(100, 9_999),
        }

    def batches(self, messages: int, events: int) -> list[list[dict[str, Any]]]:
        """Creates the events of `messages` messages, `events` events each."""
        return [[self.event() for _ in range(events)] for _ in range(messages)]

    def busiest_brand(self) -> int:
        """The id of the brand whose campaign gets the most events."""
        return brand_of(self._campaigns[0])

    def _id(self) -> str:
        if self._version == 4:
            return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))
        milliseconds = int(self._now.timestamp() * 1000) + self._made // 100
        rest = self._draw.getrandbits(74)
        value = milliseconds << 80 | 7 << 76 | (rest >> 62) << 64 | 2 << 62 | rest & (1 << 62) - 1
        return str(uuid.UUID(int=value))


def messages(batches: list[list[dict[str, Any]]], actor: str = "ingest_spend") -> list[bytes]:
    """The batches as JSON messages of a stock Dramatiq producer, for `BenchStage.put`, which supplies the ids."""
    return [message({"events": events}, f"message-{number}", actor) for number, events in enumerate(batches)]


def message(kwargs: dict[str, Any], name: str, actor: str, queue: str = "spend") -> bytes:
    """One message as JSON. `name`: the id under which it will be stored in Redis."""
    fields = {
        "queue_name": queue,
        "actor_name": actor,
        "args": [],
        "kwargs": kwargs,
        "options": {"redis_message_id": name},
        "message_id": secrets.token_hex(16),
        "message_timestamp": 1_790_000_000_000,
    }
    return json.dumps(fields, separators=(",", ":")).encode()
