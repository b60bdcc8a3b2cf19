"""A shell that runs the Procfile's lines gives each process the URL of its own role and no other."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.shell import REPOSITORY

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
