"""Runs the Redis scripts for the broker, its consumers and their connections."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import redis
import structlog
from dramatiq import Message
from dramatiq.errors import BrokerConnectionError

from delivery import messages
from delivery.messages import Fault
from delivery.redis import delay_scripts, kept_scripts, scripts
from runtime.signals import Stop

log = structlog.get_logger()

STEPS: Final = (
    *((scripts, name) for name in ("ENQUEUE", "ENQUEUE_ALWAYS", "HEAD", "GIVE_BACK", "FETCH", "SET_ASIDE")),
    *((scripts, name) for name in ("ACK", "NACK", "REQUEUE")),
    *((delay_scripts, name) for name in ("ENQUEUE_LATER", "ENQUEUE_LATER_ALWAYS", "DUE", "SET_ETA", "HASTEN", "MOVE")),
    (delay_scripts, "POSTPONE"),
    *((kept_scripts, name) for name in ("ACK_AND_KEEP", "REMOVE_DEAD", "MAKE_ROOM")),
    *((kept_scripts, name) for name in ("KEPT_STATE", "COUNT_KEPT", "REPLAY")),
)
"""The module and name of each script."""


class RedisSteps:
    """Runs the scripts of `scripts`, `delay_scripts` and `kept_scripts` for one process.

    `worker_id`: the id under which Redis lists the messages that this process fetched. `is_worker`: whether the process
    may enqueue into a full Redis. `is_polled`: whether Redis refuses notifications, so that the process polls.
    `actors`: returns the broker's actors by name. `queue_names`: returns the names of the broker's queues and delay
    queues.
    """

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.worker_id = str(uuid.uuid4())
        self.is_worker = False
        self.is_polled = False
        self.ending = Stop()
        self.actors: Callable[[], Mapping[str, Any]] = dict
        self.queue_names: Callable[[], Iterable[str]] = tuple
        self.scripts = {name: client.register_script(getattr(module, name)) for module, name in STEPS}

    @property
    def is_ending(self) -> bool:
        """Whether the worker is stopping: it fetches no more messages and returns those it has not started."""
        return self.ending.is_set()

    @is_ending.setter
    def is_ending(self, ends: bool) -> None:
        if ends:
            self.ending.set()
        else:
            self.ending = Stop()

    def reset_after_fork(self) -> None:
        """Creates a new `worker_id` and `ending` after a fork, because two processes must not share one."""
        self.worker_id = str(uuid.uuid4())
        self.ending = Stop()

    def run(self, name: str, *arguments: Any) -> Any:
        """Runs the script `name` of STEPS. Raises redis.RedisError."""
        return self.scripts[name](keys=[self.namespace], args=arguments)

    @contextmanager
    def answering(self, worded: Callable[[Exception], str] = str) -> Iterator[None]:
        """Turns redis.RedisError into BrokerConnectionError with the text `worded(error)`.

        If a key has a wrong type, a worker also renames such keys.
        """
        try:
            yield
        except redis.RedisError as error:
            if self.is_worker and "WRONGTYPE" in str(error):
                self._rename_wrong_types()
            raise BrokerConnectionError(worded(error)) from None  # type: ignore[no-untyped-call]

    def _rename_wrong_types(self) -> None:
        """Renames keys that another program created with a wrong type, because they block the queue."""
        with suppress(redis.RedisError):
            for queue in sorted(self.queue_names()):
                for key, kind in self.run("SET_ASIDE", queue, self.worker_id):
                    log.error("redis.wrong_type", key=key.decode(), type=kind.decode())

    def read(self, data: bytes | None, queue_name: str) -> Message[Any] | Fault:
        """Decodes a message; returns a Fault if it is invalid, or too large to fetch, for which `data` is None."""
        return Fault("too_large") if data is None else messages.read(data, queue_name, self.actors())

    def kept(self, queue_name: str, redis_id: str, data: bytes | None, fault: Fault) -> bool:
        """Keeps a message that no actor can work on as rejected; returns False if Postgres did not store it.

        `data` None: it is read from Redis; a message that is gone counts as kept. Raises redis.RedisError.
        """
        key = f"{self.namespace}:{queue_name}.msgs"
        size = len(data) if data is not None else int(self.client.hstrlen(key, redis_id))
        whole: Any = data
        if data is None and size <= messages.KEPT_BYTES:
            whole = self.client.hget(key, redis_id)
        elif data is None:
            whole = self.run("HEAD", queue_name, redis_id, messages.HEAD_BYTES)
        return whole is None or messages.keep_bytes(whole, fault.reason, queue_name, size)
