"""Shared parts of the fault tests: a load with known sums, the processes that work on it, and the final checks.

Each fault has a short form, which `make test` runs, and a long form, which `make faults` runs (with
SPENDGATE_TEST_FAULTS=long). SPENDGATE_FAULTS_SEED repeats the random choices of a run; SPENDGATE_FAULTS_TABLE names the
file that collects the lines of the result table.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final, TypeVar
from uuid import uuid4

import psycopg
import redis
from dramatiq import Message
from dramatiq.errors import BrokerConnectionError

from db.engine import engine
from delivery.bundles import MAX_EVENTS, MAX_MESSAGES
from delivery.redis.broker import SpendgateBroker
from tests.cli.shell import UNCHANGED, Env, Service, serving
from tests.faults.load import Figures, Load
from tests.faults.servers import Servers
from tests.faults.table import add_line
from tests.world import World

LONG: Final = os.environ.get("SPENDGATE_TEST_FAULTS") == "long"
PATIENCE_SECONDS: Final = 900 if LONG else 180
POLL_SECONDS: Final = 0.01
ROUNDS_A_FAULT: Final = 5
"""Tries for each hit that a test needs: a fault misses if all messages are done before it occurs."""

LARGEST_ROUND: Final = 16
"""Messages of a round, in multiples of the first one's, at most. A miss doubles them: on a busy machine the workers are
done before this process has seen that they began."""

UNMEASURED: Final = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
"""Switches coverage off: a killed process writes no coverage data, and tracing would slow it down."""

Size = TypeVar("Size", int, float)


def size(short: Size, long: Size) -> Size:
    """The number for the short form or, in a long run, for the long form."""
    return long if LONG else short


A_MESSAGE: Final = size(50, 1_000)
"""Events of a message."""

PAUSE_SECONDS: Final = size(0.01, 0.0)
"""Pause between two messages that are sent during a fault: the short form need not fill the machine."""


def several_bundles(load: Load) -> int:
    """Enough messages that workers start a part of them only, so that a fault can occur between two steps."""
    return 4 * min(MAX_MESSAGES, MAX_EVENTS // load.a_message)


def progress(text: str) -> None:
    """Shows the progress of a long run."""
    if LONG and sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K  {text}")
        sys.stdout.flush()
    elif LONG:
        sys.stdout.write(f"{text}\n")


def until(found: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until `found` returns true; fails after so many seconds, naming `what` was expected."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


def children(parent: int) -> list[int]:
    """The ids of the living child processes of a process."""
    if not Path("/proc/self/stat").exists():
        pgrep = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
        return sorted(map(int, pgrep.stdout.split()))
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def _message(events: list[Any]) -> Message[None]:
    return Message(queue_name="spend", actor_name="ingest_spend", args=(), kwargs={"events": events}, options={})


class FaultStage:
    """A database, a Redis, the messages sent to them, and the processes that work on them."""

    def __init__(self, servers: Servers, world: World, folder: Path) -> None:
        self.servers, self.world = servers, world
        given = os.environ.get("SPENDGATE_FAULTS_SEED")
        self.seed = int(given) if given else SystemRandom().randrange(10**6)
        self.draw = Random(self.seed)
        self.queue: Any = redis.Redis.from_url(servers.redis_url)
        self.producer = SpendgateBroker(servers.redis_url, [])
        self.producer.declare_queue("spend")
        self._outputs = (folder / f"output-{number}" for number in range(100_000))
        self.recoveries: list[float] = []
        self._abandoned = threading.Event()
        self._over_at: float | None = None

    # messages

    def load(self, a_message: int, lifetime_limit: int = 5_000_000) -> Load:
        """Creates brands and campaigns for a load; its first few messages cross the limit."""
        return Load(self.world, self.draw, a_message, lifetime_limit)

    def send(self, batches: list[list[dict[str, Any]]]) -> None:
        """Sends a message for each batch, and repeats each until the queue has accepted it."""
        for events in batches:
            while not self.is_sent(events) and not self._abandoned.is_set():
                time.sleep(POLL_SECONDS)

    def is_sent(self, events: list[Any]) -> bool:
        """Sends one message of these events; returns whether the queue accepted it."""
        try:
            self.producer.enqueue(_message(events))
        except BrokerConnectionError:
            return False
        return True

    def send_together(self, batches: list[list[dict[str, Any]]]) -> None:
        """Sends a message for each batch in one Redis transaction, so that workers see all of them at one moment."""
        by_id = {str(uuid4()): _message(events) for events in batches}
        bodies = {key: one.copy(options={"redis_message_id": key}).encode() for key, one in by_id.items()}
        with self.queue.pipeline(transaction=True) as both:
            both.hset("dramatiq:spend.msgs", mapping=bodies).rpush("dramatiq:spend", *bodies)
            both.execute()

    @contextmanager
    def sending(self, load: Load, messages_at_once: int = 20) -> Iterator[None]:
        """Sends messages in the background during the block, at most `messages_at_once` ahead of the workers."""
        stopping = threading.Event()

        def send() -> None:
            """Sends a message for each batch, and repeats each until the queue has accepted it."""
            while not stopping.is_set():
                self.send(load.batches(1))
                stopping.wait(PAUSE_SECONDS)
                while not stopping.is_set() and self._waits_more_than(messages_at_once):
                    time.sleep(POLL_SECONDS)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield
        except BaseException:
            self._abandoned.set()
            raise
        finally:
            stopping.set()
            sender.join()

    def _waits_more_than(self, messages: int) -> bool:
        try:
            return self.waiting() > messages
        except redis.RedisError:
            return False

    # processes

    def started(self, *argv: str, env: Env = UNCHANGED) -> AbstractContextManager[Service]:
        """Starts `python ARGV` on this stage."""
        return serving(*argv, output=next(self._outputs), env={**UNMEASURED, **env})

    def workers(self, *, processes: int = 2, threads: int = 4, env: Env = UNCHANGED) -> AbstractContextManager[Service]:
        """Starts the worker processes under their master, as in a deployment."""
        sizes = {"SPENDGATE_WORKER_PROCESSES": str(processes), "SPENDGATE_WORKER_THREADS": str(threads)}
        return self.started("-m", "workers", env={**sizes, **env})

    # progress

    def waiting(self) -> int:
        """The number of unfinished messages of queue `spend`: waiting, in progress, or delayed for a retry."""
        with self.queue.pipeline(transaction=True) as both:  # in one transaction, since messages move between the two
            for name in ("spend", "spend.DQ"):
                both.hlen(f"dramatiq:{name}.msgs")
            return sum(both.execute())

    def delayed(self) -> int:
        """The number of delayed messages of queue `spend`."""
        return int(self.queue.hlen("dramatiq:spend.DQ.msgs"))

    def is_done(self) -> bool:
        """Whether no message is left; false while Redis does not answer."""
        try:
            return self.waiting() == 0
        except redis.RedisError:
            return False

    def fault_ended(self) -> None:
        """Starts the measurement of the recovery time."""
        self._over_at = time.monotonic()

    def wait_for_recovery(self, what: str = "everything is counted") -> None:
        """Waits until no message is left, and stores the seconds since `fault_ended`, or since now."""
        since = self._over_at or time.monotonic()
        self._over_at = None
        until(self.is_done, what)
        self.recoveries.append(time.monotonic() - since)

    def hit(self, load: Load, times: int, fault: Callable[[], bool]) -> None:
        """Sends messages and causes the fault while they are processed, until `fault` has returned true `times` times.

        `fault` returns whether it interrupted work.
        """
        hits, rounds, a_round = 0, 0, several_bundles(load)
        while hits < times:
            assert rounds < times * ROUNDS_A_FAULT, f"hit only {hits} times in {rounds} rounds"
            rounds += 1
            self.send_together(load.batches(a_round))
            left = self.draw.randint(a_round // 2, a_round - 1)
            until(lambda left=left: self.waiting() <= left, "the workers began")  # type: ignore[misc]  # bound now
            if fault():
                hits += 1
                self.wait_for_recovery()
                progress(f"seed {self.seed}: {hits} of {times}, {load.events:,} events, {self.recoveries[-1]:.1f} s")
            else:
                until(self.is_done, "everything is counted")
                a_round = min(2 * a_round, LARGEST_ROUND * several_bundles(load))

    def close_connections(self) -> None:
        """Closes this process's own connections to the database."""
        engine().dispose()
        self.world.disconnect()

    # checks

    def checked(self, load: Load, *, rejected: int = 0) -> Figures:
        """Fails unless every event is counted exactly once, to the micro, and nothing is left in Redis.

        `rejected`: the expected number of rejected inputs.
        """
        until(self.is_done, "the queue is empty")
        self.check_redis_is_empty()
        assert len(self.world.rejected()) == rejected, self.world.rejected()
        return load.checked()

    def check_redis_is_empty(self) -> None:
        """Fails if Redis still has a message that waits, is delayed, dead or suspect.

        An id without a message may be left: if two processes had a message and one was killed after the other had
        finished, the id is removed together with the rest of the killed process.
        """
        keys = [key.decode() for key in self.queue.scan_iter("dramatiq:*")]
        of_workers = ("dramatiq:__heartbeats__", "dramatiq:__acks__.", "dramatiq:__database__")
        left = [key for key in keys if not key.startswith(of_workers)]
        assert not left, left

    def add_to_table(self, fault: str, times: int, figures: Figures, recoveries: list[float] | None = None) -> None:
        """Adds a line to the table of faults, in a long run."""
        if LONG:
            seconds = [round(one, 1) for one in (self.recoveries if recoveries is None else recoveries)]
            line = {"fault": fault, "times": times, **figures._asdict(), "recovery_seconds": seconds or None}
            add_line({**line, "seed": self.seed})
        progress(f"{fault}: {times} times, seed {self.seed}\n")


def is_ready(service: Service, processes: int = 2) -> bool:
    """Whether so many worker processes have logged that they are ready."""
    return len(service.logged("worker.ready")) >= processes


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Sends a signal; returns whether the process still existed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def terminate_backends(url: str) -> int:
    """Ends one busy connection of the product to Postgres, chosen at random; returns how many it ended."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'spendgate' AND datname = current_database() AND state <> 'idle'"
            " ORDER BY random() LIMIT 1) AS one"
        ).fetchone()
    return row[0] if row else 0
