"""How far each scheduled job has come."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

JOBS: Final = frozenset(
    {
        *("daily_reset", "monthly_reset", "monthly_reports", "monthly_reports_checked"),
        *("brand_hours", "ledger_floor", "sequence_gaps", "counters_compared"),
    }
)
"""The watermarks whose age is watched. There may be any number of others, such as one for each imported export."""

REACHED = text("SELECT reached_at FROM watermarks WHERE name = :name")

# A watermark only rises, so that a late or second run does not pull it back.
RAISE = text("""
    INSERT INTO watermarks AS known (name, reached_at) VALUES (:name, :at)
    ON CONFLICT (name) DO UPDATE SET reached_at = greatest(known.reached_at, excluded.reached_at)
""")


def reached(connection: Connection, name: str) -> datetime | None:
    """The moment up to which the job's work is done; None before its first run."""
    found: datetime | None = connection.scalar(REACHED, {"name": name})
    return found


def reached_by(connection: Connection, name: str, at: datetime) -> datetime | None:
    """The same, but None too where it lies after `at`: a clock that was once ahead silences no job."""
    found = reached(connection, name)
    return None if found is None or found > at else found


def raise_to(connection: Connection, name: str, at: datetime) -> None:
    """Records that the job's work is done up to `at`."""
    connection.execute(RAISE, {"name": name, "at": at})
