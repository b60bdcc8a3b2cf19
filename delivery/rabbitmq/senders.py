"""Connections to RabbitMQ for whoever sends: one thread at a time uses one, and no two processes share any."""

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
"""What pika raises where a connection or a channel is gone, or cannot be had."""

REFUSED: Final = (
    pika.exceptions.ConnectionBlockedTimeout,
    pika.exceptions.NackError,
    pika.exceptions.UnroutableError,
)
"""Of those, what RabbitMQ says of the work itself: another connection would hear the same."""

IDLE_SECONDS: Final = 15.0
"""Long before RabbitMQ takes a silent connection for a dead one."""


@dataclass
class Sender:
    """A connection with a channel on which RabbitMQ confirms what it takes."""

    connection: Any
    channel: Any
    used: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Ends it, also where it has ended already."""
        with suppress(*LOST):
            if self.connection.is_open:
                self.connection.close()


class Senders:
    """Lends a connection for the time of one piece of work; those that nobody uses for a while are closed."""

    def __init__(self, parameters: pika.connection.Parameters) -> None:
        self._parameters = parameters
        self._forget()
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def do(self, work: Callable[[Any], Done]) -> Done:
        """Does `work(channel)`. A connection that was lost while it was idle is replaced, and the work done again.

        Raises what pika raises where RabbitMQ is away, or does not take what is sent.
        """
        sender = self._idle_one()
        if sender is not None:
            try:
                return self._done_by(sender, work)
            except REFUSED:
                raise
            except LOST as error:
                log.info("rabbitmq.connection_renewed", error=repr(error))
                self._distrust()
        return self._done_by(self._opened(), work)

    def close(self) -> None:
        """Closes what is idle. Whoever sends afterwards opens anew."""
        self._close_idle_since(time.monotonic())

    def _forget(self) -> None:
        """In a forked child the connections are still its parent's."""
        self._idle: list[Sender] = []
        self._lock = threading.Lock()
        self._is_tended = False

    def _opened(self) -> Sender:
        connection = pika.BlockingConnection(self._parameters)
        sender = Sender(connection, connection.channel())
        sender.channel.confirm_delivery()
        return sender

    def _done_by(self, sender: Sender, work: Callable[[Any], Done]) -> Done:
        try:
            done = work(sender.channel)
        except BaseException:
            sender.close()
            raise
        self._put_back(sender)
        return done

    def _idle_one(self) -> Sender | None:
        with self._lock:
            is_usable = bool(self._idle) and self._idle[-1].used > time.monotonic() - IDLE_SECONDS
            return self._idle.pop() if is_usable else None

    def _distrust(self) -> None:
        """What was idle when another was lost is lost as well: it is only closed."""
        with self._lock:
            for sender in self._idle:
                sender.used = -math.inf

    def _put_back(self, sender: Sender) -> None:
        sender.used = time.monotonic()
        with self._lock:
            self._idle.append(sender)
            is_tended, self._is_tended = self._is_tended, True
        if not is_tended:
            threading.Thread(target=self._tend, name="rabbitmq-senders", daemon=True).start()

    def _tend(self) -> None:
        """Closes what is idle for long, for as long as there is anything."""
        while self._is_tended:
            time.sleep(IDLE_SECONDS / 3)
            self._close_idle_since(time.monotonic() - IDLE_SECONDS)
            with self._lock:
                self._is_tended = bool(self._idle)

    def _close_idle_since(self, moment: float) -> None:
        with self._lock:
            closing = [sender for sender in self._idle if sender.used <= moment]
            self._idle = [sender for sender in self._idle if sender.used > moment]
        for sender in closing:
            sender.close()
