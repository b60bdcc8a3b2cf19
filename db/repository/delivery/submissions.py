"""Finds the messages of one `spendgate send --wait` (a submission) that were stored as rejected, by their receipts."""

from datetime import datetime

from sqlalchemy import Connection, text

# The messages of one submission that were stored as rejected, each with its number of inputs.
REJECTED_MESSAGES = text("""
    SELECT receipt, max(CASE
        WHEN json_typeof(payload #> '{kwargs,events}') = 'array' THEN json_array_length(payload #> '{kwargs,events}')
        WHEN json_typeof(payload #> '{kwargs,totals}') = 'array' THEN json_array_length(payload #> '{kwargs,totals}')
        ELSE 1
    END) AS inputs
    FROM rejected_events
    WHERE received_at >= :since AND receipt LIKE :pattern
    GROUP BY receipt
""")


def rejected_messages(connection: Connection, submission: str, since: datetime) -> dict[str, int]:
    """The number of inputs of each message of the submission that was stored as rejected since `since`, by receipt."""
    rows = connection.execute(REJECTED_MESSAGES, {"since": since, "pattern": f"{submission}/%"})
    return {row.receipt: row.inputs for row in rows}
