"""Stores the steps of campaigns on their platform, and the confirmations among them for reports and bounds."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from app.platforms import steps
from db.repository.platforms import confirmations
from db.repository.platforms import statuses as rows
from db.repository.platforms.statuses import StoredStatus


def keep_steps(
    connection: Connection, account: int, steps_taken: Sequence[tuple[StoredStatus, StoredStatus]], at: datetime
) -> None:
    """Stores rows, each given before and after its step; adds those that the platform confirmed to the history."""
    rows.keep(connection, account, [after for _, after in steps_taken])
    confirmed = [after for before, after in steps_taken if steps.is_newly_confirmed(before, after, at)]
    confirmations.add(connection, account, confirmed)
