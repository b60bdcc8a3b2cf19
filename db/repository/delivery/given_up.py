"""Messages that were given up, looked for by the receipt that their sender waits for."""

from datetime import datetime

from sqlalchemy import Connection, text

# Messages of one submission that were kept as rejected, each with how many inputs it holds.
GIVEN_UP = text("""
    SELECT receipt, max(CASE
        WHEN json_typeof(payload #> '{kwargs,events}') = 'array' THEN json_array_length(payload #> '{kwargs,events}')
        WHEN json_typeof(payload #> '{kwargs,totals}') = 'array' THEN json_array_length(payload #> '{kwargs,totals}')
        ELSE 1
    END) AS inputs
    FROM rejected_events
    WHERE received_at >= :since AND receipt LIKE :pattern
    GROUP BY receipt
""")


def given_up(connection: Connection, submission: str, since: datetime) -> dict[str, int]:
    """How many inputs each of the submission's messages holds that were kept as rejected, by receipt."""
    rows = connection.execute(GIVEN_UP, {"since": since, "pattern": f"{submission}/%"})
    return {row.receipt: row.inputs for row in rows}
