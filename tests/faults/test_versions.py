"""An older version of Spendgate, from this repository's history, beside the present one on the same servers."""

import json
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from db import migrations
from tests.cli.shell import REPOSITORY, Service, environment, kill_group
from tests.faults.kit import FaultStage, is_ready, size, until
from tests.faults.load import Load
from tests.world import World

BEFORE_HEADROOM = "alembic/versions/*_headroom_of_brands.py"
BEFORE_DECLARED_HEADROOM = "alembic/versions/*_processes_and_declared_headroom.py"
"""Migrations; the older version is the commit before the one that added it."""

INGEST = """
import json, sys
try:
    from workers.actors.ingest import ingest_spend
except ImportError:
    from workers.ingest import ingest_spend
ingest_spend(events=json.load(sys.stdin))
"""


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=[BEFORE_HEADROOM, BEFORE_DECLARED_HEADROOM], ids=["no headroom", "undeclared headroom"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of the older version. Skips the test where the history is not known."""
    added = _git("log", "--diff-filter=A", "--format=%H", "--", request.param).split()
    if not added:
        pytest.skip("this checkout has no history")
    folder = tmp_path / "older"
    archive = subprocess.run(
        ["git", "archive", f"{added[-1].decode()}^"], cwd=REPOSITORY, capture_output=True, check=True
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False).stdout
    except FileNotFoundError:
        return b""


def ingest_by(older: Path, events: Sequence[dict[str, Any]]) -> None:
    """Counts the events as a worker of the older version does."""
    done = subprocess.run(
        [sys.executable, "-c", INGEST],
        cwd=older,
        env=environment({"PYTHONPATH": str(older)}),
        input=json.dumps(events),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
    load = stage.load(size(200, 1_000))
    newest = max(path.name[:4] for path in (older / "alembic/versions").glob("[0-9]*.py"))
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


def test_older_and_present_version_together_pause_at_the_limit(world: World, older: Path) -> None:
    campaign = world.campaign(world.brand(daily=100))
    world.spend(campaign, 10)
    ingest_by(older, [world.event(campaign, 60)])
    world.spend(campaign, 29)
    assert world.is_active(campaign)
    world.spend(campaign, 1)
    assert not world.is_active(campaign)
    ingest_by(older, [world.event(campaign, -50)])
    assert world.is_active(campaign)
    world.spend(campaign, 50)
    assert not world.is_active(campaign)
    world.spend(campaign, -50)
    ingest_by(older, [world.event(campaign, 49)])
    assert world.is_active(campaign)
    ingest_by(older, [world.event(campaign, 1)])
    assert not world.is_active(campaign)
    assert world.rejected() == []
    world.verify()
