"""Replays kept messages: those that Redis still has after their commit, in case a failover loses the commit."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from delivery.broker import get_broker
from delivery.bundles import QUEUE
from delivery.redis.broker import SpendgateBroker
from delivery.redis.kept import KeptMessages, KeptState
from domain.errors import InvalidValue


class Extent(NamedTuple):
    """Kept messages to replay: their number and bytes.

    `is_complete`: every message that was acknowledged since the asked moment is still kept.
    """

    messages: int
    size_bytes: int
    is_complete: bool


def state() -> KeptState:
    """The number, size and age of all messages that Redis keeps after their commit.

    Raises InvalidValue if the broker is RabbitMQ, and redis.RedisError.
    """
    return _kept().state()


def extent(since: datetime | None) -> Extent:
    """The number and bytes of the kept messages that were acknowledged since `since`; None: of all kept messages.

    Raises InvalidValue if the broker is RabbitMQ, and redis.RedisError.
    """
    kept = _kept()
    messages, size_bytes = kept.extent(since)
    return Extent(messages, size_bytes, since is None or kept.state().since <= since)


def replay(since: datetime | None) -> Iterator[int]:
    """Returns the messages acknowledged since `since` (None: all kept ones) to their queue.

    Moves them in pages, and yields the number of messages of each. Workers count events that the ledger lacks. Each
    message is moved by one command, so that an interrupted replay can be run again. Raises InvalidValue if the broker
    is RabbitMQ, and redis.RedisError.
    """
    return _kept().replay(since)


def _kept() -> KeptMessages:
    broker = get_broker()
    if not isinstance(broker, SpendgateBroker):
        raise InvalidValue("BROKER_URL", "RabbitMQ keeps no counted messages; let the sender send them again")
    return KeptMessages(broker.steps, QUEUE)
