"""Messages received from RabbitMQ: reads them, and keeps invalid ones as rejected inputs."""

from collections.abc import Mapping
from typing import Any

from dramatiq import Actor, Message

from delivery import messages
from delivery.messages import Fault


def read(body: bytes, queue_name: str, actors: Mapping[str, Actor[..., Any]]) -> Message[Any] | Fault:
    """Decodes a message; returns a Fault if it is invalid or too large."""
    if len(body) > messages.largest_bytes():
        return Fault("too_large")
    return messages.read(body, queue_name, actors)


def keep_invalid(channel: Any, tag: int, body: bytes, reason: str, queue_name: str) -> None:
    """Keeps an invalid message as rejected and acknowledges it; dead-letters it if Postgres does not store it."""
    if messages.keep_bytes(body, reason, queue_name):
        channel.basic_ack(tag)
    else:
        channel.basic_nack(tag, requeue=False)
