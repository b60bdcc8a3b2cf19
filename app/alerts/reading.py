"""The open alerts that need a person, in words, for the dashboard, the command line and the API."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from app.alerts import words
from db.repository.alerts import reading
from runtime.formats import instant


class Shown(NamedTuple):
    """An alert with its sentence, its advice and the path of the page where a person can act."""

    row: dict[str, Any]
    sentence: str
    advice: str
    path: str

    @property
    def id(self) -> int:
        """The alert's id."""
        return int(self.row["id"])

    def marks(self) -> list[str]:
        """Phrases such as «acknowledged by ops@example.com» and «muted until …»; empty if the alert is neither."""
        by, until = self.row["acknowledged_by"], self.row["muted_until"]
        acknowledged = [f"acknowledged by {by}"] if by else []
        return acknowledged + ([f"muted until {instant(until)}"] if until else [])

    def fields(self) -> dict[str, Any]:
        """The alert as fields for JSON."""
        hidden = {"matching", "time_zone", "currency"}
        kept = {name: value for name, value in self.row.items() if name not in hidden}
        return kept | {"sentence": self.sentence, "advice": self.advice, "path": self.path}


class Needs(NamedTuple):
    """Open alerts, worst first. `more`: the number of matching alerts that were left out because of the limit.

    `hidden`: the number of open alerts of the same brands that are acknowledged or muted.
    """

    alerts: list[Shown]
    more: int
    hidden: int


def shown(row: dict[str, Any]) -> Shown:
    """The alert of `row`, a row of `db.repository.alerts.reading`, with its sentence, its advice and its page."""
    return Shown(row, words.sentence(row), words.advice(row), words.place(row))


def needs_people(
    connection: Connection, at: datetime, limit: int, *, brand_id: int | None = None, everything: bool = False
) -> Needs:
    """The first `limit` open alerts, worst first, without acknowledged ones and ones muted at `at` for all channels.

    `brand_id`: the only brand; None: all. `everything`: acknowledged and muted alerts too, after the others.
    """
    rows = reading.open_alerts(connection, at, limit, brand_id=brand_id, everything=everything)
    hidden = reading.hidden(connection, at, brand_id)
    matching = rows[0]["matching"] if rows else 0
    return Needs([shown(row) for row in rows], matching - len(rows), hidden)
