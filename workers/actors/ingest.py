"""Actors that take spend in: each reads its message's terms and hands the batch over."""

import dramatiq

from app.ingest.ingest import ingest_events, ingest_totals
from delivery import bundles
from delivery.broker import get_broker
from delivery.message_options import Terms, listed
from delivery.queues import QUEUE_OF


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["ingest_spend"])
def ingest_spend(*args: object, **kwargs: object) -> None:
    """`events`: a list of spend events; the other arguments: see `Terms`."""
    terms = Terms.taken_from(kwargs)
    events = listed("events", args, kwargs)
    ingest_events(events if isinstance(events, bundles.EventsOfSeveral) else [events], terms)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["ingest_reported_totals"])
def ingest_reported_totals(*args: object, **kwargs: object) -> None:
    """`totals`: a list of cumulative totals of days; the other arguments: see `Terms`."""
    terms = Terms.taken_from(kwargs)
    ingest_totals(listed("totals", args, kwargs), terms)
