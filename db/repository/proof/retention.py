"""Deletes rows of sealed histories that are past the retention which `spendgate migrate` stored."""

from typing import Final

from sqlalchemy import Connection, text

FORGETTABLE: Final = ("rejected_events", "audit_entries")
"""Histories with a retention. The others prove today's statuses, limits and reports, and stay."""

ROWS_A_BATCH: Final = 5_000
"""Rows of one transaction; a seal of more rows is deleted whole."""

FORGET = text("SELECT forget_history(:history, :at_most)")


def forget(connection: Connection, history: str) -> int:
    """Deletes the oldest rows of the history that are past its retention; returns how many.

    At most ROWS_A_BATCH rows, or all rows of one seal that covers more.
    """
    removed: int = connection.scalar(FORGET, {"history": history, "at_most": ROWS_A_BATCH}) or 0
    return removed
