"""Several messages of spend as one piece of work: one thread counts them in one transaction, one step acknowledges all.

Only messages that say nothing but their events are put into a bundle. Where it fails, each of them goes by itself.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, Final

from dramatiq import Message

from db.repository.ledger.spend import FEW_EVENTS

QUEUE: Final = "spend"
ACTOR: Final = "ingest_spend"
PLAIN_KWARGS: Final = {"events"}
PLAIN_OPTIONS: Final = {"redis_message_id"}

MAX_MESSAGES: Final = 64
MAX_EVENTS: Final = 8_000
MAX_ID_LENGTH: Final = 40
"""Of a message in a bundle: what a process works on is noted where there is not room for everything."""

IDS: Final = "redis_message_ids"
"""The option of a bundle that names what it is made of; no message from a queue can have it."""


PASSING: Final = "passing"
"""The option of a bundle that failed for an error that a later try may get past."""


class EventsOfSeveral(list[list[object]]):
    """The events of each message of a bundle, in the place of a message's events."""


class Bundle:
    """Messages on their way into one, all of them of one kind."""

    def __init__(self, first: Message[Any]) -> None:
        self.messages = [first]
        self._events = len(first.kwargs["events"])

    def takes(self, message: Message[Any]) -> bool:
        """Adds the message, if it may share and there is room."""
        events = self._events + len(message.kwargs["events"])
        if events > MAX_EVENTS or len(self.messages) == MAX_MESSAGES:
            return False
        self.messages.append(message)
        self._events = events
        return True

    def message(self) -> Message[Any]:
        """The one message; what is alone stays what it is."""
        first = self.messages[0]
        if len(self.messages) == 1:
            return first
        return first.copy(
            kwargs={"events": EventsOfSeveral(message.kwargs["events"] for message in self.messages)},
            options={
                IDS: [message.options["redis_message_id"] for message in self.messages],
                "message_ids": [message.message_id for message in self.messages],
            },
        )


class Kind(IntEnum):
    """What shares a bundle with its like, in the order in which the bundles are handed out."""

    FEW_EVENTS = 1
    MANY_EVENTS = 2


def are_few(events: Sequence[object]) -> bool:
    """Whether the events of a message are quickly done."""
    return len(events) <= FEW_EVENTS


def kind(message: Message[Any]) -> Kind | None:
    """With which others a message may share a bundle; None where it must go by itself.

    What is quickly done shares with its like, and waits for no more than that.
    """
    events: Any = message.kwargs.get("events")
    is_plain = (
        message.actor_name == ACTOR
        and not message.args
        and message.kwargs.keys() == PLAIN_KWARGS
        and message.options.keys() == PLAIN_OPTIONS
        and type(events) is list
        and len(message.options["redis_message_id"]) <= MAX_ID_LENGTH
    )
    if not is_plain:
        return None
    return Kind.FEW_EVENTS if are_few(events) else Kind.MANY_EVENTS


def is_bundle(message: Any) -> bool:
    """Whether it is several in one."""
    return IDS in message.options


def redis_ids(message: Any) -> list[str]:
    """The ids in Redis of the message, or of those it is made of."""
    ids: list[str] = message.options.get(IDS) or [message.options["redis_message_id"]]
    return ids


def all_redis_ids(messages: Iterable[Any]) -> list[str]:
    """The ids in Redis of all."""
    return [redis_id for message in messages for redis_id in redis_ids(message)]
