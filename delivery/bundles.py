"""Bundles: several spend messages combined into one, counted in one transaction and acknowledged in one step.

Only messages with no argument but `events` and no option but their Redis id and `traceparent` are bundled. After a
transient error the messages of a bundle may be bundled again; after any other error they are worked on one by one.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, Final

from dramatiq import Message

from db.repository.ledger.spend import FEW_EVENTS
from delivery.messages import TRACEPARENT

QUEUE: Final = "spend"
ACTOR: Final = "ingest_spend"
PLAIN_KWARGS: Final = {"events"}
PLAIN_OPTIONS: Final = {"redis_message_id", TRACEPARENT}

MAX_MESSAGES: Final = 64
"""Most messages in a bundle. Their ids, MAX_ID_LENGTH each, must fit into SLOT_BYTES of `delivery/in_flight.py`."""

MAX_EVENTS: Final = 8_000
"""Most events in a bundle of several messages. A message with more of them stays a bundle of one."""

MAX_ID_LENGTH: Final = 40
"""Longest id, in characters, of a message in a bundle, so that all ids of a bundle fit into a slot of InFlightBoard."""

IDS: Final = "redis_message_ids"
"""The option of a bundle that lists the Redis ids of its messages; a message from a queue cannot have it."""

TRACEPARENTS: Final = "traceparents"
"""The option of a bundle that lists the `traceparent` of each of its messages that has one."""

IS_TRANSIENT: Final = "transient"
"""The option of a failed bundle that says whether its error is transient."""


class EventsOfSeveral(list[list[object]]):
    """The events of a bundle: one list of events for each of its messages."""


class Bundle:
    """Collects messages of one `BundleKind` to be combined into one message."""

    def __init__(self, first: Message[Any]) -> None:
        self.messages = [first]
        self._events = len(first.kwargs["events"])

    def add(self, message: Message[Any]) -> bool:
        """Adds the message if there is room for it and its events; returns whether it was added."""
        events = self._events + len(message.kwargs["events"])
        if events > MAX_EVENTS or len(self.messages) == MAX_MESSAGES:
            return False
        self.messages.append(message)
        self._events = events
        return True

    def message(self) -> Message[Any]:
        """Returns the combined message; a bundle of one returns its message unchanged."""
        first = self.messages[0]
        if len(self.messages) == 1:
            return first
        return first.copy(
            kwargs={"events": EventsOfSeveral(message.kwargs["events"] for message in self.messages)},
            options={
                IDS: [message.options["redis_message_id"] for message in self.messages],
                "message_ids": [message.message_id for message in self.messages],
                TRACEPARENTS: [one.options[TRACEPARENT] for one in self.messages if TRACEPARENT in one.options],
            },
        )


class BundleKind(IntEnum):
    """Whether the messages of a bundle have few or many events each. Bundles of the lower value are processed first."""

    FEW_EVENTS = 1
    MANY_EVENTS = 2


def are_few(events: Sequence[object]) -> bool:
    """Returns whether a message has at most FEW_EVENTS events, which are counted quickly."""
    return len(events) <= FEW_EVENTS


def kind_of(message: Message[Any]) -> BundleKind | None:
    """Returns the kind of bundle that a message may join, or None if it must not be bundled.

    Messages of few events have a kind of their own, so that they do not wait for messages of many events.
    """
    events: Any = message.kwargs.get("events")
    is_plain = (
        message.actor_name == ACTOR
        and not message.args
        and message.kwargs.keys() == PLAIN_KWARGS
        and message.options.keys() <= PLAIN_OPTIONS
        and type(events) is list
        and len(message.options["redis_message_id"]) <= MAX_ID_LENGTH
    )
    if not is_plain:
        return None
    return BundleKind.FEW_EVENTS if are_few(events) else BundleKind.MANY_EVENTS


def is_bundle(message: Any) -> bool:
    """Returns whether the message is a bundle."""
    return IDS in message.options


def redis_ids(message: Any) -> list[str]:
    """Returns the Redis ids of the messages in a bundle, or the Redis id of a single message in a list."""
    ids: list[str] = message.options.get(IDS) or [message.options["redis_message_id"]]
    return ids


def all_redis_ids(messages: Iterable[Any]) -> list[str]:
    """Returns the Redis ids of all messages, including those in bundles."""
    return [redis_id for message in messages for redis_id in redis_ids(message)]
