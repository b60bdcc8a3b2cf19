"""What the tests of faults share: a load whose sums are known, the processes under it, and the judgement afterwards.

Each fault has a short form, which `make test` runs, and a long one, which SPENDGATE_TEST_FAULTS=long asks for and
`make faults` runs. SPENDGATE_FAULTS_SEED repeats one run's random choices, SPENDGATE_FAULTS_TABLE names the file of the
table.
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

import psycopg
import redis
from dramatiq import Message
from dramatiq.errors import BrokerConnectionError

from db.engine import engine
from delivery.bundles import MAX_EVENTS
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
"""How often a fault may miss the work, which was done before, for each time that it must hit."""

UNMEASURED: Final = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
"""A process that is killed leaves no count of its lines, and goes at its own pace."""

Size = TypeVar("Size", int, float)


def size(short: Size, long: Size) -> Size:
    """A number of the short form, or of the long one."""
    return long if LONG else short


def several_bundles(load: Load) -> int:
    """So many of its messages that workers do not begin all at once: no fault can come amidst what is one step."""
    return 4 * MAX_EVENTS // load.a_message


def progress(text: str) -> None:
    """Shows how far a long form is."""
    if LONG and sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K  {text}")
        sys.stdout.flush()
    elif LONG:
        sys.stdout.write(f"{text}\n")


def until(found: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until `found` is true; fails, saying `what` did not come, after so many seconds."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


def children(parent: int) -> list[int]:
    """The processes that it started and that live."""
    if not Path("/proc/self/stat").exists():
        told = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
        return sorted(map(int, told.stdout.split()))
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


class Stage:
    """A database and a Redis of our own, what is sent to them, and the processes that work on it."""

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

    # what is sent

    def load(self, a_message: int, lifetime_limit: int = 5_000_000) -> Load:
        """Brands and campaigns for a load; the limit is crossed by the first few messages."""
        return Load(self.world, self.draw, a_message, lifetime_limit)

    def send(self, batches: list[list[dict[str, Any]]]) -> None:
        """Enqueues a message for each batch, each again until the queue has taken it."""
        for events in batches:
            while not self.is_sent(events) and not self._abandoned.is_set():
                time.sleep(POLL_SECONDS)

    def is_sent(self, events: list[Any]) -> bool:
        """Whether the queue took a message of these events."""
        message: Message[None] = Message(
            queue_name="spend", actor_name="ingest_spend", args=(), kwargs={"events": events}, options={}
        )
        try:
            self.producer.enqueue(message)
        except BrokerConnectionError:
            return False
        return True

    @contextmanager
    def sending(self, load: Load, messages_at_once: int = 20) -> Iterator[None]:
        """An upstream sends meanwhile, never far ahead of the workers; all of it has been taken at the end."""
        stopping = threading.Event()

        def send() -> None:
            while not stopping.is_set():
                self.send(load.batches(1))
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

    # who works on it

    def started(self, *argv: str, env: Env = UNCHANGED) -> AbstractContextManager[Service]:
        """A `python ...` on this stage."""
        return serving(*argv, output=next(self._outputs), env={**UNMEASURED, **env})

    def workers(self, *, processes: int = 2, threads: int = 4, env: Env = UNCHANGED) -> AbstractContextManager[Service]:
        """The worker processes under their master, as they are deployed."""
        sizes = {"SPENDGATE_WORKER_PROCESSES": str(processes), "SPENDGATE_WORKER_THREADS": str(threads)}
        return self.started("-m", "workers", env={**sizes, **env})

    # how far it is

    def waiting(self) -> int:
        """How many messages of queue `spend` are not done: waiting, being worked on, or delayed for a retry."""
        with self.queue.pipeline(transaction=True) as both:  # at one moment: messages go to and fro
            for name in ("spend", "spend.DQ"):
                both.hlen(f"dramatiq:{name}.msgs")
            return sum(both.execute())

    def delayed(self) -> int:
        """How many messages of queue `spend` wait for their time."""
        return int(self.queue.hlen("dramatiq:spend.DQ.msgs"))

    def is_done(self) -> bool:
        """Whether no message is left; false while Redis does not answer."""
        try:
            return self.waiting() == 0
        except redis.RedisError:
            return False

    def over(self) -> None:
        """The fault has ended: from now on counts the time that it takes to recover."""
        self._over_at = time.monotonic()

    def recovered(self, what: str = "everything is counted") -> None:
        """Waits until no message is left, and notes how long that took since the fault was over, by default now."""
        since = self._over_at or time.monotonic()
        self._over_at = None
        until(self.is_done, what)
        self.recoveries.append(time.monotonic() - since)

    def hit(self, load: Load, times: int, fault: Callable[[], bool]) -> None:
        """Sends several bundles and commits the fault amidst them, until it says `times` times that it hit work."""
        hits, rounds, a_round = 0, 0, several_bundles(load)
        while hits < times:
            assert rounds < times * ROUNDS_A_FAULT, f"hit only {hits} times in {rounds} rounds"
            rounds += 1
            self.send(load.batches(a_round))
            left = self.draw.randint(a_round // 2, a_round - 1)
            until(lambda left=left: self.waiting() <= left, "the workers began")  # type: ignore[misc]  # bound now
            if fault():
                hits += 1
                self.recovered()
                progress(f"seed {self.seed}: {hits} of {times}, {load.events:,} events, {self.recoveries[-1]:.1f} s")
            else:
                until(self.is_done, "everything is counted")

    def at_rest(self) -> None:
        """Closes this process's own connections to the database."""
        engine().dispose()
        self.world.disconnect()

    # what came of it

    def judged(self, load: Load, *, rejected: int = 0) -> Figures:
        """Fails unless every event of the load is counted once, to the micro, and nothing lies anywhere else."""
        until(self.is_done, "the queue is empty")
        self.nothing_left()
        assert len(self.world.rejected()) == rejected, self.world.rejected()
        return load.judged()

    def nothing_left(self) -> None:
        """Fails where Redis still has something of a message: waiting, delayed, dead, suspect.

        The id alone may be left of one that came to two processes: the one was done when the other was killed with
        it, and it goes with what that process held.
        """
        keys = [key.decode() for key in self.queue.scan_iter("dramatiq:*")]
        left = [key for key in keys if not key.startswith(("dramatiq:__heartbeats__", "dramatiq:__acks__."))]
        assert not left, left

    def tell(self, fault: str, times: int, figures: Figures, recoveries: list[float] | None = None) -> None:
        """Adds a line to the table of faults, of a long form."""
        if LONG:
            seconds = [round(one, 1) for one in (self.recoveries if recoveries is None else recoveries)]
            line = {"fault": fault, "times": times, **figures._asdict(), "recovery_seconds": seconds or None}
            add_line({**line, "seed": self.seed})
        progress(f"{fault}: {times} times, seed {self.seed}\n")


def is_ready(service: Service, processes: int = 2) -> bool:
    """Whether so many worker processes have said that they work."""
    return len(service.logged("worker.ready")) >= processes


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Sends a signal; whether the process was there to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def terminate_backends(url: str) -> int:
    """Ends one connection of ours to Postgres, drawn at random; returns how many were ended."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'spendgate' AND datname = current_database() AND state <> 'idle'"
            " ORDER BY random() LIMIT 1) AS one"
        ).fetchone()
    return row[0] if row else 0
