"""A server of a Citus cluster killed, and brands moved between servers, under load: every event is counted once.

SPENDGATE_TEST_CITUS names the cluster, see tests/citus.py. SPENDGATE_TEST_CITUS_KILL and SPENDGATE_TEST_CITUS_START are
commands that end a server by SIGKILL, and start it and return once it answers; they get its host and port.
"""

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests import citus
from tests.faults.conftest import staged
from tests.faults.kit import FaultStage, is_ready, progress, size, until
from tests.faults.load import Load
from tests.faults.servers import Servers

pytestmark = pytest.mark.skipif(not citus.is_used(), reason=f"{citus.VARIABLE} names no cluster")

KILL, START = f"{citus.VARIABLE}_KILL", f"{citus.VARIABLE}_START"

# A part of the tables, with the server that has it and another one.
MOVE = """
    SELECT shards.shardid, shards.nodename, shards.nodeport, others.nodename, others.nodeport
    FROM citus_shards AS shards JOIN pg_dist_node AS others
        ON others.groupid <> 0 AND (others.nodename, others.nodeport) <> (shards.nodename, shards.nodeport)
    WHERE table_name = 'brands'::regclass ORDER BY random() LIMIT 1
"""


@pytest.fixture
def stage(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultStage]:
    """A stage with an empty database on the cluster."""
    from cli.service.migrate import migrate_to  # noqa: PLC0415 - after the environment is set

    cluster, name = os.environ[citus.VARIABLE], f"spendgate_faults_{os.getpid()}"
    citus.make_database(cluster, name)
    with staged(servers, citus.database_url(cluster, name), tmp_path, monkeypatch) as made:
        migrate_to("head")
        yield made
    citus.drop_database(cluster, name)


@pytest.mark.skipif(not {KILL, START} <= os.environ.keys(), reason=f"{KILL} and {START} name no commands")
def test_killed_server_loses_nothing(stage: FaultStage) -> None:
    times = size(2, 20)
    load = stage.load(size(100, 500))
    others = citus.servers(os.environ[citus.VARIABLE])

    def kill() -> bool:
        was_at_work = stage.waiting() > 0
        server = stage.draw.choice(others)
        run(KILL, server)
        run(START, server)
        return was_at_work

    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        stage.hit(load, times, kill)
        assert not master.logged("worker.died")
    stage.add_to_table("Citus: a server killed under load", times, stage.checked(load))


def run(command: str, server: tuple[str, int]) -> None:
    """Runs the command that the variable names with the server's host and port."""
    subprocess.run([*shlex.split(os.environ[command]), server[0], str(server[1])], check=True, timeout=120)


def test_moved_brands_lose_nothing(stage: FaultStage) -> None:
    times = size(2, 20)
    load = stage.load(size(100, 500))
    with stage.workers() as master, closing(psycopg.connect(stage.world.url, autocommit=True)) as operator:
        until(lambda: is_ready(master), "the workers are ready")
        with stage.sending(load):
            for number in range(times):
                moved_under_load(operator, stage, load)
                progress(f"seed {stage.seed}: {number + 1} of {times}, {load.events:,} events")
        stage.wait_for_recovery()
        assert not master.logged("worker.died")
    stage.add_to_table("Citus: brands moved and rebalanced under load", times, stage.checked(load))


def moved_under_load(operator: psycopg.Connection, stage: FaultStage, load: Load) -> None:
    """Moves some brands to another server and lets Citus rebalance all, while spend comes in."""
    before = load.events
    until(lambda: load.events >= before + 5 * load.a_message and stage.waiting() > 0, "spend comes in")
    move = operator.execute(MOVE.encode()).fetchone()
    operator.execute("SELECT citus_move_shard_placement(%s, %s, %s, %s, %s, 'force_logical')", move)
    operator.execute("SELECT rebalance_table_shards(shard_transfer_mode => 'force_logical')")
    since = load.events
    until(lambda: load.events >= since + 5 * load.a_message, "spend still comes in")
