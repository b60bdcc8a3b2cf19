"""Actors that ingest spend: each reads its message's options and ingests the batch."""

import dramatiq

from app.ingest.ingest import ingest_events, ingest_totals
from delivery import bundles
from delivery.broker import get_broker
from delivery.message_options import MessageOptions, batch_in
from delivery.queues import QUEUE_OF


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["ingest_spend"])
def ingest_spend(*args: object, **kwargs: object) -> None:
    """Ingests `events`, a list of spend events; the other arguments are the fields of `MessageOptions`."""
    options = MessageOptions.pop_from(kwargs)
    events = batch_in("events", args, kwargs)
    ingest_events(events if isinstance(events, bundles.EventsOfSeveral) else [events], options)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["ingest_reported_totals"])
def ingest_reported_totals(*args: object, **kwargs: object) -> None:
    """Ingests `totals`, a list of cumulative totals of days; the other arguments are the fields of `MessageOptions`."""
    options = MessageOptions.pop_from(kwargs)
    ingest_totals(batch_in("totals", args, kwargs), options)
