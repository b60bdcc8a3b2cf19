"""The master of the workers and the scheduler serve the metrics of their processes."""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx2 as httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from delivery.outgoing import send, send_events
from runtime.heartbeats import Heartbeats
from tests.cli.shell import Env, Service, serving
from tests.ports import free_port
from tests.world import UNIT, World, eventually
from workers.metrics_server import serve_in_thread
from workers.scheduler import EVERY_BEAT, EVERY_FEW_BEATS, REAL_TIME

DOWN = -1.0


def value(port: int, name: str, **labels: str) -> float:
    """The value of a sample at the port; 0 if it is not there, DOWN if nothing answers."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    except httpx.TransportError:
        return DOWN
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((one.value for one in samples if (one.name, one.labels) == (name, labels)), 0.0)


def counted(port: int) -> float:
    return value(port, "spendgate_inputs_total", kind="spend", outcome="counted")


def env(port: int, processes: int = 2) -> Env:
    return {
        "SPENDGATE_WORKER_METRICS_PORT": str(port),
        "SPENDGATE_WORKER_PROCESSES": str(processes),
        "SPENDGATE_WORKER_THREADS": "2",
    }


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def worker(world: World, port: int, tmp_path: Path) -> Iterator[Service]:
    """A worker with two processes that serves its metrics."""
    with serving("-m", "workers", output=tmp_path / "log", env=env(port)) as service:
        eventually(lambda: value(port, "spendgate_worker_processes") == 2)
        yield service


def test_metrics_of_all_worker_processes_are_added_up(world: World, worker: Service, port: int) -> None:
    campaign = world.campaign(world.brand(daily=3 * UNIT))
    for _ in range(20):
        send_events([world.event(campaign, UNIT)])
    send_events([{"event_id": "rubbish"}])
    eventually(lambda: counted(port) == 20)
    eventually(lambda: value(port, "spendgate_inputs_total", kind="spend", outcome="rejected") == 1)
    eventually(lambda: value(port, "spendgate_messages_total", actor="ingest_spend", outcome="done") == 21)
    assert value(port, "spendgate_toggles_total", effective_status="inactive") == 1
    assert value(port, "spendgate_commit_seconds_count") >= 1
    assert value(port, "spendgate_occurred_to_enforced_seconds_count") >= 1
    assert value(port, "spendgate_enqueued_to_committed_seconds_count") >= 1
    eventually(lambda: value(port, "spendgate_database_connections_in_use") == 0)


def test_counters_continue_and_the_number_of_files_stays_constant_when_processes_are_killed(
    world: World, port: int, tmp_path: Path
) -> None:
    campaign = world.campaign(world.brand())
    (tmp_path / "folder").mkdir()
    settings = {**env(port, processes=1), "TMPDIR": str(tmp_path / "folder")}
    with serving("-m", "workers", output=tmp_path / "log", env=settings) as service:
        for number in range(1, 6):
            send_events([world.event(campaign, UNIT)])
            eventually(lambda: counted(port) == number)  # noqa: B023 - called in this round
            os.kill(service.logged("worker.ready")[-1]["pid"], signal.SIGKILL)
            eventually(lambda: len(service.logged("worker.ready")) == number + 1)  # noqa: B023
        assert value(port, "spendgate_worker_deaths_total") == 5
        assert counted(port) == 5
        slots = {path.stem.rpartition("_")[2] for path in (tmp_path / "folder").rglob("*.db")}
        assert slots == {"0", "master"}
        service.send(signal.SIGTERM)
        assert service.code() == 0
    assert not any((tmp_path / "folder").iterdir())


def test_each_scheduled_job_has_a_sample_before_it_was_done_and_the_time_after(
    world: World, worker: Service, port: int
) -> None:
    name = "spendgate_job_done_at_seconds"
    jobs = {*EVERY_BEAT, *EVERY_FEW_BEATS, *REAL_TIME}

    def done() -> dict[str, float]:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return {one.labels["actor"]: one.value for one in samples if one.name == name}

    eventually(lambda: done() == dict.fromkeys(jobs, 0.0))
    for job in ("send_alerts", "deliver_webhooks", "apply_dayparting"):
        send(job)
        eventually(lambda: done()[job] > 0)  # noqa: B023 - called in this round
    assert done()["refresh_spend"] == 0


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60).text == "ok\n"
    except httpx.TransportError:
        return False


def test_worker_answers_that_it_is_healthy(worker: Service, port: int) -> None:
    assert healthy(port)


STUCK_SOON = """
import sys
from workers import __main__ as workers
workers.STUCK_SECONDS = 5
sys.exit(workers.main())
"""


@pytest.mark.parametrize("stopped", ["master", "process"])
def test_worker_is_unhealthy_while_a_process_of_it_is_stopped(
    world: World, port: int, tmp_path: Path, stopped: str
) -> None:
    with serving("-c", STUCK_SOON, output=tmp_path / "log", env=env(port), by_exec=True) as service:
        eventually(lambda: len(service.logged("worker.ready")) == 2)
        eventually(lambda: healthy(port))
        pid = service.process.pid if stopped == "master" else service.logged("worker.ready")[-1]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 503)
        finally:
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: healthy(port))


def test_health_follows_the_heartbeats() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    heartbeats = Heartbeats(1)
    serve_in_thread([listener], CollectorRegistry(), partial(heartbeats.are_recent, -1))
    port = listener.getsockname()[1]
    assert healthy(port)
    heartbeats.beat(0)
    answer = httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60)
    assert (answer.status_code, answer.text) == (503, "a process is stuck\n")


def test_scheduler_is_healthy_while_a_scrape_waits_for_postgres(world: World, port: int, tmp_path: Path) -> None:
    settings = {"SPENDGATE_SCHEDULER_METRICS_PORT": str(port)}
    with (
        serving("-m", "workers.scheduler", output=tmp_path / "log", env=settings),
        psycopg.connect(world.url) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        eventually(lambda: healthy(port), 90)
        other.execute("LOCK TABLE campaigns")
        scrape = threads.submit(value, port, "spendgate_up", part="postgres")
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'campaigns'::regclass"
        eventually(lambda: bool(other.execute(waiting).fetchall()), 60)
        assert healthy(port)
        assert not scrape.done()
        other.rollback()
        assert scrape.result() == 1


def test_half_sent_requests_do_not_delay_a_scrape(worker: Service, port: int) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /met")
        assert value(port, "spendgate_worker_processes") == 2


def test_second_worker_counts_without_serving_metrics_on_a_port_in_use(
    world: World, worker: Service, port: int, tmp_path: Path
) -> None:
    campaign = world.campaign(world.brand())
    with serving("-m", "workers", output=tmp_path / "second", env=env(port)) as second:
        eventually(lambda: len(second.logged("worker.ready")) == 2)
        assert second.logged("metrics.port_in_use")
        worker.send(signal.SIGTERM)
        assert worker.code() == 0
        send_events([world.event(campaign, UNIT)])
        eventually(lambda: world.spent(campaign) == UNIT)


def test_metrics_end_when_the_master_is_killed(worker: Service, port: int) -> None:
    worker.send(signal.SIGKILL)
    eventually(lambda: value(port, "spendgate_worker_processes") == DOWN)


def test_scheduler_serves_the_number_of_messages_it_has_sent(world: World, port: int, tmp_path: Path) -> None:
    settings = {"SPENDGATE_SCHEDULER_METRICS_PORT": str(port)}
    with serving("-m", "workers.scheduler", output=tmp_path / "log", env=settings):
        eventually(lambda: value(port, "spendgate_enqueued_messages_total", actor="apply_dayparting") >= 1, 90)
