"""An idle worker is woken by Redis, whatever producer sends; where Redis does not wake it, it looks for itself."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import structlog
from dramatiq.common import current_millis

from delivery.broker import get_broker
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import SpendgateConsumer
from delivery.redis.delays import DelayedMessages
from tests.cli.shell import serving
from tests.kit import lines, put_message, queue
from tests.queues import is_rabbitmq
from tests.world import World, eventually
from workers.work_queue import WorkQueue

of_the_process = get_broker()

pytestmark = pytest.mark.skipif(is_rabbitmq(), reason="is about Redis")

LOOKS_MS = 120_000
"""The idle consumers here look by themselves only after that: what comes sooner, Redis has told of."""

SOON_SECONDS = 30


def broker_at(url: str) -> SpendgateBroker:
    made = SpendgateBroker(url, [])
    made.actors = of_the_process.actors
    made.declare_queue("spend")
    made.is_worker = True
    return made


@pytest.fixture
def broker(world: World) -> SpendgateBroker:
    return broker_at(os.environ["REDIS_URL"])


def one(consumer: SpendgateConsumer, seconds: float = SOON_SECONDS) -> str:
    """The id of the next message, which is acknowledged. Fails where none comes in time."""
    deadline = time.monotonic() + seconds
    while (message := next(consumer)) is None:
        assert time.monotonic() < deadline, "it was not woken"
    consumer.ack(message)
    return str(message.message_id)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_a_message_wakes_an_idle_consumer_whenever_it_comes(
    broker: SpendgateBroker, threads: ThreadPoolExecutor
) -> None:
    consumer = SpendgateConsumer(broker.steps, "spend", 1, LOOKS_MS)
    started = time.monotonic()
    for number in range(60):
        taken = threads.submit(one, consumer)
        time.sleep(number % 12 * 0.0005)  # before it waits, while it begins to, and after
        put_message(message_id=f"message-{number}")
        assert taken.result(SOON_SECONDS) == f"message-{number}"
    assert time.monotonic() - started < LOOKS_MS / 1_000
    consumer.close()


def test_many_idle_consumers_take_each_message_once(world: World, threads: ThreadPoolExecutor) -> None:
    brokers = [broker_at(os.environ["REDIS_URL"]) for _ in range(8)]
    taken: list[str] = []

    def take(broker: SpendgateBroker) -> None:
        consumer = SpendgateConsumer(broker.steps, "spend", 1, LOOKS_MS)
        while not broker.is_ending:
            if (message := next(consumer)) is not None:
                taken.append(message.message_id)
                consumer.ack(message)
        consumer.close()

    taking = [threads.submit(take, broker) for broker in brokers]
    try:
        for number in range(100):
            put_message(message_id=f"message-{number}")
        eventually(lambda: len(taken) >= 100, SOON_SECONDS)
    finally:
        for broker in brokers:
            broker.is_ending = True
        for done in taking:
            done.result(SOON_SECONDS)
    assert sorted(taken) == sorted(f"message-{number}" for number in range(100))


def test_the_end_wakes_an_idle_consumer(broker: SpendgateBroker, threads: ThreadPoolExecutor) -> None:
    for consumer in (
        SpendgateConsumer(broker.steps, "spend", 1, LOOKS_MS),
        DelayedMessages(broker.steps, "spend.DQ", LOOKS_MS),
    ):
        waiting = threads.submit(next, consumer)
        time.sleep(0.05)
        broker.is_ending = True
        assert waiting.result(SOON_SECONDS) is None
        broker.is_ending = False
        consumer.close()


def test_what_is_delayed_moves_at_its_time_and_what_is_delayed_for_less_goes_first(
    broker: SpendgateBroker, threads: ThreadPoolExecutor
) -> None:
    moving, consumer = (
        DelayedMessages(broker.steps, "spend.DQ", LOOKS_MS),
        SpendgateConsumer(broker.steps, "spend", 1, LOOKS_MS),
    )

    def move() -> None:
        while not broker.is_ending:
            next(moving)

    done = threads.submit(move)
    try:
        for name, milliseconds in (("later", 40_000), ("soon", 400), ("at once", 0)):
            eta = current_millis() + milliseconds
            put_message(queue="spend.DQ", message_id=name, options={"eta": eta})
        assert [one(consumer), one(consumer)] == ["at once", "soon"]
    finally:
        broker.is_ending = True
        done.result(SOON_SECONDS)
        consumer.close()


def test_a_full_redis_wakes_its_workers_too(broker: SpendgateBroker) -> None:
    consumer: Any = SpendgateConsumer(broker.steps, "spend", 1, LOOKS_MS)
    server: Any = queue()
    before = server.config_get("maxmemory")["maxmemory"]
    try:
        server.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            server.rpush("anything", "else")
        assert consumer.connection.watch(consumer.waiting) == [0]
        assert not broker.steps.is_polled
    finally:
        server.config_set("maxmemory", before)
        consumer.close()


def as_another_user() -> str:
    server: Any = queue()
    server.acl_setuser("deaf", enabled=True, passwords=["+deaf"], categories=["+@all"], keys=["*"])
    server.execute_command("ACL", "SETUSER", "deaf", "-client|tracking")
    place = urlsplit(os.environ["REDIS_URL"])
    return f"redis://deaf:deaf@{place.hostname}:{place.port}{place.path}"


def by_the_older_protocol() -> str:
    return f"{os.environ['REDIS_URL']}?protocol=2"


@pytest.mark.parametrize("url", [as_another_user, by_the_older_protocol])
def test_where_redis_does_not_wake_it_a_worker_looks_for_itself_and_says_so_once(
    world: World, url: Callable[[], str]
) -> None:
    server: Any = queue()
    try:
        broker = broker_at(url())
        consumer, moving = (
            SpendgateConsumer(broker.steps, "spend", 1, LOOKS_MS),
            DelayedMessages(broker.steps, "spend.DQ", LOOKS_MS),
        )
        with structlog.testing.capture_logs() as logged:
            for number in range(3):
                for idle in (consumer, moving):
                    assert next(idle) is None
                put_message(message_id=f"message-{number}")
                assert one(consumer) == f"message-{number}"
        assert len(lines(logged, "redis.polled")) == 1
        consumer.close()
        moving.close()
    finally:
        server.acl_deluser("deaf")


def test_a_lost_connection_does_not_keep_messages_waiting(broker: SpendgateBroker, threads: ThreadPoolExecutor) -> None:
    consumer = SpendgateConsumer(broker.steps, "spend", 1, LOOKS_MS)
    taken = threads.submit(one, consumer)
    eventually(lambda: bool(_tracking()), SOON_SECONDS)
    for client in _tracking():
        queue().client_kill_filter(_id=client)
    put_message(message_id="after it")
    assert taken.result(SOON_SECONDS) == "after it"
    consumer.close()


def _tracking() -> list[str]:
    """The connections that Redis tells of changes."""
    clients: Any = queue().client_list()
    own = str(queue().connection_pool.connection_kwargs["db"])
    return [client["id"] for client in clients if "t" in client["flags"] and client["db"] == own]


def test_an_idle_worker_process_asks_redis_seldom(world: World, tmp_path: Any) -> None:
    env = {"DATABASE_URL": world.url, "SPENDGATE_WORKER_PROCESSES": "1"}
    with serving("-m", "workers", output=tmp_path / "worker", env=env) as worker:
        eventually(lambda: bool(worker.logged("worker.ready")), 60)
        time.sleep(3)  # until what it begins with is done
        before = _commands()
        time.sleep(6)
        asked = _commands() - before
        assert asked < 6 * 30, f"{asked} commands in 6 s"
        worker.logged()


def _commands() -> int:
    """How many commands all of the tests' Redis has run: other tests wait for theirs in other databases meanwhile."""
    stats: Any = queue().info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


def test_the_end_of_a_work_queue_wakes_all_who_wait() -> None:
    handed_over = WorkQueue()
    ended: list[str] = []

    def take() -> None:
        try:
            handed_over.get(timeout=LOOKS_MS / 1_000)
        except Empty:
            ended.append("woken")

    waiting = [threading.Thread(target=take) for _ in range(8)]
    for thread in waiting:
        thread.start()
    handed_over.close()
    for thread in waiting:
        thread.join(SOON_SECONDS)
    assert ended == ["woken"] * 8
    handed_over.put(1)
    assert handed_over.get_nowait() == 1
