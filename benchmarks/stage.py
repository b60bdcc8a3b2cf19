"""Postgres and Redis of a benchmark, with fsync on; each round gets a fresh copy of the workload's database."""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import redis
from psycopg import sql

from benchmarks import workload
from runtime.embedded import servers as embedded

LONGEST_SECONDS: Final = 900
POLL_SECONDS: Final = 0.005
POSTGRES: Final = {
    "max_connections": "100",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
}
"""Usual settings for Postgres on a machine with 24 GB of memory; fsync and synchronous_commit stay on."""

SETTINGS: Final = ("SPENDGATE_", "BROKER_URL", "REPLICA_DATABASE_URL", "dramatiq_", "LOG_")
"""Prefixes of environment variables that are not passed on to the benchmark's processes."""

PROCESSES: Final = 2
QUEUE: Final = "spend"
LOOPBACK: Final = "127.0.0.1"
EMPTY: Final = "workload"


class BenchStage:
    """Postgres and Redis of a benchmark, the current round's database, and the worker processes on it."""

    def __init__(self, home: Path, servers: embedded.Servers) -> None:
        self.home = home
        self._base = servers.database_url.rpartition("/")[0]
        self.redis_url = servers.redis_url
        self.redis: Any = redis.Redis.from_url(servers.redis_url)
        self._numbers = itertools.count(1)
        self._kept: set[str] = set()
        self.name = ""
        self.settings: dict[str, str] = {}
        """Environment variables that the processes of Spendgate get besides the usual ones."""

    def url(self, name: str = "") -> str:
        """The URL of the database `name`; empty: of the current database."""
        return f"{self._base}/{name or self.name}"

    def execute(self, statement: str, *names: str) -> None:
        """Runs a statement as superuser; each {} in it is an identifier."""
        composed = sql.SQL(statement).format(*map(sql.Identifier, names))
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(composed)

    def let_in(self, network: str) -> None:
        """Makes Postgres accept connections from the network."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            ((path,),) = connection.execute("SHOW hba_file").fetchall()
            with Path(path).open("a") as rules:
                rules.write(f"host all all {network} scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")

    def fill(self) -> None:
        """Migrates the database that each round copies, and fills it with the workload's brands."""
        self.execute("CREATE DATABASE {}", EMPTY)
        self.fill_database(EMPTY)

    def fill_database(self, name: str) -> None:
        """Migrates an empty database, and fills it with the workload's brands."""
        self.run("cli", "migrate", name=name)
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            for statement in workload.FILL:
                connection.execute(statement, {"brands": workload.BRANDS, "campaigns": workload.CAMPAIGNS})
        self.run("cli", "check-campaign-statuses", "--fix", "--json", name=name)
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    @contextmanager
    def copied(self, template: str = EMPTY) -> Iterator[psycopg.Connection[Any]]:
        """Copies a database and empties Redis; the copy is the current database during the block, and then dropped."""
        name = f"round_{next(self._numbers)}"
        self.execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            with self.entered(name) as connection:
                yield connection
        finally:
            self.execute("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def entered(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        """Makes an existing database the current one during the block, with an empty Redis."""
        self.name = name
        self.redis.flushall()
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            yield connection

    def kept(self, name: str, *statements: str, parameters: Mapping[str, object]) -> str:
        """Copies the workload's database under the name and runs the statements in it, once; returns the name."""
        if name not in self._kept:
            self.execute("CREATE DATABASE {} TEMPLATE {}", name, EMPTY)
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode(), parameters)
                connection.execute("VACUUM ANALYZE")
            self._kept.add(name)
        return name

    def env(self, name: str = "", address: str = LOOPBACK) -> dict[str, str]:
        """The environment for a process that reaches the servers at `address`.

        `name`: its database; empty: the current one.
        """
        database_url, redis_url = (url.replace(LOOPBACK, address) for url in (self.url(name), self.redis_url))
        own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SPENDGATE_HOME": str(self.home)}
        theirs = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        return {**theirs, "LOG_FORMAT": "json", "SPENDGATE_WORKER_PROCESSES": str(PROCESSES), **self.settings, **own}

    @contextmanager
    def using(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Gives the environment variables `settings`, too, to processes that start during the block."""
        before = self.settings
        self.settings = {**before, **settings}
        try:
            yield
        finally:
            self.settings = before

    def run(self, module: str, *arguments: str, name: str = "") -> None:
        """Runs `python -m MODULE …` to its end."""
        argv = [sys.executable, "-m", module, *arguments]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=self.env(name))

    @contextmanager
    def workers(
        self,
        module: str = "workers",
        *,
        processes: int = PROCESSES,
        machine: str = "",
        address: str = LOOPBACK,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Starts the worker processes as deployed, and waits until they are ready; their log goes to a file.

        `module`: what `python -m` runs. `machine`: the network namespace to run them in; empty: none. `address`: the
        servers' address. Yields their master process, and ends it after the block.
        """
        path = self.log_of_workers(machine)
        with path.open("wb") as log:
            place = ["ip", "netns", "exec", machine] if machine else []
            full = {**self.env(address=address), "SPENDGATE_WORKER_PROCESSES": str(processes)}
            process = subprocess.Popen([*place, sys.executable, "-m", module], stdout=log, stderr=log, env=full)
        try:
            until(lambda: ready_processes(process, path) >= processes)
            yield process
        finally:
            process.terminate()
            process.wait()

    def log_of_workers(self, machine: str = "") -> Path:
        """The file with the log of the workers on the current database.

        `machine`: the network namespace in which they run; empty: none.
        """
        return self.home / f"workers-{self.name}-{machine}.log"

    def put(self, messages: list[bytes]) -> None:
        """Puts the messages on the queue, all visible to workers at one moment."""
        self.redis.rpush(f"dramatiq:{QUEUE}", *self._laid(messages))

    def put_one(self, name: str, message: bytes, queue: str = QUEUE) -> None:
        """Enqueues one message under its id, in one round trip as producers do."""
        with self.redis.pipeline(transaction=True) as both:
            both.hset(f"dramatiq:{queue}.msgs", name, message).rpush(f"dramatiq:{queue}", name)
            both.execute()

    def waiting(self) -> int:
        """The number of messages of the queue `spend` that are not acknowledged, delayed ones included."""
        with self.redis.pipeline(transaction=True) as both:
            both.hlen(f"dramatiq:{QUEUE}.msgs").hlen(f"dramatiq:{QUEUE}.DQ.msgs")
            return sum(both.execute())

    def _laid(self, messages: list[bytes]) -> list[str]:
        """Stores the messages in Redis without putting their ids on the queue; returns the ids."""
        ids = [f"message-{number}" for number in range(len(messages))]
        for start in range(0, len(ids), 100):
            some = dict(zip(ids[start : start + 100], messages[start : start + 100], strict=True))
            self.redis.hset(f"dramatiq:{QUEUE}.msgs", mapping=some)
        return ids

    def until_done(self) -> None:
        """Waits until every message is acknowledged. Raises TimeoutError after LONGEST_SECONDS."""
        until(lambda: self.waiting() == 0)

    def seconds_for(self, messages: list[bytes]) -> float:
        """Puts the messages on the queue at one moment; returns the seconds until the last message is acknowledged."""
        ids = self._laid(messages)
        started = time.perf_counter()
        self.redis.rpush(f"dramatiq:{QUEUE}", *ids)
        self.until_done()
        return time.perf_counter() - started


def ready_processes(master: subprocess.Popen[bytes], log: Path) -> int:
    """The number of worker processes that became ready, by their log. Raises RuntimeError if their master has ended."""
    if master.poll() is not None:
        raise RuntimeError(f"the workers did not start: {log.read_text()[-2_000:]}")
    return log.read_bytes().count(b'"worker.ready"')


def until(found: Callable[[], bool]) -> None:
    """Waits until `found` returns True. Raises TimeoutError after LONGEST_SECONDS."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LONGEST_SECONDS} s")
        time.sleep(POLL_SECONDS)


@contextmanager
def running(also_at: str = "") -> Iterator[BenchStage]:
    """Starts Postgres, with the workload's database, and Redis; stops and deletes both at the end.

    `also_at`: another address at which they answer clients with their passwords; empty: none.
    """
    addresses = [LOOPBACK, *filter(None, [also_at])]
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spendgate-bench-")))
        home.chmod(0o755)
        settings = {**POSTGRES, "listen_addresses": ",".join(addresses)}
        stage = BenchStage(home, stack.enter_context(embedded.running(home, postgres_settings=settings)))
        if also_at:
            stage.let_in(f"{also_at}/24")
            stage.redis.config_set("bind", " ".join(addresses))
        stage.fill()
        with suppress(redis.RedisError):
            stage.redis.config_set("maxmemory", "4gb")
        yield stage
