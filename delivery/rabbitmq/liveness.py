"""Asks RabbitMQ whether a worker lives. Each worker has an exclusive queue, which ends with the worker's connection."""

from typing import Any, Final

import pika.exceptions
import structlog

log = structlog.get_logger()

RESOURCE_LOCKED: Final = 405
"""The reply code for an exclusive queue of another connection."""


def _name(worker_id: str) -> str:
    return f"spendgate.alive.{worker_id}"


def show_alive(connection: Any, worker_id: str) -> None:
    """Declares the worker's exclusive queue, which shows others that it lives as long as the connection does.

    If RabbitMQ refuses the queue, only logs that.
    """
    try:
        connection.channel().queue_declare(_name(worker_id), exclusive=True)
    except pika.exceptions.ChannelClosed as error:
        log.warning("rabbitmq.not_shown_alive", error=repr(error))


def is_alive(connection: Any, worker_id: str) -> bool:
    """Returns whether the worker's exclusive queue exists. Raises pika's exceptions if `connection` is lost."""
    probe = connection.channel()
    try:
        probe.queue_declare(_name(worker_id), passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        return bool(error.reply_code == RESOURCE_LOCKED)
    probe.close()
    return True
