"""Rejected inputs read again, after what was wrong with them was mended."""

from typing import Any

from db.engine import committed
from db.repository import rejected
from db.repository.rejected import Waiting
from runtime import clock
from workers.broker import broker
from workers.enforcement import Cause
from workers.ingest import count_events, count_totals, report
from workers.messages import MessageTooLarge


def replay(row: Waiting) -> bool:
    """Whether the input was taken this time. One that is refused again waits on, with the reason of now.

    The input is read before it is taken off the list, so that a crash between the two loses nothing.
    """
    if row.kind == rejected.MESSAGE:
        taken = leaves = _sent_again(row.payload)
    else:
        reasons = _read_again(row)
        taken, leaves = not reasons, row.reason not in reasons
    if leaves:
        committed(lambda connection: rejected.mark_replayed(connection, row.id, clock.now()))
    return taken


def _read_again(row: Waiting) -> set[str]:
    """The reasons for which the input was refused this time, and kept anew or in this same row; none: it was taken."""
    if row.kind == rejected.REPORTED_TOTAL:
        counted = count_totals([row.payload], row.only_brand_id)
        report("totals.ingested", counted, Cause.REPORTED_TOTAL)
    else:
        counted = count_events([row.payload], row.only_brand_id)
        report("spend.ingested", counted, Cause.SPEND)
    return {str(rejection.reason) for rejection in counted.rejections}


def _sent_again(payload: Any) -> bool:
    """Enqueues a kept message anew, without the options that tell of its failures; false where it cannot be."""
    sound = (
        isinstance(payload, dict)
        and isinstance(payload.get("actor_name"), str)
        and payload["actor_name"] in broker.actors
        and isinstance(payload.get("args"), list)
        and isinstance(payload.get("kwargs"), dict)
    )
    if sound:
        actor = broker.actors[payload["actor_name"]]
        try:
            broker.enqueue(actor.message_with_options(args=payload["args"], kwargs=payload["kwargs"]))
        except MessageTooLarge:
            return False
    return sound
