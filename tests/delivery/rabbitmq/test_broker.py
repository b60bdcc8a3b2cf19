"""Delivery survives the faults of RabbitMQ: restarts, memory alarms, lost connections, reused delivery tags."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pika
import pytest
import structlog
from dramatiq import MessageProxy
from starlette.testclient import TestClient

from delivery.broker import get_broker
from delivery.messages import RETRY_BYTES, NotEnqueued
from delivery.rabbitmq import consumer as rabbit_consumer
from delivery.rabbitmq import senders as rabbit_senders
from delivery.rabbitmq.broker import SpendgateRabbitBroker
from delivery.rabbitmq.consumer import RabbitConsumer
from delivery.suspects import DEATHS_ALLOWED
from runtime import clock
from runtime.settings import settings
from tests import rabbitmq
from tests.cli.shell import run, serving, shell
from tests.kit import at_once, is_empty, lines, put, put_message, working
from tests.ports import free_port
from tests.queues import ON_RABBITMQ, queues
from tests.rabbitmq import RabbitMQ
from tests.world import World, eventually
from workers.actors.ingest import ingest_spend

broker = get_broker()

pytestmark = ON_RABBITMQ

PATIENCE_SECONDS = 60


@pytest.fixture
def server() -> Iterator[RabbitMQ]:
    """Yields the RabbitMQ server of this run and restarts it at the end if the test stopped it."""
    (running,) = rabbitmq.servers
    yield running
    running.start_again()


@pytest.fixture
def campaign(world: World) -> int:
    """Returns a campaign of a brand without limits."""
    return world.campaign(world.brand())


def send(world: World, campaign: int, micros: int = 1) -> None:
    ingest_spend.send(events=[world.event(campaign, micros)])


def connections(server: RabbitMQ) -> int:
    return int(server.ask("length(rabbit_networking:connections())"))


def test_sent_messages_survive_a_killed_server(world: World, campaign: int, server: RabbitMQ) -> None:
    for _ in range(10):
        send(world, campaign)
    server.stop(signal.SIGKILL)
    with pytest.raises(NotEnqueued, match=r"nothing was enqueued: RabbitMQ: .*Connection"):
        send(world, campaign)
    server.start()
    with working():
        eventually(lambda: world.spent(campaign) == 10 and is_empty(), PATIENCE_SECONDS)
    assert world.rejected() == []
    world.verify()


def test_worker_reconnects_to_a_restarted_server(world: World, campaign: int, server: RabbitMQ) -> None:
    with working():
        send(world, campaign)
        eventually(lambda: world.spent(campaign) == 1 and is_empty())
        server.stop()
        server.start()
        send(world, campaign, 5)
        ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 7)]}, delay=100)
        eventually(lambda: world.spent(campaign) == 13 and is_empty(), PATIENCE_SECONDS)
    world.verify()


def test_server_without_memory_refuses_messages_until_workers_drain_it(
    world: World, campaign: int, server: RabbitMQ
) -> None:
    for _ in range(5):
        send(world, campaign)
    refused: list[NotEnqueued] = []

    def is_refused() -> bool:
        """Sends a message; RabbitMQ blocks senders a moment after it has run out of memory."""
        try:
            send(world, campaign, 100)
        except NotEnqueued as error:
            refused.append(error)
        return bool(refused)

    with server.without_memory():
        eventually(is_refused)
        assert "lacks memory or disk; send it again when it has drained" in str(refused[0])
        assert refused[0].is_full
        broker.ping()
        with working():
            eventually(lambda: world.spent(campaign) >= 5 and is_empty())
    send(world, campaign, 1_000)
    with working():
        eventually(lambda: world.spent(campaign) >= 1_005 and is_empty())
    world.verify()


def test_full_queue_refuses_messages_and_the_api_answers_503_with_retry_after(world: World, campaign: int) -> None:
    from web.app import create_app  # noqa: PLC0415 - after the environment is set

    key = shell("create-api-key", "trial", "--json").data["key"]
    headers = {"Authorization": f"Bearer {key}"}
    batch = {"events": [world.event(campaign, 5)]}
    with TestClient(create_app(), headers=headers, raise_server_exceptions=False) as client:
        with queues().refusing("spend"):
            with pytest.raises(NotEnqueued, match="this queue has reached its limit") as refused:
                send(world, campaign)
            assert refused.value.is_full
            answer = client.post("/api/spend/", json=batch)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert answer.json()["detail"].startswith("the queue is full and nothing was enqueued")
        assert client.post("/api/spend/", json=batch).status_code == 202
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty())


def test_sender_replaces_a_connection_that_was_lost_while_idle(world: World, campaign: int, server: RabbitMQ) -> None:
    at_once(*[lambda: send(world, campaign)] * 4)
    server.close_connections()
    with structlog.testing.capture_logs() as logged:
        at_once(*[lambda: send(world, campaign)] * 4)
    assert lines(logged, "rabbitmq.connection_renewed")
    assert queues().count("spend") == 8
    with working():
        eventually(lambda: world.spent(campaign) == 8 and is_empty())


def test_idle_connections_of_threads_are_closed(
    world: World, campaign: int, server: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_senders, "IDLE_SECONDS", 0.3)
    before = connections(server)
    for _ in range(3):
        at_once(*[lambda: send(world, campaign)] * 8)
    assert connections(server) > before
    eventually(lambda: connections(server) == 0)
    eventually(lambda: "rabbitmq-senders" not in {thread.name for thread in threading.enumerate()})
    send(world, campaign)
    assert queues().count("spend") == 25


FORKED = """
import os
from delivery.broker import get_broker
broker = get_broker()
from workers.actors.ingest import ingest_spend

ingest_spend.send(events=[])
child = os.fork()
for _ in range(50):
    ingest_spend.send(events=[])
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ingest_spend.send(events=[])
"""


def test_forked_process_opens_its_own_connections(database: str) -> None:
    result = run("-c", FORKED)
    assert (result.code, result.err) == (0, "")
    assert queues().count("spend") == 102


def test_deleted_queue_is_declared_again(world: World, campaign: int, server: RabbitMQ) -> None:
    send(world, campaign)
    server.delete_queues()
    send(world, campaign)
    assert queues().count("spend") == 1
    with working():
        eventually(is_empty)
        server.delete_queues()
        send(world, campaign)
        eventually(lambda: world.spent(campaign) == 2 and is_empty())


def test_late_acknowledgement_of_a_lost_connection_acknowledges_no_other_message(
    world: World, campaign: int, server: RabbitMQ
) -> None:
    """Both messages are the first of their connection and have the delivery tag 1."""
    send(world, campaign)
    lost = broker.consume("spend", prefetch=1, timeout=5_000)
    done = next(iter(lost))
    assert done is not None
    server.close_connections()
    current = broker.consume("spend", prefetch=1, timeout=5_000)
    assert next(iter(current)) is not None
    current.ack(done)
    lost.ack(done)
    current.close()
    lost.close()
    assert queues().count("spend") == 1


def test_delayed_message_survives_a_lost_connection(world: World, campaign: int, server: RabbitMQ) -> None:
    with working():
        ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 7)]}, delay=3_000)
        eventually(lambda: queues().waiting("spend.DQ") == [] and queues().count("spend.DQ") == 1)
        server.close_connections()
        eventually(lambda: world.spent(campaign) == 7 and is_empty(), PATIENCE_SECONDS)
    assert world.rejected() == []


def test_consumer_decodes_no_more_messages_than_there_is_room_for(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_consumer, "HELD_BYTES", 1_500)
    for _ in range(4):
        put_message(kwargs={"events": [{**world.event(campaign, 1), "padding": "x" * 600}]})
    consumer = broker.consume("spend", prefetch=10, timeout=5_000)
    held = [next(consumer) for _ in range(2)]
    assert [next(consumer) for _ in range(3)] == [None] * 3
    for message in held:
        assert message is not None
        consumer.ack(message)
    assert all(next_message(consumer) for _ in range(2))
    consumer.close()


def next_message(consumer: RabbitConsumer) -> MessageProxy:
    """Returns the consumer's next message, after acknowledgements were sent."""
    return next(message for message in consumer if message is not None)


def test_worker_whose_clock_is_off_fetches_nothing_until_it_is_right(
    world: World, campaign: int, server: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = world.event(campaign, 5)
    with working():
        eventually(lambda: consumers(server, "spend") == 1)
        monkeypatch.setattr(clock.guard, "is_off", True)
        eventually(lambda: consumers(server, "spend") == 0)
        ingest_spend.send(events=[event])
        assert len(queues().waiting("spend")) == 1
        monkeypatch.setattr(clock.guard, "is_off", False)
        eventually(lambda: world.spent(campaign) == 5 and is_empty())
    assert world.rejected() == []


def consumers(server: RabbitMQ, queue_name: str) -> int:
    """Returns how many consumers a queue has."""
    with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
        declared = connection.channel().queue_declare(queue_name, passive=True)
    return int(declared.method.consumer_count)


def test_too_large_message_is_kept_as_rejected_and_does_not_delay_others(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_MAX_MESSAGE_BYTES", "65536")
    settings.cache_clear()
    characters = 65_536 + RETRY_BYTES
    put(b'"' + b"x" * characters + b'"')
    send(world, campaign)
    with working():
        eventually(lambda: world.spent(campaign) == 1 and is_empty())
    assert [(row["reason"], len(row["payload"])) for row in world.rejected()] == [("too_large", characters)]


KILLER = """
import os, signal, sys
import dramatiq
from workers import __main__
from delivery.broker import get_broker
broker = get_broker()

@dramatiq.actor(broker=broker, queue_name="spend")
def kill():
    os.kill(os.getpid(), signal.SIGKILL)

sys.exit(__main__.main())
"""


def test_message_that_kills_its_worker_is_dead_lettered_and_others_are_counted(
    world: World, campaign: int, database: str, tmp_path: Path
) -> None:
    for _ in range(3):
        put_message("kill")
        send(world, campaign)
    with serving("-c", KILLER, output=tmp_path / "worker", env={"DATABASE_URL": database}) as worker:
        eventually(lambda: world.spent(campaign) == 3 and is_empty(), PATIENCE_SECONDS)
        worker.send(signal.SIGTERM)
        assert worker.code(30) == 0
    assert [row["reason"] for row in world.rejected()] == ["kills_its_worker"] * 3
    # the process may die after the message left its queue and before its row is deleted; the row expires in a week
    assert all(row["deaths"] >= DEATHS_ALLOWED for row in world.rows("SELECT deaths FROM suspect_messages"))


def test_broker_connects_at_its_first_use(server: RabbitMQ) -> None:
    before = connections(server)
    idle = SpendgateRabbitBroker(server.url, [])
    idle.declare_queue("spend")
    assert connections(server) == before
    idle.ping()
    assert connections(server) == before + 1
    idle.close()
    eventually(lambda: connections(server) == before)


def test_service_runs_on_rabbitmq_without_redis(world: World, campaign: int, database: str, tmp_path: Path) -> None:
    key = shell("create-api-key", "trial", "--json").data["key"]
    env = {"DATABASE_URL": database, "REDIS_URL": None, "PORT": str(free_port())}
    page = f"http://127.0.0.1:{env['PORT']}"
    with (
        serving("-m", "cli", "up", output=tmp_path / "service", env=env, by_exec=True) as service,
        httpx2.Client(base_url=page, headers={"Authorization": f"Bearer {key}"}) as client,
    ):
        eventually(lambda: bool(service.logged("worker.ready")), PATIENCE_SECONDS)
        eventually(lambda: is_listening(client), PATIENCE_SECONDS)
        assert client.get("/readyz").json() == {"status": "ok"}
        answer = client.post("/api/spend/", json={"events": [world.event(campaign, 5)]})
        assert answer.status_code == 202, answer.text
        eventually(lambda: world.spent(campaign) == 5 and is_empty())
        service.send(signal.SIGTERM)
        assert service.code() == 0
    assert service.logged("rates.redis_away") == []


def is_listening(client: httpx2.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx2.TransportError:
        return False
