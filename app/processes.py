"""Reports of a running process: at its start and each minute, it compares its clock and stores that it is alive.

A worker also marks its queue with the epoch of its database (a text that is another one for each database, and after a
restored backup), so that it notices workers of another database on its queue.
"""

import os
import socket
import threading
from importlib import metadata
from typing import Final
from uuid import uuid4

import structlog
from dramatiq.errors import BrokerConnectionError
from sqlalchemy.exc import SQLAlchemyError

from app import clock_guard
from app.ingest.locked_brands import locked_brands
from db.connections import ProcessKind, this_process
from db.engine import snapshot, transaction
from db.failures import TRANSIENT_ERRORS
from db.repository.health import processes
from db.repository.health.processes import Process
from db.repository.reading import status_feed
from delivery.broker import get_broker

log = structlog.get_logger()

REPORT_SECONDS: Final = 60.0


def start_reporting() -> None:
    """Reports once, before the process works, and from then on each minute in a thread of its own."""
    process = Process(
        uuid4(), this_process.kind, metadata.version("spendgate"), socket.gethostname(), os.getpid(), None
    )
    report(process)
    threading.Thread(target=_report_for_ever, args=(process,), name="reports", daemon=True).start()


def _report_for_ever(process: Process) -> None:
    pause = threading.Event()
    while not pause.wait(REPORT_SECONDS):
        report(process)


def report(process: Process) -> None:
    """Compares this machine's clock with Postgres's and stores the process's row; in a worker, also marks the queue.

    Before that, forgets locked brands whose next try is long overdue. Logs, and raises nothing, if a server does not
    answer or Postgres has no table for the row yet.
    """
    locked_brands.forget_stale()
    try:
        with transaction() as connection:
            offset = clock_guard.check(connection)
        with transaction() as connection:
            processes.report(connection, process._replace(clock_offset=offset))
        if process.kind == ProcessKind.WORKER:
            mark_queue()
    except (SQLAlchemyError, BrokerConnectionError, *TRANSIENT_ERRORS) as error:
        log.info("process.not_reported", error=type(error).__name__)


def mark_queue() -> None:
    """Marks the queue with the epoch of this database; logs a warning if it had another mark.

    Such a mark is of another database, or of this one before a backup was restored. Raises BrokerConnectionError if the
    broker does not answer.
    """
    with snapshot() as connection:
        epoch = status_feed.epoch(connection)
    before = get_broker().mark(epoch)
    if before not in {None, epoch}:
        log.warning("queue.of_another_database", epoch=epoch, epoch_before=before)
