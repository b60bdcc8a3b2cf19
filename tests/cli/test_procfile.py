"""A shell that runs the Procfile's lines gives each process the URL of its own role and no other; honcho runs them."""

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.outgoing import send_events
from tests.cli.shell import REPOSITORY, environment, kill_group
from tests.ports import free_port
from tests.world import UNIT, World, eventually

LINES = dict(line.split(": ", 1) for line in (REPOSITORY / "Procfile").read_text().splitlines())
URLS = {
    "DATABASE_URL": "postgresql://all:a@db/x",
    "MIGRATOR_DATABASE_URL": "postgresql://migrator:b@db/x?sslmode=require&a=$b c",
    "WORKER_DATABASE_URL": "postgresql://worker:c@db/x",
    "WEB_DATABASE_URL": "postgresql://web:d@db/x",
}
OWN = {"release": "MIGRATOR", "web": "WEB", "worker": "WORKER", "scheduler": "WORKER"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Returns a PATH on which `python` and `spendgate` print their command line and URLs."""
    for name in ("python", "spendgate"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "$0 $*"\nenv | grep DATABASE_URL= | sort\n')
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
    assert {variable.partition("=")[2] for variable in variables} == {own}
    assert "postgresql" not in program


@pytest.mark.parametrize("process", OWN)
def test_procfile_gives_database_url_to_every_process_without_role_urls(path: str, process: str) -> None:
    _, *variables = started(LINES[process], path, {"DATABASE_URL": URLS["DATABASE_URL"]})
    assert variables == [f"DATABASE_URL={URLS['DATABASE_URL']}"]


def test_procfile_has_no_url_on_a_command_line(path: str) -> None:
    assert all("env DATABASE_URL" not in line for line in LINES.values())
    assert set(LINES) == set(OWN)


def test_line_for_honcho_migrates_then_counts_and_stops_by_itself(world: World, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("honcho")
    if not program.exists():
        pytest.skip("honcho is not installed: `make .venv/dev` installs it")
    page = (REPOSITORY / "docs/operations/deploy.md").read_text()
    (line,) = re.findall(r"^\| \[honcho\].*\| `(.+)` \|$", page, re.MULTILINE)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    env = environment({"PATH": path, "PORT": str(free_port()), "SPENDGATE_WORKER_PROCESSES": "1"})
    output = tmp_path / "output"
    script = f"trap : TERM\n{line}"  # bash ends after honcho
    with output.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=REPOSITORY, env=env, stdout=out, stderr=out, start_new_session=True
        )
    try:
        eventually(lambda: '"worker.ready"' in output.read_text() or process.poll() is not None, 60)
        campaign = world.campaign(world.brand())
        send_events([world.event(campaign, UNIT)])
        eventually(lambda: world.spent(campaign) == UNIT)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
    finally:
        kill_group(process)
    text = output.read_text()
    assert "the database is at" in text
    assert "Worker has been shut down" in text
    assert "sending SIGKILL" not in text
