"""Redis notifies idle workers of new messages from any producer; without notifications they poll."""

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

process_broker = get_broker()

pytestmark = pytest.mark.skipif(is_rabbitmq(), reason="is about Redis")

POLL_MS = 120_000
"""Poll interval of the idle consumers here; a message that arrives sooner proves that Redis has notified them."""

SOON_SECONDS = 30


def broker_at(url: str) -> SpendgateBroker:
    new_broker = SpendgateBroker(url, [])
    new_broker.actors = process_broker.actors
    new_broker.declare_queue("spend")
    new_broker.is_worker = True
    return new_broker


@pytest.fixture
def broker(world: World) -> SpendgateBroker:
    return broker_at(os.environ["REDIS_URL"])


def next_id(consumer: SpendgateConsumer, seconds: float = SOON_SECONDS) -> str:
    """Acknowledges the next message and returns its id; fails if none arrives within `seconds`."""
    deadline = time.monotonic() + seconds
    while (message := next(consumer)) is None:
        assert time.monotonic() < deadline, "the consumer was not woken"
    consumer.ack(message)
    return str(message.message_id)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_message_wakes_an_idle_consumer_at_any_moment(broker: SpendgateBroker, threads: ThreadPoolExecutor) -> None:
    consumer = SpendgateConsumer(broker.steps, "spend", 1, POLL_MS)
    started = time.monotonic()
    for number in range(60):
        taken = threads.submit(next_id, consumer)
        time.sleep(number % 12 * 0.0005)  # before it waits, as it begins to wait, and while it waits
        put_message(message_id=f"message-{number}")
        assert taken.result(SOON_SECONDS) == f"message-{number}"
    assert time.monotonic() - started < POLL_MS / 1_000
    consumer.close()


def test_many_idle_consumers_fetch_each_message_once(world: World, threads: ThreadPoolExecutor) -> None:
    brokers = [broker_at(os.environ["REDIS_URL"]) for _ in range(8)]
    taken: list[str] = []

    def take(broker: SpendgateBroker) -> None:
        consumer = SpendgateConsumer(broker.steps, "spend", 1, POLL_MS)
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


def test_consumer_that_found_nothing_waits_for_others_until_it_fetches_a_message(
    broker: SpendgateBroker, threads: ThreadPoolExecutor
) -> None:
    consumer = SpendgateConsumer(broker.steps, "spend", 1, POLL_MS)
    taken = threads.submit(next_id, consumer)
    eventually(lambda: bool(_tracking()), SOON_SECONDS)
    assert not consumer.came_late
    pipeline = queue().pipeline(transaction=True)
    pipeline.rpush("dramatiq:spend", "taken by another")
    pipeline.lpop("dramatiq:spend")
    pipeline.execute()
    eventually(lambda: consumer.came_late, SOON_SECONDS)
    put_message(message_id="next")
    assert taken.result(SOON_SECONDS) == "next"
    assert not consumer.came_late
    consumer.close()


def test_stopping_broker_wakes_its_idle_consumers(broker: SpendgateBroker, threads: ThreadPoolExecutor) -> None:
    for consumer in (
        SpendgateConsumer(broker.steps, "spend", 1, POLL_MS),
        DelayedMessages(broker.steps, "spend.DQ", POLL_MS),
    ):
        waiting = threads.submit(next, consumer)
        time.sleep(0.05)
        broker.is_ending = True
        assert waiting.result(SOON_SECONDS) is None
        broker.is_ending = False
        consumer.close()


def test_delayed_messages_move_in_the_order_of_their_due_times(
    broker: SpendgateBroker, threads: ThreadPoolExecutor
) -> None:
    moving, consumer = (
        DelayedMessages(broker.steps, "spend.DQ", POLL_MS),
        SpendgateConsumer(broker.steps, "spend", 1, POLL_MS),
    )

    def move() -> None:
        while not broker.is_ending:
            next(moving)

    done = threads.submit(move)
    try:
        for name, milliseconds in (("later", 40_000), ("soon", 400), ("at once", 0)):
            eta = current_millis() + milliseconds
            put_message(queue="spend.DQ", message_id=name, options={"eta": eta})
        assert [next_id(consumer), next_id(consumer)] == ["at once", "soon"]
    finally:
        broker.is_ending = True
        done.result(SOON_SECONDS)
        consumer.close()


def test_full_redis_notifies_workers(broker: SpendgateBroker) -> None:
    consumer: Any = SpendgateConsumer(broker.steps, "spend", 1, POLL_MS)
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


def url_of_a_user_without_tracking() -> str:
    server: Any = queue()
    server.acl_setuser("deaf", enabled=True, passwords=["+deaf"], categories=["+@all"], keys=["*"])
    server.execute_command("ACL", "SETUSER", "deaf", "-client|tracking")
    place = urlsplit(os.environ["REDIS_URL"])
    return f"redis://deaf:deaf@{place.hostname}:{place.port}{place.path}"


def url_with_the_older_protocol() -> str:
    return f"{os.environ['REDIS_URL']}?protocol=2"


@pytest.mark.parametrize("url", [url_of_a_user_without_tracking, url_with_the_older_protocol])
def test_worker_without_notifications_polls_and_logs_it_once(world: World, url: Callable[[], str]) -> None:
    server: Any = queue()
    try:
        broker = broker_at(url())
        consumer, moving = (
            SpendgateConsumer(broker.steps, "spend", 1, POLL_MS),
            DelayedMessages(broker.steps, "spend.DQ", POLL_MS),
        )
        with structlog.testing.capture_logs() as logged:
            for number in range(3):
                for idle in (consumer, moving):
                    assert next(idle) is None
                put_message(message_id=f"message-{number}")
                assert next_id(consumer) == f"message-{number}"
        assert len(lines(logged, "redis.polled")) == 1
        consumer.close()
        moving.close()
    finally:
        server.acl_deluser("deaf")


def test_lost_connection_does_not_delay_messages(broker: SpendgateBroker, threads: ThreadPoolExecutor) -> None:
    consumer = SpendgateConsumer(broker.steps, "spend", 1, POLL_MS)
    taken = threads.submit(next_id, consumer)
    eventually(lambda: bool(_tracking()), SOON_SECONDS)
    for client in _tracking():
        queue().client_kill_filter(_id=client)
    put_message(message_id="after it")
    assert taken.result(SOON_SECONDS) == "after it"
    consumer.close()


def _tracking() -> list[str]:
    """Returns the ids of connections that use tracking."""
    clients: Any = queue().client_list()
    own = str(queue().connection_pool.connection_kwargs["db"])
    return [client["id"] for client in clients if "t" in client["flags"] and client["db"] == own]


def test_idle_worker_process_sends_few_commands_to_redis(world: World, tmp_path: Any) -> None:
    env = {"DATABASE_URL": world.url, "SPENDGATE_WORKER_PROCESSES": "1"}
    with serving("-m", "workers", output=tmp_path / "worker", env=env) as worker:
        eventually(lambda: bool(worker.logged("worker.ready")), 60)
        time.sleep(3)  # until its start is over
        before = _commands()
        time.sleep(6)
        commands = _commands() - before
        assert commands < 6 * 30, f"{commands} commands in 6 s"
        worker.logged()


def _commands() -> int:
    """Returns how many scripts the tests' Redis has run, including those of other tests in other databases."""
    stats: Any = queue().info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


def test_closed_work_queue_wakes_all_waiting_threads() -> None:
    work_queue = WorkQueue()
    ended: list[str] = []

    def take() -> None:
        try:
            work_queue.get(timeout=POLL_MS / 1_000)
        except Empty:
            ended.append("woken")

    waiting = [threading.Thread(target=take) for _ in range(8)]
    for thread in waiting:
        thread.start()
    work_queue.close()
    for thread in waiting:
        thread.join(SOON_SECONDS)
    assert ended == ["woken"] * 8
    work_queue.put(1)
    assert work_queue.get_nowait() == 1
