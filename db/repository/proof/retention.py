"""Deletes rows of sealed histories that are past the retention which `spendgate migrate` stored."""

from typing import Final

from sqlalchemy import Connection, text

FORGETTABLE: Final = ("rejected_events", "audit_entries")
"""The histories with a retention. Rows of other histories are never deleted: checks of statuses or limits need them."""

ROWS_A_BATCH: Final = 5_000
"""About the most rows that one transaction deletes; the rows of one seal are always deleted together."""

FORGET = text("SELECT forget_history(:history, :at_most)")


def forget(connection: Connection, history: str) -> int:
    """Deletes the oldest rows of the history that are past its retention; returns how many, 0 if it has no retention.

    Deletes the rows of whole seals: those that begin within the first ROWS_A_BATCH rows, so that it may be more rows.
    """
    removed: int = connection.scalar(FORGET, {"history": history, "at_most": ROWS_A_BATCH}) or 0
    return removed
