"""A pool of RabbitMQ connections for senders: one thread at a time uses a connection, and processes share none."""

import atexit
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pika
import pika.exceptions
import structlog

log = structlog.get_logger()

Done = TypeVar("Done")

LOST: Final = (pika.exceptions.AMQPError, AssertionError, OSError)
"""The exceptions of pika and the system for a connection or channel that is lost or cannot be opened."""

REFUSED: Final = (
    pika.exceptions.ConnectionBlockedTimeout,
    pika.exceptions.NackError,
    pika.exceptions.UnroutableError,
)
"""The exceptions, out of LOST, by which RabbitMQ refuses the message itself; a new connection would not help."""

IDLE_SECONDS: Final = 15.0
"""Idle time after which a connection is closed, shorter than RabbitMQ's heartbeat timeout."""


@dataclass
class Sender:
    """A connection with a channel in confirm mode. `used`: when it was last used, by the monotonic clock."""

    connection: Any
    channel: Any
    used: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Closes the connection; does nothing if it is closed."""
        with suppress(*LOST):
            if self.connection.is_open:
                self.connection.close()


class Senders:
    """A connection pool: lends a connection for one piece of work and closes connections that stay idle."""

    def __init__(self, parameters: pika.connection.Parameters) -> None:
        self._parameters = parameters
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.close)

    def do(self, work: Callable[[Any], Done]) -> Done:
        """Runs `work(channel)` and returns its result; retries once on a new connection if an idle one was lost.

        Raises the exceptions of LOST if RabbitMQ is unreachable or refuses the message.
        """
        sender = self._take_idle()
        if sender is not None:
            try:
                return self._run_on(sender, work)
            except REFUSED:
                raise
            except LOST as error:
                log.info("rabbitmq.connection_renewed", error=repr(error))
                self._expire_idle()
        return self._run_on(self._open(), work)

    def close(self) -> None:
        """Closes the idle connections; a later send opens a new one."""
        self._close_idle_since(time.monotonic())

    def _reset(self) -> None:
        """Empties the pool, also in a forked child, because the connections belong to its parent."""
        self._idle: list[Sender] = []
        self._lock = threading.Lock()
        self._has_closer = False

    def _open(self) -> Sender:
        connection = pika.BlockingConnection(self._parameters)
        sender = Sender(connection, connection.channel())
        sender.channel.confirm_delivery()
        return sender

    def _run_on(self, sender: Sender, work: Callable[[Any], Done]) -> Done:
        try:
            done = work(sender.channel)
        except BaseException:
            sender.close()
            raise
        self._put_back(sender)
        return done

    def _take_idle(self) -> Sender | None:
        with self._lock:
            is_usable = bool(self._idle) and self._idle[-1].used > time.monotonic() - IDLE_SECONDS
            return self._idle.pop() if is_usable else None

    def _expire_idle(self) -> None:
        """Marks all idle connections as expired, because they are probably lost too."""
        with self._lock:
            for sender in self._idle:
                sender.used = -math.inf

    def _put_back(self, sender: Sender) -> None:
        sender.used = time.monotonic()
        with self._lock:
            self._idle.append(sender)
            has_closer, self._has_closer = self._has_closer, True
        if not has_closer:
            threading.Thread(target=self._close_expired, name="rabbitmq-senders", daemon=True).start()

    def _close_expired(self) -> None:
        """Closes connections after IDLE_SECONDS without use; ends when no idle connection is left."""
        while self._has_closer:
            time.sleep(IDLE_SECONDS / 3)
            self._close_idle_since(time.monotonic() - IDLE_SECONDS)
            with self._lock:
                self._has_closer = bool(self._idle)

    def _close_idle_since(self, moment: float) -> None:
        with self._lock:
            closing = [sender for sender in self._idle if sender.used <= moment]
            self._idle = [sender for sender in self._idle if sender.used > moment]
        for sender in closing:
            sender.close()
