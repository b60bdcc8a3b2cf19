"""`python -m workers`: runs the worker processes under a master that restarts those that die."""

import ctypes
import gc
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from dramatiq import Broker, Worker

    from workers.master import Child
    from workers.work_queue import WorkQueue

GC_THRESHOLDS = (50_000, 20, 100)
"""Thresholds of Python's garbage collector, raised because a batch makes thousands of objects without cycles."""

THREAD_DIED_EXIT = 70
STUCK_SECONDS = 120.0
"""Seconds without a heartbeat of the master or of a worker process after which /healthz answers 503."""

BETWEEN_HEARTBEATS_SECONDS = 1.0
THREAD_SWITCH_SECONDS = 0.05
"""Python's thread switch interval, raised so that a thread in a group commit is rarely interrupted."""

MALLOPT = {-8: 1, -3: 131_072, -1: 1_000_000}
"""glibc's malloc options by number: one arena, mmap from 128 KiB on, free memory above 1 MB returned to the system.

By default glibc makes an arena for each thread, which increases a worker's memory by half.
"""

PING_GRACE_SECONDS = 1.0
"""Seconds after its last use in which a pooled connection needs no ping; if it was lost, the message is retried."""

IDLE_MS = 2_000
"""The longest wait of an idle consumer for a notification from Redis; then it sends a heartbeat and polls."""

IDLE_THREAD_POLL_SECONDS = 60.0
"""Poll interval at which an idle thread checks whether the worker is stopping; closing the queue wakes it at once."""


def main() -> int:
    """Runs the master until SIGTERM or SIGINT; returns 0. Exits with 2 for a bad setting."""
    from runtime import metric_files  # noqa: PLC0415
    from runtime.settings import SettingsError, settings  # noqa: PLC0415

    gc.disable()  # until everything is imported: that stays until the process ends
    try:
        slots = settings().worker_processes
    except SettingsError:  # which `workers.main` reports
        slots = 0
    folder = metric_files.begin(slots)  # before the metrics are declared
    try:
        return _run_master(folder)
    finally:
        if folder is not None:
            metric_files.remove(folder)


def _run_master(folder: "Path | None") -> int:
    import structlog  # noqa: PLC0415

    import workers.main  # noqa: F401, PLC0415 - checks the settings and configures the logs before any fork
    from app.doctor.checkup import log_at_start  # noqa: PLC0415
    from delivery.broker import get_broker  # noqa: PLC0415
    from delivery.queue_health import log_concerns  # noqa: PLC0415
    from runtime import metric_files  # noqa: PLC0415
    from runtime.heartbeats import Heartbeats  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415
    from workers import metrics_server  # noqa: PLC0415
    from workers.master import Master  # noqa: PLC0415

    gc.freeze()
    gc.enable()  # before any fork
    read = settings()
    if folder is None:
        structlog.get_logger().error("metrics.no_room", folder=tempfile.gettempdir())
    heartbeats = Heartbeats(1 + read.worker_processes)
    metrics_server.serve_in_fork(
        metrics_server.listeners(read.worker_metrics_port, "SPENDGATE_WORKER_METRICS_PORT"),
        metric_files.registry_of(folder),
        partial(heartbeats.are_recent, STUCK_SECONDS),
    )
    log_concerns()
    log_at_start()
    master = Master(
        work,
        get_broker().return_messages_of,
        processes=read.worker_processes,
        threads=read.worker_threads,
        shutdown_seconds=read.shutdown_seconds,
        heartbeats=heartbeats,
    )
    return master.run()


def work(child: "Child") -> None:
    """Runs a worker process: works on every queue until SIGTERM, then finishes begun messages.

    Returns the other fetched messages to their queues. Waits at most SPENDGATE_SHUTDOWN_SECONDS.
    """
    import structlog  # noqa: PLC0415

    from app import processes  # noqa: PLC0415
    from db.connections import ProcessKind, this_process  # noqa: PLC0415
    from db.pool import ping_grace  # noqa: PLC0415
    from delivery.broker import get_broker, suspects  # noqa: PLC0415
    from runtime import metric_files, metrics, tracing  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415
    from runtime.signals import Stop  # noqa: PLC0415

    metric_files.use_slot(str(child.place))
    metrics.reset_gauges()
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    threading.Thread(target=_beat, args=(child,), name="heartbeat", daemon=True).start()
    _tune_process()
    ping_grace.seconds = PING_GRACE_SECONDS
    this_process.kind = ProcessKind.WORKER
    threading.excepthook = exit_when_thread_dies
    broker = get_broker()
    broker.broker_id = child.worker_id
    suspects.board = child.board
    tracing.start("worker")
    processes.start_reporting()
    broker.emit_after("process_boot")
    worker, queue = _started(broker)
    structlog.get_logger().info("worker.ready", pid=os.getpid(), threads=settings().worker_threads)
    stop.wait()
    _end(worker, queue)


def _beat(child: "Child") -> None:
    while True:
        child.beat()
        time.sleep(BETWEEN_HEARTBEATS_SECONDS)


def _started(broker: "Broker") -> "tuple[Worker, WorkQueue]":
    """Starts the worker's threads; returns the worker and its work queue, whose `close` wakes waiting threads."""
    from dramatiq import Worker  # noqa: PLC0415

    from runtime.settings import settings  # noqa: PLC0415
    from workers.work_queue import WorkQueue  # noqa: PLC0415

    worker = Worker(broker, worker_threads=settings().worker_threads, worker_timeout=IDLE_MS)
    worker.work_queue = queue = WorkQueue()
    worker.start()
    for thread in worker.workers:
        thread.timeout = IDLE_THREAD_POLL_SECONDS
    return worker, queue


def _end(worker: "Worker", queue: "WorkQueue") -> None:
    """Lets threads finish begun messages, returns other messages to their queues, and closes connections.

    Waits at most SPENDGATE_SHUTDOWN_SECONDS for the threads.
    """
    from delivery.redis.broker import SpendgateBroker  # noqa: PLC0415
    from runtime import tracing  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415

    if isinstance(worker.broker, SpendgateBroker):  # RabbitMQ's consumers end with their connections
        worker.broker.is_ending = True
    for thread in worker.workers:
        thread.stop()
    queue.close()
    worker.stop(timeout=settings().shutdown_seconds * 1000)
    worker.broker.close()
    tracing.stop()


def _tune_process() -> None:
    """Sets the thread switch interval, malloc and garbage collection for batches of many small objects."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    with suppress(AttributeError, OSError):  # the C library is not glibc
        for number, value in MALLOPT.items():
            ctypes.CDLL(None).mallopt(number, value)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def exit_when_thread_dies(died: "threading.ExceptHookArgs") -> None:
    """Ends the process with THREAD_DIED_EXIT after an uncaught exception in a thread; the master starts a new process.

    A process that lost a thread would keep its messages and not work on them.
    """
    import structlog  # noqa: PLC0415

    error = died.exc_value
    structlog.get_logger().critical("worker.thread_died", error=type(error).__name__, exc_info=error)
    os._exit(THREAD_DIED_EXIT)


if __name__ == "__main__":
    sys.exit(main())
