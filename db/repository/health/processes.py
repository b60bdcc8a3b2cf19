"""Stores which processes run, by the time of Postgres's clock, because the clock of a process may be wrong."""

from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

LIVE_SECONDS: Final = 180.0
"""Seconds after its last report until a process counts as gone: three intervals of reports."""

# Writes that a process is alive.
REPORT = text("""
    INSERT INTO processes (id, kind, version, host, pid, clock_offset)
    VALUES (:id, :kind, :version, :host, :pid, CAST(:clock_offset AS interval))
    ON CONFLICT (id) DO UPDATE
    SET seen_at = greatest(processes.seen_at, excluded.seen_at), clock_offset = excluded.clock_offset
""")

# Deletes the rows of processes that have not reported for a day.
FORGET = text("DELETE FROM processes WHERE seen_at < now() - interval '1 day'")

# The processes that reported lately.
LIVE = text("""
    SELECT id, kind, version, host, pid, clock_offset FROM processes
    WHERE seen_at > now() - make_interval(secs => :seconds) ORDER BY kind, host, pid
""")


class Process(NamedTuple):
    """A process that reports. `clock_offset`: how far its clock is behind Postgres's, negative if ahead.

    `clock_offset` None: the process runs on a clock that is set, not on real time.
    """

    id: UUID
    kind: str
    version: str
    host: str
    pid: int
    clock_offset: timedelta | None


def report(connection: Connection, process: Process) -> None:
    """Writes that this process is alive, and deletes the rows of processes that have not reported for a day."""
    connection.execute(FORGET)
    connection.execute(REPORT, process._asdict())


def live(connection: Connection) -> list[Process]:
    """The processes that reported within LIVE_SECONDS."""
    return [Process(*row) for row in connection.execute(LIVE, {"seconds": LIVE_SECONDS})]
