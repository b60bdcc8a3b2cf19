"""A connection to Redis that one thread keeps: for the step it takes again and again, and to be woken by Redis.

Redis tells a connection of a change to a key that it has read, once (CLIENT TRACKING, Redis 6 and Valkey). Nothing is
taken from the queue meanwhile, and a full Redis refuses none of it, for nothing is written.
"""

import select
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import structlog

from delivery.redis.steps import RedisSteps

log = structlog.get_logger()

TELLS_FROM_PROTOCOL: Final = 3
"""The version of Redis's protocol in which it also says what it was not asked for."""

ASKED_AGAIN_SECONDS: Final = 60.0
"""After a refusal to tell of changes: Redis may have been busy, or its rules may have been changed since."""

Read = tuple[str | int, ...]


class DedicatedConnection:
    """Takes steps past the pool of connections, at half the price; after any error the pool takes over."""

    def __init__(self, steps: RedisSteps) -> None:
        self._steps = steps
        self._connection: Any = None
        self._is_tracked = False
        self._answers: list[Any] | None = None
        self._polls_until = 0.0

    def run(self, name: str, *arguments: Any) -> Any:
        """Runs a script as `RedisSteps.run` does, on this connection. Raises redis.RedisError."""
        try:
            self._connect()
            self._connection.send_command(
                "EVALSHA", self._steps.scripts[name].sha, 1, self._steps.namespace, *arguments
            )
            return self._connection.read_response()
        except (redis.RedisError, OSError):
            self.close()
            return self._steps.run(name, *arguments)
        except BaseException:
            self.close()
            raise

    def watch(self, *reads: Read) -> list[Any] | None:
        """The answers to read commands; from now on a change to one of their keys ends `wait`.

        Each call must ask for the same. None where Redis does not tell of changes, or does not answer.
        """
        if time.monotonic() < self._polls_until:
            return None
        try:
            self._connect()
            self._take_news()
            if self._answers is None:
                self._answers = self._asked(reads)
        except redis.ResponseError as error:
            self._poll(error)
        except (redis.RedisError, OSError):
            self.close()
        return self._answers

    def wait(self, seconds: float) -> None:
        """Waits until a key that is watched has changed, the broker is ending, or the time is up. It may end early."""
        poll = select.poll()
        poll.register(self._steps.ending, select.POLLIN)
        if self._answers is not None:
            try:
                if self._connection.can_read(timeout=0):  # it came with the answers: the socket has no more to tell
                    return
                poll.register(self._connection._sock, select.POLLIN)
            except (redis.RedisError, OSError):
                self.close()
                return
        poll.poll(max(0.0, seconds) * 1000)

    def close(self) -> None:
        """Gives up the connection, on which a reply may still be on its way."""
        connection, self._connection, self._answers = self._connection, None, None
        if connection is not None:
            if self._is_tracked:
                connection._parser.set_invalidation_push_handler(None)
            connection.disconnect()
            self._steps.client.connection_pool.release(connection)
        self._is_tracked = False

    def _connect(self) -> None:
        if self._connection is None:
            self._connection = self._steps.client.connection_pool.get_connection()

    def _asked(self, reads: Sequence[Read]) -> list[Any]:
        if not self._is_tracked:
            if int(self._connection.get_protocol()) < TELLS_FROM_PROTOCOL:
                raise redis.ResponseError("the URL asks for a protocol in which Redis only answers")
            self._answered(("CLIENT", "TRACKING", "ON", "OPTIN"))
            self._connection._parser.set_invalidation_push_handler(self._has_changed)
            self._is_tracked = True
        answers = self._answered(*(command for read in reads for command in (("CLIENT", "CACHING", "YES"), read)))
        return answers[1::2]

    def _answered(self, *commands: Read) -> list[Any]:
        """Sends the commands in one go. Raises the first error among the answers, once all have been read."""
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(self._connection.read_response())
            except redis.ResponseError as error:
                answers.append(error)
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                raise answer
        return answers

    def _take_news(self) -> None:
        """Reads what Redis has told without being asked."""
        while self._is_tracked and self._connection.can_read(timeout=0):
            self._connection.read_response(push_request=True)

    def _has_changed(self, _told: object) -> None:
        self._answers = None

    def _poll(self, error: redis.ResponseError) -> None:
        self.close()
        self._polls_until = time.monotonic() + ASKED_AGAIN_SECONDS
        if not self._steps.is_polled:
            self._steps.is_polled = True
            log.warning("redis.polled", error=str(error))
