"""`python -m benchmarks.readers`: microseconds an event to read a message of 5,000 events, by three readers."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec

from domain.inputs.columns import plain_drafts
from domain.inputs.spend import read_event

EVENTS: Final = 5_000
ROUNDS: Final = 30


class Event(msgspec.Struct, gc=False):
    """A spend event as msgspec checks it: form and ranges, without the rules for texts and times."""

    event_id: UUID
    campaign_id: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    amount_micros: Annotated[int, msgspec.Meta(ge=-(10**15), le=10**15)]
    currency: str | None = None
    source: str | None = None
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None


def main() -> None:
    """Prints the microseconds an event of each reader, the least of ROUNDS rounds; all read the same bytes."""
    now = datetime.now(UTC).isoformat()  # noqa: TID251 - a made-up event, not a decision
    events = [
        {"event_id": str(uuid4()), "campaign_id": n, "occurred_at": now, "amount_micros": n, "source": "bidder"}
        for n in range(1, EVENTS + 1)
    ]
    data = json.dumps(events).encode()
    untyped: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
    typed = msgspec.json.Decoder(list[Event])

    def structs() -> object:
        read = typed.decode(data)
        return (
            [str(one.event_id) for one in read],
            [one.campaign_id for one in read],
            [one.occurred_at.astimezone(UTC) for one in read],
            [one.amount_micros for one in read],
            [one.source or "" for one in read],
        )

    readers: dict[str, Callable[[], object]] = {
        "columns (domain.inputs.columns)": lambda: plain_drafts(untyped.decode(data)),
        "msgspec.Struct, then columns": structs,
        "event by event (domain.inputs.spend)": lambda: [read_event(one) for one in untyped.decode(data)],
    }
    for name, reader in readers.items():
        print(f"{name:38} {min(_seconds(reader) for _ in range(ROUNDS)) / EVENTS * 1e6:5.2f}")


def _seconds(reader: Callable[[], object]) -> float:
    start = time.perf_counter()
    assert reader()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
