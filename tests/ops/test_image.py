"""The image's steps work on a bare Debian, and each of its modes runs without root on files that it cannot write."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.kit import children
from tests.ops.image_steps import Container, Image, built_image
from tests.ports import free_port
from tests.world import World, eventually

STOP_SECONDS = 35
"""The grace period of compose.yaml and of the chart."""

PATIENCE_SECONDS = 180


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image, built once."""
    with built_image() as built:
        yield built


def becomes_healthy(container: Container) -> None:
    """Waits until the health check passes; the log names the reason if it does not."""
    eventually(lambda: container.first != 0 and container.healthy().code == 0, PATIENCE_SECONDS)


@pytest.mark.timeout(900)
def test_default_command_runs_everything_with_embedded_servers(image: Image, tmp_path: Path) -> None:
    ports = {"PORT": free_port(), "SPENDGATE_WORKER_METRICS_PORT": free_port()}
    env = {name: str(port) for name, port in ports.items()} | {"SPENDGATE_SCHEDULER_METRICS_PORT": str(free_port())}
    with image.running(tmp_path / "log", env=env) as container:
        becomes_healthy(container)
        assert httpx.get(f"http://127.0.0.1:{ports['PORT']}/readyz").status_code == 200
        assert container.run("id", "-u").out == "10001\n"
        refused = container.run("touch", "/opt/spendgate/x")
        assert "Read-only file system" in refused.err
        status = container.run("cat", "/proc/1/status").out
        assert "NoNewPrivs:\t1" in status
        assert "CapBnd:\t0000000000000000" in status
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(container.first)}
        worker = next(pid for pid, command in commands.items() if b"-m\0workers\0" in command)
        os.kill(worker, signal.SIGKILL)
        becomes_healthy(container)
        assert container.stop(signal.SIGTERM, STOP_SECONDS) == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("argv", "port_name"),
    [
        (["python", "-m", "web", "--host", "0.0.0.0"], "PORT"),  # noqa: S104 - as in a container
        (["python", "-m", "workers"], "SPENDGATE_WORKER_METRICS_PORT"),
        (["python", "-m", "workers.scheduler"], "SPENDGATE_SCHEDULER_METRICS_PORT"),
    ],
)
def test_process_is_healthy_until_it_is_stopped_and_ends_on_sigterm(
    image: Image, world: World, tmp_path: Path, argv: list[str], port_name: str
) -> None:
    env = {"DATABASE_URL": world.url, "REDIS_URL": os.environ["REDIS_URL"], port_name: str(free_port())}
    with image.running(tmp_path / "log", argv, env) as container:
        becomes_healthy(container)
        stopped = [container.first, *children(container.first)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        unhealthy = container.healthy()
        assert unhealthy.code == 1, unhealthy
        assert "no answer" in unhealthy.out
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        becomes_healthy(container)
        assert container.stop(signal.SIGTERM, STOP_SECONDS) == 0


@pytest.mark.timeout(900)
def test_migration_runs_to_its_end(image: Image, world: World, tmp_path: Path) -> None:
    with image.running(tmp_path / "log", ["spendgate", "migrate"], {"DATABASE_URL": world.url}) as container:
        assert container.code(PATIENCE_SECONDS) == 0
    assert "the database is at" in (tmp_path / "log").read_text()
