"""Guarantees that our Redis broker keeps and Dramatiq's own breaks: each test runs with both."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq import Message, Worker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Retries, TimeLimit

from delivery.broker import middleware
from delivery.messages import RETRY_BYTES
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import SILENT_MS
from tests.kit import put, queue
from tests.world import World, eventually

NAME = "promises"
SOON_SECONDS = 3
"""Patience with Dramatiq's own broker, whose messages stay stuck for minutes."""

PATIENCE_SECONDS = 60
STOCK_BREAKS_IT = pytest.mark.xfail(
    raises=AssertionError, strict=True, reason="Dramatiq's own broker does not keep this guarantee"
)
KILLS = 1_500
"""Enough that some hit a running command; a connection lost between two commands is noticed before the next one."""

SHORT_REPLIES = "?socket_timeout=0.5"


class Delivery:
    """A broker of class `kind` with workers, and an actor that records its arguments in `seen`."""

    def __init__(self, kind: type[RedisBroker]) -> None:
        self.kind = kind
        self.seen: list[str] = []
        self.failing: set[str] = set()
        self.failures: list[str] = []
        self.before: Callable[[], object] = dict
        self.patience_seconds = PATIENCE_SECONDS if issubclass(kind, SpendgateBroker) else SOON_SECONDS
        self.broker = self.new_broker()

    def new_broker(self) -> RedisBroker:
        """Returns another broker of the same class, as another process would have."""
        url = os.environ["REDIS_URL"] + SHORT_REPLIES
        if issubclass(self.kind, SpendgateBroker):
            broker: RedisBroker = self.kind(url, middleware())
        else:
            broker = self.kind(url=url, middleware=[TimeLimit(), Retries(min_backoff=100)])
        self.actor = dramatiq.actor(broker=broker, queue_name=NAME, actor_name="record")(self._record)
        return broker

    def _record(self, text: str) -> None:
        self.before()
        if text in self.failing:
            self.failures.append(text)
            raise RuntimeError(text)
        self.seen.append(text)

    def send(self, text: str, delay: int | None = None) -> None:
        self.broker.enqueue(self.actor.message(text), delay=delay)

    @contextmanager
    def working(self) -> Iterator[Worker]:
        worker = Worker(self.broker, worker_threads=2, worker_timeout=20)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=1_000)

    def saw(self, *texts: str) -> Callable[[], bool]:
        return lambda: set(texts) <= set(self.seen)

    def is_empty(self) -> bool:
        return not any(queue().hlen(f"dramatiq:{name}.msgs") for name in (NAME, f"{NAME}.DQ"))


@pytest.fixture(params=[SpendgateBroker, pytest.param(RedisBroker, marks=STOCK_BREAKS_IT)], ids=["ours", "stock"])
def delivery(request: pytest.FixtureRequest, world: World) -> Delivery:
    """Returns a Delivery for each of the two brokers."""
    return Delivery(request.param)


def test_messages_of_a_dead_worker_are_redelivered_soon_on_a_quiet_queue(delivery: Delivery) -> None:
    delivery.send("held")
    dead = delivery.new_broker()
    assert next(iter(dead.consume(NAME, prefetch=4, timeout=20))) is not None
    queue().zadd("dramatiq:__heartbeats__", {dead.broker_id: _server_ms() - SILENT_MS - 1_000})
    with delivery.working():
        eventually(delivery.saw("held"), delivery.patience_seconds)


def _server_ms() -> int:
    seconds, _ = queue().time()
    return int(seconds) * 1_000


def test_undecodable_bytes_do_not_delay_messages(delivery: Delivery) -> None:
    for number in range(3):
        put(b"rubbish", NAME)
        delivery.send(str(number))
    with delivery.working():
        eventually(delivery.saw("0", "1", "2"), delivery.patience_seconds)
        eventually(delivery.is_empty, delivery.patience_seconds)


def test_message_whose_retry_redis_refuses_is_kept(delivery: Delivery, world: World) -> None:
    delivery.failing = {"lost?"}
    queue().set(f"dramatiq:{NAME}.DQ.msgs", "not a hash, so that Redis refuses delayed messages")
    delivery.send("lost?")
    with delivery.working():
        eventually(lambda: queue().hlen(f"dramatiq:{NAME}.msgs") == 0, delivery.patience_seconds)
    kept = [row["payload"]["args"] for row in world.rejected()]
    letters: Any = queue().hvals(f"dramatiq:{NAME}.XQ.msgs")
    dead = [Message.decode(data).args for data in letters]
    assert [*kept, *map(list, dead)] == [["lost?"]]


def test_delayed_message_survives_lost_connections(delivery: Delivery) -> None:
    delivery.send("later", delay=1_000)
    with delivery.working():
        eventually(lambda: not queue().llen(f"dramatiq:{NAME}.DQ"), delivery.patience_seconds)
        for _ in range(KILLS):
            queue().client_kill_filter(_type="normal", skipme=True)
        eventually(delivery.saw("later"), delivery.patience_seconds)


def test_message_of_a_lost_fetch_reply_is_redelivered(delivery: Delivery) -> None:
    with delivery.working():
        delivery.send("first")
        eventually(delivery.saw("first"), delivery.patience_seconds)
        message = delivery.actor.message("stranded").copy(options={"redis_message_id": "stranded"})
        queue().hset(f"dramatiq:{NAME}.msgs", "stranded", message.encode())
        queue().sadd(f"dramatiq:__acks__.{delivery.broker.broker_id}.{NAME}", "stranded")
        eventually(delivery.saw("stranded"), delivery.patience_seconds)


def test_acknowledgement_is_repeated_after_a_timeout(delivery: Delivery) -> None:
    pauses = iter([1_500])

    def pausing_once() -> None:
        for milliseconds in pauses:
            queue().client_pause(milliseconds)

    with delivery.working():
        for number in range(20):
            delivery.send(str(number))
        # all must be seen first: a message that pauses Redis would block the next send
        eventually(delivery.saw(*map(str, range(20))), delivery.patience_seconds)
        delivery.before = pausing_once
        delivery.send("paused")
        eventually(delivery.saw("paused"), delivery.patience_seconds)
        eventually(delivery.saw(*map(str, range(20))), delivery.patience_seconds)
        eventually(delivery.is_empty, delivery.patience_seconds)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # from threads of Dramatiq's own worker
def test_failing_message_with_forged_options_stops_no_worker(delivery: Delivery) -> None:
    delivery.failing = {"forged"}
    with delivery.working() as worker:
        for _ in range(3):
            delivery.broker.enqueue(delivery.actor.message("forged").copy(options={"throws": "nothing to catch"}))
        eventually(lambda: len(delivery.failures) >= len(worker.workers), delivery.patience_seconds)
        delivery.send("sound")
        eventually(delivery.saw("sound"), delivery.patience_seconds)


def test_full_redis_refuses_senders_while_workers_drain_it(delivery: Delivery) -> None:
    before: Any = queue().config_get("maxmemory")
    delivery.send("waiting")
    queue().config_set("maxmemory", 1)
    try:
        with pytest.raises((redis.RedisError, BrokerConnectionError), match=r"full|OOM"):
            delivery.send("refused")
        with delivery.working():
            eventually(delivery.saw("waiting"), delivery.patience_seconds)
            eventually(delivery.is_empty, delivery.patience_seconds)
    finally:
        queue().config_set("maxmemory", before["maxmemory"])


def test_too_large_message_reaches_no_actor(delivery: Delivery, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.settings import settings  # noqa: PLC0415 - its cache is emptied for this test alone

    monkeypatch.setenv("SPENDGATE_MAX_MESSAGE_BYTES", "65536")
    settings.cache_clear()
    put(
        delivery.actor.message("x" * (70_000 + RETRY_BYTES)).copy(options={"redis_message_id": "huge"}).encode(),
        NAME,
        "huge",
    )
    delivery.send("small")
    with delivery.working():
        eventually(delivery.saw("small"), delivery.patience_seconds)
        eventually(delivery.is_empty, delivery.patience_seconds)
    assert delivery.seen == ["small"]
    if delivery.kind is SpendgateBroker:
        assert [row["reason"] for row in world.rejected()] == ["too_large"]
