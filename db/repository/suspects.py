"""Messages with which a process died: how many deaths are surely their doing."""

from datetime import datetime

from sqlalchemy import Connection, text

# Notes that a process works on it alone from now on. If it comes back, that process died with it.
BEGIN = text("""
    INSERT INTO suspect_messages AS suspect (message_id, deaths, since) VALUES (:message_id, :known_deaths, :at)
    ON CONFLICT (message_id) DO UPDATE SET deaths = suspect.deaths + 1
    RETURNING deaths
""")

END = text("DELETE FROM suspect_messages WHERE message_id = :message_id")

FORGET = text("DELETE FROM suspect_messages WHERE since < :before")


def begin(connection: Connection, message_id: str, known_deaths: int, at: datetime) -> int:
    """Counts the message as begun alone; returns the deaths before. `known_deaths` is how many the first time."""
    deaths: int = connection.execute(
        BEGIN, {"message_id": message_id, "known_deaths": known_deaths, "at": at}
    ).scalar_one()
    return deaths


def end(connection: Connection, message_id: str) -> None:
    """The message killed nobody this time."""
    connection.execute(END, {"message_id": message_id})


def forget(connection: Connection, before: datetime) -> None:
    """Drops what never came back."""
    connection.execute(FORGET, {"before": before})
