"""Encodes events as rows for a binary COPY into the ledger, the cheapest format for client and server."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.inputs.columns import EventColumns

# The key columns come first, so that sorting the encoded rows sorts them by key.
COPY: Final = """
    COPY spend_events (brand_id, event_id, campaign_id, occurred_at, amount_micros, received_at, source)
    FROM STDIN (FORMAT binary)
"""

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
COLUMNS: Final = 7
UUID_BYTES: Final = 16
ROW: Final = struct.Struct("!hiqi16siqiqiqiqi")
"""A row up to its last value: the number of columns, then each column's length in bytes and its value.

The last column is a text of any length: the struct ends with its length, and the bytes of the text follow.
"""

POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The instant from which Postgres counts microseconds in its binary format."""


def encoded(events: EventColumns, at: datetime) -> bytes:
    """The COPY data for events received at `at`, in key order, so that two batches with common keys cannot deadlock."""
    pack, received = ROW.pack, _microseconds(at - POSTGRES_EPOCH)
    digits = "".join(events.event_ids).replace("-", "")
    ids = bytes.fromhex(digits)
    uuids = [ids[start : start + UUID_BYTES] for start in range(0, len(ids), UUID_BYTES)]
    occurred = [_microseconds(moment - POSTGRES_EPOCH) for moment in events.occurred_at]
    sources = list(map(str.encode, events.sources))
    fields = (events.brand_ids, uuids, events.campaign_ids, occurred, events.amounts_micros, sources)
    rows = sorted(
        pack(COLUMNS, 8, brand_id, 16, uuid, 8, campaign_id, 8, moment, 8, micros, 8, received, len(source)) + source
        for brand_id, uuid, campaign_id, moment, micros, source in zip(*fields, strict=True)
    )
    return b"".join([SIGNATURE, *rows, END])


def _microseconds(since: timedelta) -> int:
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
