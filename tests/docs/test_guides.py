"""The commands of the guides, run as they are written: `sh` blocks in bash, `text` blocks as what they print.

A block `sh background` stays until the end of the pages. `…` stands for any text within a line. Other blocks, such as
`console`, are only shown. The service is the installed `spendgate`; the commands are run by processes forked for them.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from runtime.embedded import servers as embedded
from tests.cli.shell import REPOSITORY, environment, kill_group
from tests.docs.forked import spendgate_by_fork
from tests.docs.markdown import Block, blocks
from tests.folders import new_folder
from tests.ports import free_port
from tests.world import eventually, noon_zone

GUIDES = ("first-budget", "producer", "manage", "reported-totals", "imports", "api", "serving", "admin", "reports")
"""In the order in which each goes on with what the pages before it made."""

START_SECONDS = 600
PAGE_SECONDS = 600
_BOX = re.compile(r"[\u2500-\u257f\s]+")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder like a fresh clone for whoever runs commands in it; as root, Postgres must be able to enter it."""
    made = new_folder("test-guides-")
    (made / "examples").symlink_to(REPOSITORY / "examples")
    yield made
    embedded.erase(made / ".spendgate")
    shutil.rmtree(made)


@pytest.mark.timeout(1800)
def test_guides_do_what_they_say(folder: Path) -> None:
    if shutil.which("curl") is None:
        assert not os.environ.get("CI"), "no curl here: install Debian's package `curl`"
        pytest.skip("no curl here: install Debian's package `curl`")
    port = str(free_port())
    env = _environment(PORT=port)
    pages = {name: _page(name, port) for name in GUIDES}
    background, *others = [block for page in pages.values() for block in page if block.info == "sh background"]
    assert others == []
    with _running(background.text, folder, env), spendgate_by_fork(folder) as program:
        env["PATH"] = f"{program}{os.pathsep}{env['PATH']}"
        for name, page in pages.items():
            _follow(name, page, folder, env)


def _page(name: str, port: str) -> list[Block]:
    """The guide's blocks. A brand's midnight must not come while they run, and another program may hold port 8000."""
    text = (REPOSITORY / f"docs/guides/{name}.md").read_text()
    return blocks(text.replace("America/New_York", noon_zone()).replace("127.0.0.1:8000", f"127.0.0.1:{port}"))


def _environment(**changes: str) -> dict[str, str]:
    program = Path(sys.executable).parent
    path = f"{program}{os.pathsep}{os.environ['PATH']}"
    unset = ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "SPENDGATE_HOME", "LOG_LEVEL")
    return environment({**dict.fromkeys(unset), "PATH": path, "COLUMNS": "80", **changes})


@contextmanager
def _running(command: str, folder: Path, env: dict[str, str]) -> Iterator[None]:
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually((folder / ".spendgate/env").exists, START_SECONDS)
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(START_SECONDS) == 0
    finally:
        kill_group(process)


def _follow(name: str, page: Sequence[Block], folder: Path, env: dict[str, str]) -> None:
    """Runs a page's commands in one shell and compares what each block prints."""
    commands = [block for block in page if block.info == "sh"]
    assert commands, name
    script = "\n".join(f"echo '=== {block.line}'\n{block.text}" for block in commands)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PAGE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{name}.md: {done.stdout}{done.stderr}"
    printed = dict(re.findall(r"^=== (\d+)\n(.*?)(?=^=== |\Z)", done.stdout, re.MULTILINE | re.DOTALL))
    for block, said in pairwise(page):
        if block.info == "sh" and said.info == "text":
            _compare(f"{name}.md:{said.line}", said.text, printed[str(block.line)])


def _compare(place: str, written: str, printed: str) -> None:
    """Fails unless the block prints what is written, whatever the widths of its tables."""
    expected, given = (_BOX.sub(" ", text).strip() for text in (written, printed))
    pattern = ".*?".join(map(re.escape, expected.split("…")))
    assert re.fullmatch(pattern, given), f"{place} says\n{written}\nbut it prints\n{printed}"


def test_a_changed_output_is_noticed() -> None:
    _compare("here", "┃ spent ┃\n│ $6.00 │ Mon …\n", "┏━━━┓\n┃ spent  ┃\n│ $6.00  │ Mon 00:00 │\n")
    with pytest.raises(AssertionError, match="here says"):
        _compare("here", "1 taken\n", "2 taken\n")
