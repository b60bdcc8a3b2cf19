"""A shell that runs the Procfile's lines gives each process the URLs of its own users alone; runners start them."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.outgoing import send_events
from tests.cli.shell import REPOSITORY, environment, kill_group
from tests.ports import free_port, listens
from tests.world import UNIT, World, eventually

LINES = dict(line.split(": ", 1) for line in (REPOSITORY / "Procfile").read_text().splitlines())
URLS = {
    "DATABASE_URL": "postgresql://all:a@db/x",
    "MIGRATOR_DATABASE_URL": "postgresql://migrator:b@db/x?sslmode=require&a=$b c",
    "WORKER_DATABASE_URL": "postgresql://worker:c@db/x",
    "WEB_DATABASE_URL": "postgresql://web:d@db/x",
}
REDIS_URLS = {
    "REDIS_URL": "redis://all:a@redis/0",
    "WORKER_REDIS_URL": "redis://worker:b@redis/0",
    "WEB_REDIS_URL": "redis://web:c$d e@redis/0",
    "SCHEDULER_REDIS_URL": "redis://scheduler:d@redis/0",
}
OWN = {"release": "MIGRATOR", "web": "WEB", "worker": "WORKER", "scheduler": "WORKER"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Returns a PATH on which `python` and `spendgate` print their command line and URLs."""
    for name in ("python", "spendgate"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "$0 $*"\nenv | grep -E "^([A-Z]+_)?(DATABASE|REDIS)_URL=" | sort\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{tmp_path}:{os.environ['PATH']}"


def started(line: str, path: str, env: dict[str, str]) -> list[str]:
    done = subprocess.run(["sh", "-c", line], env={"PATH": path, **env}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("process", OWN)
def test_procfile_gives_each_process_only_the_url_of_its_role(path: str, process: str) -> None:
    program, *variables = started(LINES[process], path, URLS)
    own = URLS[f"{OWN[process]}_DATABASE_URL"]
    assert f"DATABASE_URL={own}" in variables
    assert {variable.partition("=")[2] for variable in variables if "DATABASE" in variable} == {own}
    assert "postgresql" not in program


@pytest.mark.parametrize("process", ["web", "worker", "scheduler"])
def test_procfile_gives_each_process_only_the_url_of_its_redis_user(path: str, process: str) -> None:
    program, *variables = started(LINES[process], path, REDIS_URLS)
    own = REDIS_URLS[f"{process.upper()}_REDIS_URL"]
    assert f"REDIS_URL={own}" in variables
    assert {variable.partition("=")[2] for variable in variables if "REDIS" in variable} == {own}
    assert "redis:" not in program


def test_procfile_gives_the_migration_no_url_of_a_redis_user(path: str) -> None:
    _, *variables = started(LINES["release"], path, REDIS_URLS)
    assert [variable for variable in variables if "_REDIS_URL" in variable] == []


@pytest.mark.parametrize("process", OWN)
def test_procfile_gives_the_common_urls_to_every_process_without_urls_of_its_own(path: str, process: str) -> None:
    common = {"DATABASE_URL": URLS["DATABASE_URL"], "REDIS_URL": REDIS_URLS["REDIS_URL"]}
    _, *variables = started(LINES[process], path, common)
    assert variables == [f"{name}={url}" for name, url in common.items()]


def test_procfile_has_no_url_on_a_command_line(path: str) -> None:
    assert all(f"env {name}" not in line for line in LINES.values() for name in ("DATABASE_URL", "REDIS_URL"))
    assert set(LINES) == set(OWN)


def test_web_is_the_first_process_so_that_runners_give_it_the_port() -> None:
    """Honcho and foreman add 100 to PORT for each process before it."""
    assert next(iter(LINES)) == "web"


@pytest.mark.parametrize("runner", ["honcho", "foreman"])
def test_line_for_a_runner_migrates_then_counts_and_stops_by_itself(world: World, tmp_path: Path, runner: str) -> None:
    folder = Path(sys.executable).parent
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    if shutil.which(runner, path=path) is None:
        pytest.skip(f"{runner} is not installed")
    page = (REPOSITORY / "docs/operations/deploy.md").read_text()
    (line,) = re.findall(rf"^\| \[{runner}\].*\| `(.+)` \|$", page, re.MULTILINE)
    port = free_port()
    variables = {"PATH": path, "PORT": str(port), "SPENDGATE_WORKER_PROCESSES": "1"}
    env = environment({**variables, "MIGRATOR_DATABASE_URL": world.url})
    output = tmp_path / "output"
    script = f"trap : TERM\n{line}"  # bash ends after the runner
    with output.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=REPOSITORY, env=env, stdout=out, stderr=out, start_new_session=True
        )
    try:
        eventually(lambda: '"worker.ready"' in output.read_text() or process.poll() is not None, 60)
        campaign = world.campaign(world.brand())
        send_events([world.event(campaign, UNIT)])
        eventually(lambda: world.spent(campaign) == UNIT)
        eventually(lambda: listens(port), 60)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
    finally:
        kill_group(process)
    text = output.read_text()
    assert "the database is at" in text
    assert "Worker has been shut down" in text
    assert "SIGKILL to worker" not in text
    assert "SIGKILL to all" not in text
