"""`make run` installs packages: with a counter on a terminal, one line elsewhere, and pip's output after a failure."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import REPOSITORY


@pytest.fixture
def install() -> dict[str, Any]:
    return runpy.run_path(str(REPOSITORY / ".ci/install.py"))


def test_counter_counts_each_package_once_for_each_wording_of_pip(install: dict[str, Any]) -> None:
    counter = install["Counter"](4)
    for line in (
        "Collecting alembic==1.17.2 (from -r requirements.txt (line 1))",
        "  Downloading alembic-1.17.2-py3-none-any.whl (248 kB)",
        "Requirement already satisfied: babel==2.17.0 in ./.venv/lib",
        "Ignoring colorama: markers 'sys_platform == \"win32\"' don't match your environment",
        "Using cached click-8.3.1-py3-none-any.whl",
    ):
        counter.note(line)
    assert (counter.fetched, counter.now) == (3, "colorama")
    counter.note("Installing collected packages: babel, alembic")
    assert (counter.fetched, counter.now) == (4, "unpacking")


def test_counter_finds_every_package_of_the_lock(install: dict[str, Any]) -> None:
    lock = (REPOSITORY / "requirements.txt").read_text()
    assert len(install["NAMED"].findall(lock)) == sum("==" in line.split(";")[0] for line in lock.splitlines())


@pytest.mark.parametrize("code", [0, 1])
def test_install_without_a_terminal_prints_one_line_and_exits_with_the_code_of_pip(
    install: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str], code: int
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("alembic==1.17.2\n")
    program = f"import sys; sys.stderr.write('pip was here '); sys.exit({code})"
    install["main"].__globals__["PIP"] = (sys.executable, "-c", program)
    assert install["main"](str(lock)) == code
    output = capfd.readouterr()
    assert output.out == f"installing the packages of {lock}\n"
    assert output.err == "pip was here " * (2 - code)


def test_install_prints_the_output_of_pip_after_a_failure(
    install: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("alembic==1.17.2\n")
    program = "import sys; print('ERROR: no space left'); sys.exit(1)"
    install["main"].__globals__["PIP"] = (sys.executable, "-c", program)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert install["main"](str(lock)) == 1
    assert "ERROR: no space left" in capfd.readouterr().err
