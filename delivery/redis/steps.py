"""The steps that Spendgate takes within Redis, a script each, shared by broker, consumers and connections."""

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
from delivery.redis import scripts
from runtime.signals import Stop

log = structlog.get_logger()

STEPS: Final = (
    *("ENQUEUE", "ENQUEUE_ALWAYS", "ENQUEUE_LATER", "ENQUEUE_LATER_ALWAYS", "DUE", "SET_ETA", "HASTEN"),
    *("MOVE", "HEAD", "GIVE_BACK", "FETCH", "SET_ASIDE", "ACK", "NACK", "REQUEUE"),
)


class RedisSteps:
    """Runs the scripts of delivery/redis/scripts.py for one process.

    `worker_id`: the name under which Redis keeps the messages that this process holds. `is_worker`: whether it may
    enqueue into a full Redis. `is_polled`: whether Redis refuses to wake it, so that it polls. `actors` and
    `queue_names` return the broker's.
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
        self.scripts = {name: client.register_script(getattr(scripts, name)) for name in STEPS}

    @property
    def is_ending(self) -> bool:
        """Whether this worker returns the messages it has not begun, and fetches no more."""
        return self.ending.is_set()

    @is_ending.setter
    def is_ending(self, ends: bool) -> None:
        if ends:
            self.ending.set()
        else:
            self.ending = Stop()

    def become_another(self) -> None:
        """Takes a new `worker_id`, after a fork: two processes must not share one."""
        self.worker_id = str(uuid.uuid4())
        self.ending = Stop()

    def run(self, name: str, *arguments: Any) -> Any:
        """Runs the script `name` of STEPS. Raises redis.RedisError."""
        return self.scripts[name](keys=[self.namespace], args=arguments)

    @contextmanager
    def answering(self, worded: Callable[[Exception], str] = str) -> Iterator[None]:
        """Turns redis.RedisError into BrokerConnectionError, worded by `worded`."""
        try:
            yield
        except redis.RedisError as error:
            if self.is_worker and "WRONGTYPE" in str(error):
                self._set_wrong_types_aside()
            raise BrokerConnectionError(worded(error)) from None  # type: ignore[no-untyped-call]

    def _set_wrong_types_aside(self) -> None:
        """Renames the keys that another program created with another type: until then the queue stands still."""
        with suppress(redis.RedisError):
            for queue in sorted(self.queue_names()):
                for key, kind in self.run("SET_ASIDE", queue, self.worker_id):
                    log.error("redis.wrong_type", key=key.decode(), type=kind.decode())

    def read(self, data: bytes | None, queue_name: str) -> Message[Any] | Fault:
        """The message in `data`, or the fault found in it; None stands for data too large to fetch."""
        return Fault("too_large") if data is None else messages.read(data, queue_name, self.actors())

    def kept(self, queue_name: str, redis_id: str, data: bytes | None, fault: Fault) -> bool:
        """Keeps a message that no actor can work on as rejected; returns whether Postgres took it."""
        key = f"{self.namespace}:{queue_name}.msgs"
        size = len(data) if data is not None else int(self.client.hstrlen(key, redis_id))
        whole: Any = data
        if data is None and size <= messages.KEPT_BYTES:
            whole = self.client.hget(key, redis_id)
        elif data is None:
            whole = self.run("HEAD", queue_name, redis_id, messages.HEAD_BYTES)
        return whole is None or messages.keep_bytes(whole, fault.reason, queue_name, size)
