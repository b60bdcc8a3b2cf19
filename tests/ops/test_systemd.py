"""systemd accepts the units, and each starts a process of the Procfile with time to stop."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.shell import REPOSITORY

UNITS = sorted((REPOSITORY / "ops/systemd").glob("*.service"))


class Repeated(dict[str, str]):
    """A section of a unit; of repeated keys the last one counts."""


def unit(path: Path) -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    read.read_string(path.read_text())
    return read


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_accepts_the_unit(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = unit(path)["Service"]["ExecStart"]
    copy = tmp_path / path.name  # the program must exist for the check
    copy.write_text(path.read_text().replace(command.split()[0], "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (checked.returncode, path.name in checked.stderr) == (0, False), checked.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_runs_a_process_of_the_procfile_as_a_user_without_rights(path: Path) -> None:
    service = unit(path)["Service"]
    procfile = (REPOSITORY / "Procfile").read_text()
    assert service["ExecStart"].removeprefix("/opt/spendgate/bin/") in procfile
    assert service["EnvironmentFile"] == f"/etc/spendgate/{path.stem.removeprefix('spendgate-')}.env"
    assert (service["DynamicUser"], service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "yes", "strict")
    assert service.get("Type") == "oneshot" or int(service["TimeoutStopSec"]) >= 35
