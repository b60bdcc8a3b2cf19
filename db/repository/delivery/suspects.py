"""Messages with which a process died: how many deaths are surely their doing."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

BEGUN_BY = text("SELECT begun_by FROM suspect_messages WHERE message_id = :message_id FOR UPDATE")

# Notes that a process works on it alone from now on. If that process dies, whoever is next counts it.
BEGIN = text("""
    INSERT INTO suspect_messages AS suspect (message_id, begun_by, deaths, since)
    VALUES (:message_id, :begun_by, :known_deaths, :at)
    ON CONFLICT (message_id)
    DO UPDATE SET begun_by = excluded.begun_by, deaths = suspect.deaths + CAST(:died AS integer)
    RETURNING deaths
""")

END = text("DELETE FROM suspect_messages WHERE message_id = :message_id")

FORGET = text("DELETE FROM suspect_messages WHERE since < :before")


class Suspect(NamedTuple):
    """A message, the worker process that begins it alone, and the deaths known when it first does."""

    message_id: str
    begun_by: str
    known_deaths: int


def begun_by(connection: Connection, message_id: str) -> str | None:
    """The worker process that began the message alone and has not ended it; None where there is none."""
    worker_id: str | None = connection.scalar(BEGUN_BY, {"message_id": message_id})
    return worker_id


def begin(connection: Connection, suspect: Suspect, at: datetime, *, has_died: bool) -> int:
    """Counts it as begun alone; `has_died`: whoever began it before died with it. Returns the deaths so far."""
    deaths: int = connection.execute(BEGIN, {**suspect._asdict(), "died": has_died, "at": at}).scalar_one()
    return deaths


def end(connection: Connection, message_id: str) -> None:
    """The message killed nobody this time."""
    connection.execute(END, {"message_id": message_id})


def forget(connection: Connection, before: datetime) -> None:
    """Drops what never came back."""
    connection.execute(FORGET, {"before": before})
