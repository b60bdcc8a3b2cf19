"""Stores campaigns' statuses on their platform, and the confirmations among them for reports and accounts' bounds."""

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
    """Stores the rows after the steps; adds those to the history whose desired status was confirmed at `at`.

    `steps_taken`: (before, after) pairs of rows.
    """
    rows.keep(connection, account, [after for _, after in steps_taken])
    confirmed = [after for before, after in steps_taken if steps.is_newly_confirmed(before, after, at)]
    confirmations.add(connection, account, confirmed)
