"""Measures a scrape of the metrics of workers, whose processes were replaced many times, and of the scheduler."""

import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from statistics import median
from typing import Final
from urllib.request import urlopen

from prometheus_client import CollectorRegistry, start_http_server

from benchmarks import workload
from benchmarks.stage import LOOPBACK, BenchStage, ready_processes, until
from benchmarks.workload import Spend
from tests.ports import free_port

PROCESSES: Final = 8
RESTARTS: Final = 200
SCRAPES: Final = 50
MESSAGES: Final = 200
ALLOWED_SECONDS: Final = 0.2


@cache
def of_workers(stage: BenchStage, number: int) -> float:
    """Measures the median seconds of a scrape of PROCESSES worker processes, after RESTARTS of them were replaced."""
    port = free_port()
    with (
        stage.using({"SPENDGATE_WORKER_METRICS_PORT": str(port)}),
        stage.copied(),
        stage.workers(processes=PROCESSES) as master,
    ):
        stage.seconds_for(workload.messages(Spend(seed=number).batches(MESSAGES, 100)))
        server = _children(master.pid)[0]  # serves the metrics
        log = stage.log_of_workers()
        for restarts in range(1, RESTARTS // PROCESSES + 1):
            for pid in set(_children(master.pid)) - {server}:
                os.kill(pid, signal.SIGKILL)
            until(lambda: ready_processes(master, log) >= (restarts + 1) * PROCESSES)  # noqa: B023 - called in this round
        return _median_seconds(port)


def of_scheduler(stage: BenchStage, _number: int) -> float:
    """Measures the median seconds of a scrape of the scheduler, which each time reads figures of Postgres and Redis."""
    port = free_port()
    env = {"SPENDGATE_SCHEDULER_METRICS_PORT": str(port)}
    with stage.copied(), (stage.home / "scheduler.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.scheduler"], env={**stage.env(), **env}, stdout=log, stderr=log
        )
        try:
            return _median_seconds(port)
        finally:
            process.terminate()
            process.wait()


@cache
def of_nothing() -> float:
    """Measures the median seconds of a scrape of a server of the same library without any metric."""
    port = free_port()
    server, thread = start_http_server(port, addr=LOOPBACK, registry=CollectorRegistry())
    try:
        return _median_seconds(port)
    finally:
        server.shutdown()
        thread.join()


def _median_seconds(port: int) -> float:
    until(lambda: _answers(port))
    taken = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        _scrape(port)
        taken.append(time.perf_counter() - began)
    return median(taken)


def _scrape(port: int) -> None:
    with urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=60) as answer:
        answer.read()


def _answers(port: int) -> bool:
    try:
        _scrape(port)
    except OSError:
        return False
    return True


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
