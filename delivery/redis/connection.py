"""A Redis connection that one thread keeps, to run scripts faster and to be notified of new messages.

CLIENT TRACKING (Redis 6 and Valkey) notifies a connection once when a key that it has read changes. A wait removes
nothing from the queue, and works in a full Redis, because it writes nothing.
"""

import select
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import structlog

from delivery.redis.steps import RedisSteps

log = structlog.get_logger()

PUSH_PROTOCOL: Final = 3
"""The version of Redis's protocol from which the server can push notifications."""

TRACKING_RETRY_SECONDS: Final = 60.0
"""Seconds until tracking is tried again after Redis refused it: it may have been busy, or its ACL may change."""

Read = tuple[str | int, ...]

CACHING: Final[Read] = ("CLIENT", "CACHING", "YES")


class DedicatedConnection:
    """Runs scripts without the connection pool, in half the time; after an error it uses the pool once."""

    def __init__(self, steps: RedisSteps) -> None:
        self._steps = steps
        self._connection: Any = None
        self._is_tracked = False
        self._answers: list[Any] | None = None
        self._polls_until = 0.0

    def run(self, name: str, *arguments: Any, watched: Sequence[Read] = ()) -> Any:
        """Runs the script `name` and returns its result; after an error of this connection, once more through the pool.

        Raises redis.RedisError if that fails too.

        `watched`: the commands of `watch`, whose answers it reads in the same round trip if Redis sends notifications.
        """
        command = ("EVALSHA", self._steps.scripts[name].sha, 1, self._steps.namespace, *arguments)
        try:
            self._connect()
            if self._is_tracked and watched:
                result, *answers = self._execute(command, *_caching(watched))
                self._answers = answers[1::2]
                return result
            self._connection.send_command(*command)
            return self._connection.read_response()
        except (redis.RedisError, OSError):
            self.close()
            return self._steps.run(name, *arguments)
        except BaseException:
            self.close()
            raise

    def watch(self, *reads: Read) -> list[Any] | None:
        """Runs read commands and returns their answers; a later change to one of their keys ends `wait`.

        Until such a change, returns the last answers without running the commands. Every call must pass the same
        commands. Returns None if Redis refuses tracking or does not answer.
        """
        if time.monotonic() < self._polls_until:
            return None
        try:
            self._connect()
            self._read_notifications()
            if self._answers is None:
                self._answers = self._read(reads)
        except redis.ResponseError as error:
            self._stop_tracking(error)
        except (redis.RedisError, OSError):
            self.close()
        return self._answers

    def wait(self, seconds: float) -> bool:
        """Waits until a watched key changes, the worker begins to stop or `seconds` pass; an error ends the wait early.

        Returns whether one of the first two happened.
        """
        poll = select.poll()
        poll.register(self._steps.ending, select.POLLIN)
        if self._answers is not None:
            try:
                if self._connection.can_read(
                    timeout=0
                ):  # it arrived with the answers, so polling the socket would not see it
                    return True
                poll.register(self._connection._sock, select.POLLIN)
            except (redis.RedisError, OSError):
                self.close()
                return False
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def close(self) -> None:
        """Closes the connection, since a late reply on it could be mistaken for the reply to another command."""
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

    def _read(self, reads: Sequence[Read]) -> list[Any]:
        if not self._is_tracked:
            if int(self._connection.get_protocol()) < PUSH_PROTOCOL:
                raise redis.ResponseError("the protocol in the URL has no notifications")
            self._execute(("CLIENT", "TRACKING", "ON", "OPTIN"))
            self._connection._parser.set_invalidation_push_handler(self._has_changed)
            self._is_tracked = True
        return self._execute(*_caching(reads))[1::2]

    def _execute(self, *commands: Read) -> list[Any]:
        """Sends the commands as one pipeline; reads all answers, then raises the first error among them."""
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

    def _read_notifications(self) -> None:
        """Reads the notifications that Redis has pushed."""
        while self._is_tracked and self._connection.can_read(timeout=0):
            self._connection.read_response(push_request=True)

    def _has_changed(self, _notification: object) -> None:
        self._answers = None

    def _stop_tracking(self, error: redis.ResponseError) -> None:
        self.close()
        self._polls_until = time.monotonic() + TRACKING_RETRY_SECONDS
        if not self._steps.is_polled:
            self._steps.is_polled = True
            log.warning("redis.polled", error=str(error))


def _caching(reads: Sequence[Read]) -> list[Read]:
    """Returns the read commands, each preceded by the command that makes Redis notify of changes to its key."""
    return [command for read in reads for command in (CACHING, read)]
