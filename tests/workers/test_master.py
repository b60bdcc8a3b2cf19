"""The master of the worker processes and their board of messages in flight, with real processes and signals."""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from dramatiq import Message, MessageProxy
from dramatiq.middleware import SkipMessage

from db.engine import transaction
from db.repository.delivery import suspects
from db.repository.delivery.suspects import Suspect
from delivery.broker import get_broker
from delivery.bundles import MAX_ID_LENGTH, MAX_MESSAGES
from delivery.in_flight import InFlightBoard
from delivery.messages import REDELIVERED
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import SILENT_MS
from delivery.suspects import DEATHS_ALLOWED, SharedLock, SuspectMessages
from runtime import clock
from tests.cli.shell import Service, serving
from tests.kit import is_empty
from tests.queues import ON_REDIS, USES_NO_BROKER
from tests.world import UNIT, World, eventually
from workers.actors.ingest import ingest_spend

broker = get_broker()

ONE = {"SPENDGATE_WORKER_PROCESSES": "1", "SPENDGATE_WORKER_THREADS": "2"}


def pids(service: Service) -> list[int]:
    """Returns the process ids of a master's worker processes."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def ready(service: Service, times: int = 1) -> bool:
    return len(service.logged("worker.ready")) >= times


@ON_REDIS
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the children of a process from /proc")
def test_master_restarts_a_dead_child_and_its_message_is_retried_at_once(
    world: World, database: str, tmp_path: Path
) -> None:
    campaign = world.campaign(world.brand())
    world.spend(campaign, UNIT)
    with (
        serving("-m", "workers", output=tmp_path / "worker", env={"DATABASE_URL": database, **ONE}) as worker,
        psycopg.connect(database) as foreign,
    ):
        eventually(lambda: ready(worker))
        (first,) = pids(worker)
        foreign.execute("SELECT FROM campaign_days WHERE brand_id = %s FOR UPDATE", [world.brand_of(campaign)])
        ingest_spend.send(events=[world.event(campaign, UNIT)])
        eventually(world.waits)
        os.kill(first, signal.SIGKILL)
        foreign.rollback()
        eventually(lambda: world.spent(campaign) == 2 * UNIT and is_empty())
        (second,) = pids(worker)
        assert second != first
        (died,) = worker.logged("worker.died")
        assert (died["pid"], died["exit_code"], died["messages_in_work"]) == (first, -signal.SIGKILL, 1)
        assert [line["deaths"] for line in worker.logged("message.suspect")] == [1]
        assert world.rows("SELECT * FROM suspect_messages") == []
        worker.send(signal.SIGTERM)
        assert worker.code(30) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the children of a process from /proc")
@pytest.mark.parametrize(
    "command", [("-m", "workers"), ("-m", "dramatiq", "workers.main", "--processes", "2", "--threads", "1")]
)
def test_worker_processes_end_when_their_master_is_killed(
    world: World, database: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    with serving(*command, output=tmp_path / "worker", env={"DATABASE_URL": database}) as worker:
        ready_lines = ('"worker.ready"', "ready for action")
        eventually(lambda: any("".join(worker.lines()).count(words) == 2 for words in ready_lines))
        children = pids(worker)
        assert len(children) >= 2
        worker.send(signal.SIGKILL)
        worker.code()
        eventually(lambda: not any(map(is_alive, children)))


@USES_NO_BROKER
def test_master_retries_a_child_that_fails_to_start(world: World, database: str, tmp_path: Path) -> None:
    failing = """
import sys
from runtime import logs
from workers.master import Master
logs.configure()
def work(child):
    raise RuntimeError("no start")
sys.exit(Master(work, lambda *_: None, processes=1, threads=1, shutdown_seconds=1).run())
"""
    with serving("-c", failing, output=tmp_path / "master", env={"DATABASE_URL": database}) as master:
        eventually(lambda: len(master.logged("worker.died")) >= 4)
        assert {line["exit_code"] for line in master.logged("worker.died")} == {1}
        assert master.logged("worker.failed")
        master.send(signal.SIGTERM)
        assert master.code(30) == 0


@USES_NO_BROKER
def test_master_kills_a_child_that_does_not_stop(world: World, database: str, tmp_path: Path) -> None:
    deaf = """
import signal, sys, time
from runtime import logs
from workers.master import Master
logs.configure()
def work(child):
    print('{"event": "deaf"}', flush=True)
    time.sleep(600)
sys.exit(Master(work, lambda *_: None, processes=1, threads=1, shutdown_seconds=0.5).run())
"""
    with serving("-c", deaf, output=tmp_path / "master", env={"DATABASE_URL": database}) as master:
        eventually(lambda: bool(master.logged("deaf")))
        master.send(signal.SIGTERM)
        assert master.code(30) == 0
        assert master.logged("worker.killed")


@USES_NO_BROKER
def test_board_lists_the_messages_of_each_thread() -> None:
    board = InFlightBoard(2)
    assert board.read() == []
    all_wrote = threading.Barrier(3)

    def write(number: int) -> None:
        board.write([f"message-{number}", f"bundled-{number}"])
        all_wrote.wait()
        all_wrote.wait()
        board.write([])

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(write, number) for number in range(2)]
        all_wrote.wait()
        assert sorted(board.read()) == ["bundled-0", "bundled-1", "message-0", "message-1"]
        board.write(["a thread beyond the slots is not recorded"])
        assert len(board.read()) == 4
        all_wrote.wait()
        for future in done:
            future.result()
    assert board.read() == []
    board.close()


@USES_NO_BROKER
def test_board_has_room_for_the_largest_bundle() -> None:
    board = InFlightBoard(1)
    ids = [f"{number:0{MAX_ID_LENGTH}}" for number in range(MAX_MESSAGES)]
    board.write(ids)
    assert board.read() == ids
    board.write(["x" * 10_000])
    assert set(board.read()[0]) == {"x"}
    board.close()


@USES_NO_BROKER
def test_exclusive_lock_waits_for_shared_holders_and_blocks_new_ones() -> None:
    lock, order = SharedLock(), []
    lock.acquire_shared()
    with ThreadPoolExecutor(2) as threads:

        def exclusive() -> None:
            lock.acquire_exclusive()
            order.append("exclusive")
            lock.release()

        def shared() -> None:
            lock.acquire_shared()
            order.append("shared")
            lock.release()

        first = threads.submit(exclusive)
        eventually(lambda: lock.is_exclusive_wanted)
        second = threads.submit(shared)
        order.append("first shared")
        lock.release()
        first.result(10)
        second.result(10)
    assert order == ["first shared", "exclusive", "shared"]


def begin(message_id: str, worker_id: str, *, has_died: bool) -> int:
    with transaction() as connection:
        suspect = Suspect(message_id, worker_id, known_deaths=0)
        return suspects.begin(connection, suspect, clock.now(), has_died=has_died)


def test_suspects_counts_a_death_only_if_the_worker_that_began_the_message_died(world: World) -> None:
    begun = [begin("message", worker, has_died=died) for worker, died in (("a", False), ("b", True), ("b", False))]
    assert begun == [0, 1, 1]
    assert world.rows("SELECT begun_by FROM suspect_messages") == [{"begun_by": "b"}]
    with transaction() as connection:
        suspects.end(connection, "message")
    assert begin("message", "c", has_died=False) == 0
    with transaction() as connection:
        suspects.forget(connection, clock.now() - timedelta(days=1))
    assert world.rows("SELECT deaths FROM suspect_messages") == [{"deaths": 0}]
    with transaction() as connection:
        suspects.forget(connection, clock.now() + timedelta(seconds=1))
    assert world.rows("SELECT * FROM suspect_messages") == []


def test_dead_lettered_suspect_is_dead_lettered_again_after_a_crash_before_its_nack(world: World) -> None:
    message: Message[None] = Message("spend", "ingest_spend", (), {"events": []}, {REDELIVERED: 0})
    for _ in range(DEATHS_ALLOWED):
        begin(message.message_id, "one that died", has_died=True)
    for _ in range(2):
        given_up, middleware = MessageProxy(message), SuspectMessages()
        with pytest.raises(SkipMessage):
            middleware.before_process_message(broker, given_up)
        middleware.after_skip_message(broker, given_up)  # the process dies before its nack
    middleware.after_nack(broker, given_up)
    assert world.rows("SELECT * FROM suspect_messages") == []


@ON_REDIS
def test_suspect_of_living_workers_that_lost_their_connections_is_not_dead_lettered(world: World) -> None:
    """A slow message loses its connection and other workers begin it; no process dies."""
    message: Message[None] = Message("spend", "ingest_spend", (), {"events": []}, {REDELIVERED: 0})
    assert isinstance(broker, SpendgateBroker)
    others = [SpendgateBroker(os.environ["REDIS_URL"], []) for _ in range(2 * DEATHS_ALLOWED)]
    for other in others:
        other.steps.run("FETCH", "spend", other.broker_id, 1, SILENT_MS, 10**6, 10**6)  # sends a heartbeat
        SuspectMessages().before_process_message(other, MessageProxy(message))
    assert world.one("SELECT deaths FROM suspect_messages") == {"deaths": 0}
    for dead in others[-DEATHS_ALLOWED:]:
        with transaction() as connection:
            suspects.begin(connection, Suspect(message.message_id, dead.broker_id, 0), clock.now(), has_died=False)
        dead.return_messages_of(dead.broker_id, [])
        deaths = SuspectMessages._count_deaths(broker, message.message_id, 0)
    assert deaths == DEATHS_ALLOWED


STOPPED_WHILE_IT_FORKS = """
import os, signal
from runtime.signals import Stop
from workers import master

forked, fork = [], os.fork

def fork_and_stop():
    forked.append(1)
    if len(forked) == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return fork()

def work(child):
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    stop.wait()

os.fork = fork_and_stop
raise SystemExit(master.Master(work, print, processes=2, threads=1, shutdown_seconds=60).run())
"""


@USES_NO_BROKER
def test_child_that_starts_while_the_master_stops_ends_too(tmp_path: Path) -> None:
    with serving("-c", STOPPED_WHILE_IT_FORKS, output=tmp_path / "output") as service:
        assert service.code(20) == 0
    assert service.logged("worker.killed") == []
