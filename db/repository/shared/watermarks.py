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

# A late or repeated run does not lower a watermark. A watermark after the time of the run dates from a clock that ran
# ahead, and is set back; the minute is for runs side by side. The floor of the ledger is never set back.
RAISE = text("""
    INSERT INTO watermarks AS known (name, reached_at) VALUES (:name, :at)
    ON CONFLICT (name) DO UPDATE SET reached_at = CASE
        WHEN known.reached_at > CAST(:now AS timestamptz) + interval '1 minute' AND known.name <> 'ledger_floor'
            THEN excluded.reached_at
        ELSE greatest(known.reached_at, excluded.reached_at)
    END
""")


def reached(connection: Connection, name: str) -> datetime | None:
    """The moment up to which the job's work is done; None before its first run."""
    reached_at: datetime | None = connection.scalar(REACHED, {"name": name})
    return reached_at


def reached_by(connection: Connection, name: str, at: datetime) -> datetime | None:
    """The moment up to which the job's work is done; None before its first run, and if that moment is after `at`.

    So a clock that once ran ahead does not stop the job.
    """
    reached_at = reached(connection, name)
    return None if reached_at is None or reached_at > at else reached_at


def raise_to(connection: Connection, name: str, at: datetime, now: datetime | None = None) -> None:
    """Stores the moment `at` as the watermark up to which the job's work is done; keeps a later one.

    `now`: the time of the run; None: `at`. A watermark more than a minute after it is set back to `at`, as `reached_by`
    ignored it; otherwise each run would begin anew until the clock reaches it. The floor of the ledger is never set
    back.
    """
    connection.execute(RAISE, {"name": name, "at": at, "now": now or at})
