"""`python -m workers`: the worker processes that the settings ask for, under a master that starts anew what dies."""

import ctypes
import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.master import Child

COLLECTED_AFTER = (50_000, 20, 100)
"""Objects until the garbage is collected: a batch of events is thousands, none of them in a ring."""

THREAD_DIED_EXIT = 70
SWITCH_SECONDS = 0.05
"""How long a thread may compute before another takes its place: whoever commits for many should not be interrupted."""

MALLOPT = {-8: 1, -3: 131_072, -1: 1_000_000}
"""What glibc is told, by its numbers: one arena for all threads, pages of its own for a message, what is free goes.

Left to itself it makes an arena for each thread, and a worker grows by half before it has seen all there is to see.
"""

CONNECTIONS_TRUSTED_SECONDS = 1.0
"""So long after its use a connection is not asked whether it lives: if not, the message is worked on again."""

IDLE_MS = 2_000
"""The longest an idle consumer waits for Redis to tell of a message: then it shows that it lives and looks itself."""

THREADS_LOOK_UP_SECONDS = 60.0
"""How long a thread without work waits until it looks whether it shall end; the end wakes it."""


def main() -> int:
    """Runs until SIGTERM or SIGINT; returns 0, or 2 for a bad setting."""
    import workers.main  # noqa: F401, PLC0415 - checks the settings and configures the logs before any fork
    from delivery.broker import get_broker  # noqa: PLC0415
    from delivery.queue_health import log_concerns  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415
    from workers.master import Master  # noqa: PLC0415

    read = settings()
    log_concerns()
    master = Master(
        work,
        get_broker().give_back,
        processes=read.worker_processes,
        threads=read.worker_threads,
        shutdown_seconds=read.shutdown_seconds,
    )
    return master.run()


def work(child: "Child") -> None:
    """A worker process: works on every queue until SIGTERM, then ends what it has begun and gives back the rest."""
    import structlog  # noqa: PLC0415
    from dramatiq import Worker  # noqa: PLC0415

    from db.engine import PingGrace  # noqa: PLC0415
    from delivery.broker import get_broker, suspects  # noqa: PLC0415
    from delivery.redis.broker import SpendgateBroker  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415
    from runtime.signals import Stop  # noqa: PLC0415
    from workers.work_queue import WorkQueue  # noqa: PLC0415

    stop = Stop()
    signal.signal(signal.SIGTERM, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.setswitchinterval(SWITCH_SECONDS)
    with suppress(AttributeError, OSError):  # another C library
        for number, value in MALLOPT.items():
            ctypes.CDLL(None).mallopt(number, value)
    PingGrace.seconds = CONNECTIONS_TRUSTED_SECONDS
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)
    threading.excepthook = die_with_the_thread
    broker = get_broker()
    broker.broker_id = child.worker_id
    suspects.board = child.board
    broker.emit_after("process_boot")
    worker = Worker(broker, worker_threads=settings().worker_threads, worker_timeout=IDLE_MS)
    worker.work_queue = WorkQueue()
    worker.start()
    for thread in worker.workers:
        thread.timeout = THREADS_LOOK_UP_SECONDS
    structlog.get_logger().info("worker.ready", threads=settings().worker_threads)
    stop.wait()
    if isinstance(broker, SpendgateBroker):  # RabbitMQ's consumers end with their connections
        broker.is_ending = True
    for thread in worker.workers:
        thread.stop()
    worker.work_queue.close()
    worker.stop(timeout=settings().shutdown_seconds * 1000)
    broker.close()


def die_with_the_thread(died: "threading.ExceptHookArgs") -> None:
    """A process of which a thread has died must not look alive: the master starts another, which gets what it held."""
    import structlog  # noqa: PLC0415

    error = died.exc_value
    structlog.get_logger().critical("worker.thread_died", error=type(error).__name__, exc_info=error)
    os._exit(THREAD_DIED_EXIT)


if __name__ == "__main__":
    sys.exit(main())
