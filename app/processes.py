"""Reports of a running process: at its start and each minute, it compares its clock and writes that it is alive."""

import os
import socket
import threading
from importlib import metadata
from typing import Final
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app import clock_guard
from db.connections import this_process
from db.engine import TRANSIENT_ERRORS, transaction
from db.repository.health import processes
from db.repository.health.processes import Process

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
    """Compares the clocks and writes the process's row; logs if Postgres does not answer or has no such table yet."""
    try:
        with transaction() as connection:
            offset = clock_guard.check(connection)
        with transaction() as connection:
            processes.report(connection, process._replace(clock_offset=offset))
    except (SQLAlchemyError, *TRANSIENT_ERRORS) as error:
        log.info("process.not_reported", error=type(error).__name__)
