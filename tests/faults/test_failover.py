"""A standby that is promoted while it is behind: the replay of kept messages counts what it never received."""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from benchmarks.standby import standby
from db.engine import snapshot
from db.repository.reading import status_feed
from runtime import clock
from tests.docs.commands import commands_of, run_as_written
from tests.faults.conftest import at_database
from tests.faults.kit import FaultStage, is_ready, size, until
from tests.folders import new_folder
from tests.world import World

RECEIVED = size(20, 288)
"""Messages that the standby receives before it is cut off."""

EARLIER = RECEIVED // 2
"""Of these, messages that are acknowledged before the others are sent: no replay since the last commit has them."""

MISSED = size(6, 12)
"""Messages that are acknowledged and that the standby never receives."""

A_MESSAGE = 200


@pytest.fixture
def streaming(stage: FaultStage) -> Iterator[str]:
    """The URL, on a streaming asynchronous standby, of the stage's database."""
    home = new_folder("spendgate-failover-")
    with standby(stage.world.url, home / "home") as url:
        yield url
    shutil.rmtree(home, ignore_errors=True)


def has_caught_up(primary: str, standby_url: str) -> bool:
    """Whether the standby has replayed what the primary has written."""
    with psycopg.connect(primary) as one, psycopg.connect(standby_url) as other:
        ((written,),) = one.execute("SELECT pg_current_wal_lsn()").fetchall()
        ((is_there,),) = other.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]).fetchall()
    return bool(is_there)


def cut_off(standby_url: str) -> None:
    """Ends the standby's connection to its primary for good."""
    with psycopg.connect(standby_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
        connection.execute("SELECT pg_reload_conf()")
        until(
            lambda: connection.execute("SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'").rowcount == 0,
            "the standby is cut off",
        )


@contextmanager
def without_primary(stage: FaultStage) -> Iterator[None]:
    """Stops the primary at once, without a checkpoint; starts it again at the end, for the tests that follow."""
    stage.close_connections()
    stage.servers.postgres.end(signal.SIGQUIT)
    try:
        yield
    finally:
        stage.servers.postgres.start()


def several_hosts(*urls: str) -> str:
    """One URL that names the hosts of all, with the login and database of the first."""
    places = ",".join(urlsplit(url).netloc.rpartition("@")[2] for url in urls)
    first = urlsplit(urls[0])
    return first._replace(netloc=f"{first.netloc.rpartition('@')[0]}@{places}").geturl()


def as_written(command: str, folder: Path, **env: str) -> str:
    """Runs a command of the page; returns what it prints."""
    done = run_as_written(command, folder, env)
    assert done.code == 0, done.out + done.err
    return done.out


def epoch() -> str:
    with snapshot() as connection:
        return status_feed.epoch(connection)


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("own_postgres")
def test_standby_promoted_while_behind_gets_everything_by_a_replay(
    stage: FaultStage, streaming: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    primary = stage.world.url
    load = stage.load(A_MESSAGE)
    env = {"DATABASE_URL": several_hosts(primary, streaming), "SPENDGATE_KEEP_MESSAGES_MINUTES": "60"}
    before = epoch()
    with stage.workers(env=env) as master:
        until(lambda: is_ready(master), "the workers are ready")
        began = clock.now().isoformat()
        for part in (EARLIER, RECEIVED - EARLIER):
            stage.send(load.batches(part))
            until(stage.is_done, "the part is acknowledged")
        until(lambda: has_caught_up(primary, streaming), "the standby has it")
        cut_off(streaming)
        stage.send(load.batches(MISSED))
        until(stage.is_done, "the missed part is acknowledged")
        with without_primary(stage):
            stage.send(load.batches(2))
            promote, ask, dry_run, replay, verify = commands_of("failover")
            as_written(promote, tmp_path, STANDBY_URL=streaming)
            since = as_written(ask, tmp_path, STANDBY_URL=streaming).splitlines()[2].strip()
            at_database(monkeypatch, streaming)
            stage.world = load.world = World(streaming, monkeypatch)
            stage.fault_ended()
            until(stage.is_done, "the workers find the promoted standby")
            assert load.missing() == MISSED * A_MESSAGE
            assert epoch() != before, "followers start again"
            again = json.loads(as_written(f"{dry_run} --json", tmp_path, SINCE=since))
            assert (again["complete"], again["replayed"]) == (True, 0)
            everything = json.loads(run_as_written(f"{dry_run} --json", tmp_path, {"SINCE": began}).out)
            assert MISSED <= again["messages"] <= everything["messages"] - EARLIER
            as_written(replay, tmp_path, SINCE=since)
            stage.wait_for_recovery("the replay is counted")
            figures = load.checked()
            as_written(verify, tmp_path)
            stage.close_connections()
    stage.add_to_table("standby promoted while behind, then a replay", 1, figures)
