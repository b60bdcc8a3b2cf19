"""The commands of the page on Citus, run as they are written while a producer sends: to several servers, and back.

They need the cluster that SPENDGATE_TEST_CITUS names, whose servers have no database `spendgate` that anyone needs.
"""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from cli.service.migrate import migrate_to
from runtime import clock
from tests import citus
from tests.cli.shell import Service
from tests.docs.commands import commands_of, run_as_written
from tests.faults.conftest import at_database, forget_database
from tests.faults.kit import FaultStage, is_ready, until
from tests.faults.servers import Servers
from tests.ops.test_backup import installed_programs
from tests.world import World

PAGE = "citus"
NAME = "spendgate"
KEPT = {"SPENDGATE_KEEP_MESSAGES_MINUTES": "60", "SPENDGATE_CITUS_SHARDS": "8"}
NODES = b"SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid"

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not citus.is_used(), reason=f"{citus.VARIABLE} is not set"),
]


class RedisOnly:
    """The servers of a fault stage that kills none: a Redis."""

    redis_url = os.environ.get("REDIS_URL", "")


@pytest.fixture
def cluster() -> Iterator[str]:
    """The URL of the coordinator's database `spendgate`, which no server has yet."""
    url = os.environ[citus.VARIABLE]
    citus.drop_database(url, NAME)
    yield citus.database_url(url, NAME)
    forget_database()
    citus.drop_database(url, NAME)


@pytest.fixture
def old_url() -> Iterator[str]:
    """The URL of a migrated database of one server: the coordinator's, without the extension."""
    base, name = os.environ[citus.VARIABLE], f"old_{os.getpid()}"
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(citus.HERE_ONLY.encode())
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield citus.database_url(base, name)
        forget_database()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Page:
    """The page's commands with the variables that they name."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env

    def run(self, beginning: str, **env: str) -> None:
        """Runs the commands that begin so, in their order. Fails if one does."""
        commands = commands_of(PAGE, beginning)
        assert commands, beginning
        for command in commands:
            done = run_as_written(command, self._folder, {**self._env, **env})
            assert done.code == 0, f"{command}\n{done.out}{done.err}"

    def make_database(self, admin_url: str) -> None:
        """Runs the commands that make the database on each server and let the coordinator know them."""
        with psycopg.connect(admin_url, autocommit=True) as connection:
            servers = connection.execute(NODES).fetchall()
        self.run('psql "$COORDINATOR_ADMIN_URL/postgres"')
        self.run('psql "$COORDINATOR_ADMIN_URL/spendgate" -c "CREATE EXTENSION')
        self.run('psql "$COORDINATOR_ADMIN_URL/spendgate" -c "SELECT citus_set_coordinator_host')
        for host, port in servers:
            server = {"SERVER_1_ADMIN_URL": f"postgresql://{urlsplit(admin_url).username}@{host}:{port}"}
            self.run('psql "$SERVER_1_ADMIN_URL', **server)
            self.run(
                'psql "$COORDINATOR_ADMIN_URL/spendgate" -c "SELECT citus_add_node',
                SERVER_1_HOST=host,
                SERVER_1_PORT=str(port),
            )


def stop(workers: Service) -> None:
    """Stops workers as an operator does, and waits for their end."""
    workers.send(signal.SIGTERM)
    workers.code()


def test_commands_of_the_page_spread_a_counting_database_and_go_back(
    old_url: str, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = installed_programs()
    assert programs is not None
    at = urlsplit(cluster)
    page = Page(
        tmp_path,
        {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]]),
            "COORDINATOR_ADMIN_URL": cluster.rpartition("/")[0],
            "COORDINATOR_HOST": str(at.hostname),
            "COORDINATOR_PORT": str(at.port),
            "OLD_DATABASE_URL": old_url,
            "DATABASE_URL": cluster,
            **KEPT,
        },
    )
    at_database(monkeypatch, old_url)
    migrate_to("head")
    old = World(old_url, monkeypatch)
    stage = FaultStage(cast(Servers, RedisOnly()), old, tmp_path)
    stage.queue.flushdb()
    load = stage.load(20)
    with stage.workers(env=KEPT) as workers:
        until(lambda: is_ready(workers), "workers are ready")
        stage.send(load.batches(20))
        until(stage.is_done, "the first messages are counted")
        page.make_database(os.environ[citus.VARIABLE])
        with stage.sending(load):
            stopped_at = clock.now()
            stop(workers)
            page.run("pg_dump")
            page.run("pg_restore")
            page.run("spendgate migrate")
            doctor = run_as_written("spendgate doctor --json", tmp_path, {"DATABASE_URL": cluster, **KEPT})
            (servers,) = [check for check in doctor.data["checks"] if check["check"] == "servers"]
            assert servers["verdict"] == "right", servers
            assert sum(map(int, re.findall(r"has (\d+) brands", servers["found"]))) == len(load.brands)
            page.run("spendgate verify")
            at_database(monkeypatch, cluster)
            spread = World(cluster, monkeypatch)
            with stage.workers(env={"DATABASE_URL": cluster, **KEPT}) as new_workers:
                until(lambda: is_ready(new_workers), "workers are ready")
                page.run('psql "$COORDINATOR_ADMIN_URL/spendgate" -c "SELECT citus_rebalance')
                until(lambda: spread.one("SELECT count(*) FROM spend_events")["count"] > 600, "the queue is counted")
        # The producer has ended; what it sent last waits for the old server.
    load.world = stage.world = spread
    with stage.workers(env={"DATABASE_URL": cluster, **KEPT}) as new_workers:
        until(lambda: is_ready(new_workers), "workers are ready")
        stage.send(load.batches(5))
        stage.wait_for_recovery()
        stop(new_workers)
    load.checked()
    spread.disconnect()
    at_database(monkeypatch, old_url)
    with stage.workers(env={"DATABASE_URL": old_url, **KEPT}) as workers:
        until(lambda: is_ready(workers), "workers are ready")
        page.run('DATABASE_URL="$OLD_DATABASE_URL" spendgate replay', STOPPED_AT=stopped_at.isoformat())
        until(stage.is_done, "the replayed messages are counted")
        page.run('DATABASE_URL="$OLD_DATABASE_URL" spendgate verify')
        stop(workers)
    load.world = old
    load.checked()
    old.disconnect()
