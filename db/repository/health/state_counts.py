"""Counts of the service's state for its metrics."""

from sqlalchemy import Connection, text

OPEN_ALERTS = text("SELECT kind, count(*) FROM alerts WHERE state = 'open' GROUP BY kind ORDER BY kind")

UNFINISHED_PASSES = text("SELECT count(*) FROM pending_enforcements")


def open_alerts(connection: Connection) -> dict[str, int]:
    """The number of open alerts by kind; a kind without any is left out."""
    return {str(kind): int(count) for kind, count in connection.execute(OPEN_ALERTS)}


def unfinished_passes(connection: Connection) -> int:
    """The number of brands with very many campaigns whose enforcement is under way, in parts."""
    return int(connection.scalar(UNFINISHED_PASSES) or 0)
