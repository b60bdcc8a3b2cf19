"""Redis killed, away, silent, full or without a disk: accepted messages are counted once, others clearly refused."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from dramatiq import Message

from delivery.messages import NotEnqueued
from delivery.redis.consumer import RETURNS_BUNDLED
from tests.cli.shell import shell
from tests.faults.kit import A_MESSAGE, FaultStage, is_ready, size, until
from tests.faults.load import Load
from tests.faults.servers import Proxy, filled, small_disk

AWAY_SECONDS = size(2.0, 60.0)
SWALLOWED_SECONDS = size(1.0, 10.0)
ROOM_BYTES = size(1_500_000, 8_000_000)
DISK_MEGABYTES = 64
SINGLE = {
    "SPENDGATE_WORKER_PROCESSES": "1",
    "SPENDGATE_WORKER_THREADS": "4",
    "SPENDGATE_FAULTS_RETURNS": str(size(2, RETURNS_BUNDLED)),
}
"""In the short form, messages of a bundle that fails are tried one by one much sooner than in the service."""


def test_killed_redis_restarts_with_every_accepted_message(stage: FaultStage) -> None:
    kills = size(2, 20)
    load = stage.load(size(200, 1_000))
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        for _ in range(kills):
            with stage.sending(load):
                begun = load.events
                enough = begun + 30 * load.a_message
                until(lambda enough=enough: load.events > enough and stage.waiting() > 0, "it is under load")  # type: ignore[misc]  # bound now
                stage.servers.valkey.end(signal.SIGKILL)
                stage.servers.valkey.start()
            stage.wait_for_recovery()
        assert not master.logged("worker.died")
    stage.add_to_table("Redis with AOF: kill -9 under load", kills, stage.checked(load))


def test_actors_that_fail_while_redis_is_away_lose_no_message(stage: FaultStage) -> None:
    load = stage.load(A_MESSAGE)
    failing(stage)
    with stage.started("-m", "tests.faults.worker", env=SINGLE) as master:
        stage.send(load.batches(20))
        until(lambda: stage.queue.hlen("dramatiq:spend.DQ.msgs") > 0, "actors fail, and a message will be tried again")
        stage.servers.valkey.end(signal.SIGKILL)
        until(lambda: bool(master.logged("message.retry_not_enqueued")), "a retry cannot be enqueued")
        until_passed(AWAY_SECONDS)
        stage.world.execute("DROP TRIGGER fail ON spend_events")
        stage.servers.valkey.start()
        stage.wait_for_recovery()
        given_up = stage.world.rejected()
        assert {row["reason"] for row in given_up} == {"dead_letter"}
        assert shell("rejected", "replay", "--all").code == 0
        until(stage.is_done, "rejected messages are duplicates when they are sent again")
    stage.add_to_table("Redis away for 60 s while actors fail", 1, stage.checked(load))


def failing(stage: FaultStage) -> None:
    """Makes every write to the ledger fail, as without room on the disk."""
    stage.world.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_sleep(0.5); RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$"
    )
    stage.world.execute("CREATE TRIGGER fail BEFORE INSERT ON spend_events FOR EACH STATEMENT EXECUTE FUNCTION fail()")


def until_passed(seconds: float) -> None:
    """Waits for the duration of a fault."""
    time.sleep(seconds)


@pytest.fixture
def proxy(stage: FaultStage) -> Iterator[Proxy]:
    """A proxy to the stage's Redis."""
    way = Proxy(stage.servers.valkey.port)
    yield way
    way.close()


@pytest.mark.parametrize("then", ["closes", "goes on"])
def test_dropped_replies_strand_no_message(stage: FaultStage, proxy: Proxy, then: str) -> None:
    times = size(1, 10)
    load = stage.load(A_MESSAGE)
    with stage.workers(env={"REDIS_URL": stage.servers.redis_url_at(proxy.port)}) as master:
        until(lambda: is_ready(master), "the workers are ready")

        def swallow() -> bool:
            before = proxy.swallowed
            proxy.is_swallowing = True
            until(lambda: proxy.swallowed > before, "a reply is swallowed")
            was_at_work = stage.waiting() > 0
            until_passed(SWALLOWED_SECONDS)
            proxy.is_swallowing = False
            if then == "closes":
                proxy.cut()
            return was_at_work

        stage.hit(load, times, swallow)
        assert not master.logged("worker.died")
    stage.add_to_table(f"replies of Redis swallowed for 10 s, then it {then}", times, stage.checked(load))


@contextmanager
def with_room(stage: FaultStage, room_bytes: int) -> Iterator[None]:
    """Limits the memory of Redis to its current use and so many bytes more."""
    before = stage.queue.config_get("maxmemory")["maxmemory"]
    used = stage.queue.info("memory")["used_memory"]
    stage.queue.config_set("maxmemory", used + room_bytes)
    try:
        yield
    finally:
        stage.queue.config_set("maxmemory", before)


def test_full_redis_refuses_clearly_and_accepts_messages_after_it_was_drained(stage: FaultStage) -> None:
    times = size(1, 10)
    load = stage.load(size(200, 1_000))
    with with_room(stage, ROOM_BYTES):
        for _ in range(times):
            refused = send_until_refused(stage, load)
            assert refused.startswith("nothing was enqueued: Redis is full"), refused
            with stage.workers():
                stage.send(load.batches(1))
                stage.wait_for_recovery("the workers drain it")
            stage.send(load.batches(1))
        with stage.workers():
            until(stage.is_done, "it takes messages again")
    stage.add_to_table("Redis full, refusing, drained", times, stage.checked(load))


def send_until_refused(stage: FaultStage, load: Load) -> str:
    """Sends until Redis is full; returns the sender's error, and sends the refused message once there is room."""
    for _ in range(1_000):
        events = load.batches(1)[0]
        try:
            stage.producer.enqueue(message_of(events))
        except NotEnqueued as refused:
            assert stage.waiting() > 0
            with roomier(stage):
                stage.send([events])
            return str(refused)
    raise AssertionError("it never was full")


@contextmanager
def roomier(stage: FaultStage) -> Iterator[None]:
    """Makes room for one message."""
    limit = int(stage.queue.config_get("maxmemory")["maxmemory"])
    stage.queue.config_set("maxmemory", limit * 2)
    try:
        yield
    finally:
        stage.queue.config_set("maxmemory", limit)


def message_of(events: list[dict[str, object]]) -> Message[None]:
    return Message(queue_name="spend", actor_name="ingest_spend", args=(), kwargs={"events": events}, options={})


@pytest.fixture
def disk(stage: FaultStage) -> Iterator[Path]:
    """A small disk for Redis's files."""
    folder = stage.servers.home / "valkey"
    stage.servers.valkey.end(signal.SIGTERM)
    with small_disk(folder, DISK_MEGABYTES):
        stage.servers.valkey.start()
        yield folder
        stage.servers.valkey.end(signal.SIGTERM)
    stage.servers.valkey.start()


def test_redis_with_a_full_disk_refuses_and_continues_when_there_is_room(stage: FaultStage, disk: Path) -> None:
    times = size(1, 10)
    load = stage.load(size(200, 1_000))
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        for _ in range(times):
            with stage.sending(load), filled(disk):
                until(lambda: refuses(stage), "Redis refuses to write")
                until_passed(AWAY_SECONDS / 2)
            stage.wait_for_recovery()
        assert not master.logged("worker.died")
    stage.add_to_table("disk of Redis full", times, stage.checked(load))


def refuses(stage: FaultStage) -> bool:
    """Whether Redis refuses writes because its disk is full."""
    try:
        stage.queue.set("probe", 1, px=1)
    except redis.ResponseError as error:
        return "MISCONF" in str(error)
    return False
