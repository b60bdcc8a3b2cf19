"""Sends messages to actors by name, so that senders need not import the actors."""

from collections.abc import Mapping, Sequence
from typing import Any

from dramatiq import Message

from delivery.broker import get_broker
from delivery.messages import TRACEPARENT
from delivery.queues import QUEUE_OF
from runtime import tracing


def send(actor_name: str, *args: object, delay_ms: int | None = None, **kwargs: object) -> Message[Any]:
    """Enqueues a message for an actor of `QUEUE_OF`, delayed by `delay_ms` milliseconds, and returns it.

    Raises NotEnqueued if the broker is unreachable or full, MessageTooLarge, and SettingsError without a broker URL.
    `delay_ms` None: not delayed.
    """
    return enqueue(actor_name, args, kwargs, delay_ms)


def enqueue(
    actor_name: str, args: Sequence[object], kwargs: Mapping[str, object], delay_ms: int | None = None
) -> Message[Any]:
    """Enqueues a message with the given arguments for an actor, within the current trace, and returns it.

    Raises NotEnqueued if the broker is unreachable or full, MessageTooLarge, and SettingsError without a broker URL.
    `delay_ms`: delay in milliseconds; None: not delayed.
    """
    queue_name = QUEUE_OF[actor_name]
    with tracing.span(f"send {actor_name}", "producer", attributes={"messaging.destination.name": queue_name}):
        traceparent = tracing.traceparent()
        message: Message[Any] = Message(
            queue_name=queue_name,
            actor_name=actor_name,
            args=tuple(args),
            kwargs=dict(kwargs),
            options={} if traceparent is None else {TRACEPARENT: traceparent},
        )
        return get_broker().enqueue(message, delay=delay_ms)


def send_events(events: Sequence[object], **options: object) -> None:
    """Enqueues one message with these spend events; `options` are the fields of `MessageOptions`.

    Raises NotEnqueued if the broker is unreachable or full, MessageTooLarge, and SettingsError without a broker URL.
    """
    enqueue("ingest_spend", (), {"events": events, **options})


def send_totals(totals: Sequence[object], **options: object) -> None:
    """Enqueues one message with these reported totals; `options` are the fields of `MessageOptions`.

    Raises NotEnqueued if the broker is unreachable or full, MessageTooLarge, and SettingsError without a broker URL.
    """
    enqueue("ingest_reported_totals", (), {"totals": totals, **options})
