"""Events as the rows of a binary COPY into the ledger: the form that costs least on both sides."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.columns import Events

# The key's columns come first, so that rows sort by their bytes as the key does.
COPY: Final = """
    COPY spend_events (brand_id, event_id, campaign_id, occurred_at, amount_micros, received_at, source)
    FROM STDIN (FORMAT binary)
"""

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
COLUMNS: Final = 7
UUID_BYTES: Final = 16
ROW: Final = struct.Struct("!hiqi16siqiqiqiqi")
"""How many columns, then each with its length before it; of the last one the length alone."""

BEGIN_OF_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Whence Postgres counts microseconds."""


def encoded(events: Events, at: datetime) -> bytes:
    """The events, received at `at`, in key order, so that two batches never wait for each other's keys in a ring."""
    pack, received = ROW.pack, _microseconds(at - BEGIN_OF_TIME)
    digits = "".join(events.event_ids).replace("-", "")
    ids = bytes.fromhex(digits)
    uuids = [ids[start : start + UUID_BYTES] for start in range(0, len(ids), UUID_BYTES)]
    occurred = [_microseconds(moment - BEGIN_OF_TIME) for moment in events.occurred_at]
    sources = list(map(str.encode, events.sources))
    fields = (events.brand_ids, uuids, events.campaign_ids, occurred, events.amounts_micros, sources)
    rows = sorted(
        pack(COLUMNS, 8, brand_id, 16, uuid, 8, campaign_id, 8, moment, 8, micros, 8, received, len(source)) + source
        for brand_id, uuid, campaign_id, moment, micros, source in zip(*fields, strict=True)
    )
    return b"".join([SIGNATURE, *rows, END])


def _microseconds(since: timedelta) -> int:
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
