"""Watermarks: for each scheduled job, the moment up to which its work is done."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

JOBS: Final = frozenset(
    {
        *("daily_reset", "monthly_reset", "monthly_reports", "monthly_reports_checked"),
        *("brand_hours", "ledger_floor", "sequence_gaps", "counters_compared"),
    }
)
"""The watermarks whose age is monitored. Others exist too, such as `history_seals` and `alerts`."""

REACHED = text("SELECT reached_at FROM watermarks WHERE name = :name")

# A watermark only rises: a late or repeated run does not lower it.
RAISE = text("""
    INSERT INTO watermarks AS known (name, reached_at) VALUES (:name, :at)
    ON CONFLICT (name) DO UPDATE SET reached_at = greatest(known.reached_at, excluded.reached_at)
""")


def reached(connection: Connection, name: str) -> datetime | None:
    """The moment up to which the job's work is done; None before its first run."""
    reached_at: datetime | None = connection.scalar(REACHED, {"name": name})
    return reached_at


def reached_by(connection: Connection, name: str, at: datetime) -> datetime | None:
    """The job's watermark; None before its first run, and if the watermark is after `at`.

    So a clock that once ran ahead does not stop the job.
    """
    reached_at = reached(connection, name)
    return None if reached_at is None or reached_at > at else reached_at


def raise_to(connection: Connection, name: str, at: datetime) -> None:
    """Records that the job's work is done up to `at`; does nothing if the watermark is later."""
    connection.execute(RAISE, {"name": name, "at": at})
