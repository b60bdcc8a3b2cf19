"""The built wheel runs the whole service in an environment of its own, outside the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runtime.embedded import servers as embedded
from tests.cli.shell import REPOSITORY
from tests.folders import new_folder
from tests.ports import free_port
from tests.world import eventually

START_SECONDS = 120
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user may enter, because Postgres runs as `nobody` if the test runs as root."""
    made = new_folder("test-wheel-")
    yield made
    embedded.erase(made / "home")
    shutil.rmtree(made)


@pytest.fixture
def installed(folder: Path) -> Path:
    """The Python of an environment with the wheel of this checkout, and with the packages that these tests run with."""
    wheels = folder / "wheels"
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", wheels)
    subprocess.run([sys.executable, *PIP, "wheel", *options, REPOSITORY], check=True)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    asked = [str(python), "-c", "import site; print(site.getsitepackages()[0])"]
    into = Path(subprocess.check_output(asked, text=True).strip())
    subprocess.run([sys.executable, *PIP, "--python", python, "install", "--no-deps", *wheels.iterdir()], check=True)
    # A .pth file adds a folder without reading the .pth files in it, so the checkout is not added.
    (into / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_wheel_runs_the_whole_service_outside_the_checkout(folder: Path, installed: Path) -> None:
    port = free_port()
    left_out = {"DATABASE_URL", "REDIS_URL", "BROKER_URL", "PYTHONPATH", "LOG_FORMAT"}
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    env |= {"SPENDGATE_HOME": str(folder / "home"), "PORT": str(port)}
    where = subprocess.check_output(
        [str(installed), "-c", "import db; print(db.__file__)"], cwd=folder, env=env, text=True
    )
    assert where.startswith(str(folder))
    program = installed.with_name("spendgate")
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen([program, "up", "--demo"], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        texts = _texts(service, port)
    finally:
        service.terminate()
        assert service.wait(60) == 0, (folder / "log").read_text()
    assert "Hudson Shoes" in texts["/"]
    assert all(texts.values())


def _texts(service: "subprocess.Popen[bytes]", port: int) -> dict[str, str]:
    """The pages of the running service, by path, once it is ready."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        eventually(lambda: service.poll() is not None or _is_ready(client), START_SECONDS)
        paths = ("/", "/docs", "/static/app.css", "/admin/login")
        return {path: client.get(path).raise_for_status().text for path in paths}


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200 and "Hudson Shoes" in client.get("/").text
    except httpx.TransportError:
        return False
