"""Files of metrics that worker processes share."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from runtime import metric_files
from tests.cli.shell import REPOSITORY

BEGIN = """
import os, sys
from runtime import metric_files
folder = metric_files.begin(2)
if os.fork() == 0:
    metric_files.use_slot("1")
    from runtime.metrics import INPUTS, COMMIT_SECONDS, LOCKED_BRANDS
    INPUTS.labels("spend", "counted").inc()
    COMMIT_SECONDS.observe(1)
    LOCKED_BRANDS.set(1)
    os._exit(0)
os.wait()
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts a process that begins a folder of metrics, prints its path and waits for the end of its input."""
    return lambda: subprocess.Popen(
        [sys.executable, "-c", BEGIN],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def folders(place: Path) -> list[Path]:
    return sorted(place.glob(f"{metric_files.PREFIX}*"))


def test_files_have_their_size_from_the_start(tmp_path: Path, begun: Callable[[], subprocess.Popen[str]]) -> None:
    with begun() as process:
        process.communicate("")
        (folder,) = folders(tmp_path)
        files = {path.name: path.stat() for path in folder.glob("*.db")}
    assert files.keys() == {f"{kind}_{slot}.db" for kind in metric_files.KINDS for slot in ("master", "0", "1")}
    assert {stat.st_size for stat in files.values()} == {metric_files.FILE_BYTES}
    assert all(stat.st_blocks * 512 >= metric_files.FILE_BYTES for stat in files.values())


def test_folder_of_a_killed_master_is_removed_and_that_of_a_live_one_stays(
    tmp_path: Path, begun: Callable[[], subprocess.Popen[str]]
) -> None:
    with begun() as live, begun() as killed:
        assert live.stdout is not None
        assert killed.stdout is not None
        paths = [Path(process.stdout.readline().strip()) for process in (live, killed) if process.stdout]
        killed.kill()
        killed.wait()
        assert folders(tmp_path) == sorted(paths)
        with begun() as third:
            third.communicate("")
        assert paths[0] in folders(tmp_path)
        assert paths[1] not in folders(tmp_path)
        live.communicate("")


def test_full_disk_leaves_no_folder_and_no_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def write_bytes(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert metric_files.begin(1) is None
    assert folders(tmp_path) == []
    assert generate_latest(metric_files.registry_of(None)) == b""


def test_scrape_leaves_out_a_file_that_a_process_has_just_made(tmp_path: Path) -> None:
    (tmp_path / "counter_0.db").touch()
    assert generate_latest(metric_files.registry_of(tmp_path)) == b""
