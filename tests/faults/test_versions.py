"""An older version of Spendgate, from this repository's history, beside the present one on the same servers."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from db import migrations
from tests.citus import Limit
from tests.cli.shell import Service, environment, kill_group, shell
from tests.faults.kit import A_MESSAGE, FaultStage, is_ready, until
from tests.faults.load import Load
from tests.releases import git, last_release_with_other_tables, unpack
from tests.world import World, noon_zone

BEFORE_HEADROOM = "alembic/versions/*_headroom_of_brands.py"
BEFORE_DECLARED_HEADROOM = "alembic/versions/*_processes_and_declared_headroom.py"
"""Migrations; the older version is the commit before the one that added it. Versions before 0.4.0 count, but cannot
decide beside the present one, since dayparts name their brand: docs/operations/upgrade.md says so.
"""

LAST_RELEASE = "last release"
NO_HISTORY = "this clone lacks the history of earlier versions: run `git fetch --unshallow --tags`"

INGEST = """
import json, sys
try:
    from workers.actors.ingest import ingest_spend
except ImportError:
    from workers.ingest import ingest_spend
for line in sys.stdin:
    ingest_spend(events=json.loads(line))
    print("counted", flush=True)
"""

Unpacked = Callable[[str], Path]

pytestmark = [pytest.mark.timeout(600), pytest.mark.on_one_server(Limit.OLDER_VERSIONS)]


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """Returns a function that returns the folder of a commit's files, where Python compiles each module once."""
    return lru_cache(lambda commit: unpack(commit, tmp_path_factory.mktemp("older") / "version"))


@pytest.fixture(params=[BEFORE_HEADROOM, BEFORE_DECLARED_HEADROOM], ids=["no headroom", "undeclared headroom"])
def older(request: pytest.FixtureRequest, unpacked: Unpacked) -> Path:
    """The folder of the older version. Skips the test where the history is not known."""
    if request.param == LAST_RELEASE:
        return _released(unpacked)
    added = git("log", "--diff-filter=A", "--format=%H", "--", request.param).split()
    if not added:
        pytest.skip(NO_HISTORY)
    return unpacked(f"{added[-1]}^")


@pytest.fixture
def released(unpacked: Unpacked) -> Path:
    """The folder of the last release that has other tables. Skips the test where the history is not known."""
    return _released(unpacked)


def _released(unpacked: Unpacked) -> Path:
    release = last_release_with_other_tables()
    if release is None:
        pytest.skip(NO_HISTORY)
    print(f"the last release with other tables is {release.version}, at {release.commit}")
    return unpacked(release.commit)


class RowsWorld(World):
    """Creates brands and campaigns as rows of the columns that every version has, for tables of an older version."""

    def brand(self, zone: str = "", currency: str = "USD", name: str = "Brand", **limits: int) -> int:
        """Creates a brand with limits in micros and returns its id."""
        insert = "INSERT INTO brands (name, time_zone, currency) VALUES (%s, %s, %s) RETURNING id"
        brand_id = int(self.one(insert, name, zone or noon_zone(), currency)["id"])
        for period, limit in limits.items():
            insert = "INSERT INTO budgets (brand_id, period, limit_micros) VALUES (%s, %s, %s)"
            self.execute(insert, brand_id, period, limit)
        return brand_id

    def campaign(self, brand: int, name: str = "Campaign", schedule: str = "", **facts: Any) -> int:
        """Creates a campaign and returns its id. Takes no schedule and no other facts."""
        assert not schedule
        assert not facts
        insert = "INSERT INTO campaigns (brand_id, name) VALUES (%s, %s) RETURNING id"
        return int(self.one(insert, brand, name)["id"])


def newest_revision(older: Path) -> str:
    """The newest revision of the older version's tables."""
    return max(path.name[:4] for path in (older / "alembic/versions").glob("[0-9]*.py"))


def run_by(older: Path, *argv: str) -> None:
    """Runs `python ARGV` of the older version to its end. Fails if it does."""
    env = environment({"PYTHONPATH": str(older)})
    done = subprocess.run([sys.executable, *argv], cwd=older, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def counting_by(older: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Runs a process of the older version; yields a function that lets it count an event as its workers do."""
    with subprocess.Popen(
        [sys.executable, "-c", INGEST],
        cwd=older,
        env=environment({"PYTHONPATH": str(older)}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        lines = process.stdout

        def count(event: dict[str, Any]) -> None:
            print(json.dumps([event]), file=process.stdin, flush=True)
            assert "counted\n" in iter(lines.readline, ""), "it ended"  # type: ignore[union-attr]  # a pipe

        yield count
        process.stdin.close()
        assert process.wait() == 0


@contextmanager
def older_workers(older: Path, output: Path) -> Iterator[Service]:
    """Runs the worker processes of the older version during the block."""
    sizes = {"SPENDGATE_WORKER_PROCESSES": "2", "SPENDGATE_WORKER_THREADS": "4"}
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers"],
            cwd=older,
            env=environment({"PYTHONPATH": str(older), **sizes}),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield Service(process, output)
    finally:
        kill_group(process)


def counted(stage: FaultStage) -> int:
    """The number of events in the ledger."""
    return int(stage.world.one("SELECT count(*) AS events FROM spend_events")["events"])


def keeps_counting(stage: FaultStage, load: Load) -> None:
    """Waits until as many events as five messages have are counted from now on."""
    goal = counted(stage) + 5 * load.a_message
    until(lambda: counted(stage) >= goal, "counting goes on")


def test_older_workers_count_through_an_upgrade_and_back(stage: FaultStage, older: Path, tmp_path: Path) -> None:
    load = stage.load(A_MESSAGE)
    newest = newest_revision(older)
    migrations.downgrade(newest)
    with older_workers(older, tmp_path / "older-output") as old, stage.sending(load):
        keeps_counting(stage, load)
        migrations.upgrade()
        keeps_counting(stage, load)
        with stage.workers() as present:
            until(lambda: is_ready(present), "the present version's workers are ready")
            until(lambda: bool(present.logged("spend.ingested")), "they count too")
            keeps_counting(stage, load)
            present.send(signal.SIGTERM)
            present.code()
        migrations.downgrade(newest)
        keeps_counting(stage, load)
        migrations.upgrade()
        keeps_counting(stage, load)
    with stage.workers():
        stage.wait_for_recovery()
    assert not old.logged("worker.died")
    figures = stage.checked(load)
    stage.add_to_table("an upgrade and back with live workers of the older version", 1, figures)


def test_last_release_is_upgraded_and_rolled_back_while_its_workers_count(
    stage: FaultStage, released: Path, tmp_path: Path
) -> None:
    revision = newest_revision(released)
    stage.close_connections()
    stage.world.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    run_by(released, "-m", "cli.main", "migrate")
    assert migrations.stored() == revision
    with pytest.MonkeyPatch.context() as patch:
        load = Load(RowsWorld(stage.world.url, patch), stage.draw, A_MESSAGE, 5_000_000)
    with older_workers(released, tmp_path / "older-output") as old:
        with stage.sending(load):
            keeps_counting(stage, load)
            migrate()
            keeps_counting(stage, load)
            with stage.workers() as present:
                until(lambda: is_ready(present), "the present version's workers are ready")
                until(lambda: bool(present.logged("spend.ingested")), "they count too")
                keeps_counting(stage, load)
                present.send(signal.SIGTERM)
                assert present.code() == 0
            migrate("--down", revision)
            assert migrations.stored() == revision
            keeps_counting(stage, load)
        stage.wait_for_recovery()
        old.send(signal.SIGTERM)
        assert old.code() == 0
    assert not old.logged("worker.died")
    run_by(released, "-m", "cli.main", "verify")
    migrate()
    figures = stage.checked(load)
    load.world.disconnect()
    stage.add_to_table("an upgrade of the last release and back, under load", 1, figures)


def migrate(*options: str) -> None:
    """Runs the present version's `spendgate migrate` with these options."""
    done = shell("migrate", *options)
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize(
    "older",
    [BEFORE_DECLARED_HEADROOM, LAST_RELEASE],
    indirect=True,
    ids=["undeclared headroom", LAST_RELEASE],
)
def test_older_and_present_version_together_pause_at_the_limit(world: World, older: Path) -> None:
    campaign = world.campaign(world.brand(daily=100))
    with counting_by(older) as count:
        world.spend(campaign, 10)
        count(world.event(campaign, 60))
        world.spend(campaign, 29)
        assert world.is_active(campaign)
        world.spend(campaign, 1)
        assert not world.is_active(campaign)
        count(world.event(campaign, -50))
        assert world.is_active(campaign)
        world.spend(campaign, 50)
        assert not world.is_active(campaign)
        world.spend(campaign, -50)
        count(world.event(campaign, 49))
        assert world.is_active(campaign)
        count(world.event(campaign, 1))
        assert not world.is_active(campaign)
    assert world.rejected() == []
    world.verify()
