"""Stores suspects: messages in process when a worker process died, then processed alone, with their deaths counted."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

BEGUN_BY = text("SELECT begun_by FROM suspect_messages WHERE message_id = :message_id FOR UPDATE")

# Records that a process now works on the message alone. If it dies, the next process that begins counts the death.
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
    """A suspect message that a worker process begins to process alone.

    `begun_by`: the id of that worker process. `known_deaths`: the deaths to store if the message has no row yet.
    """

    message_id: str
    begun_by: str
    known_deaths: int


def begun_by(connection: Connection, message_id: str) -> str | None:
    """Locks the suspect's row until the transaction ends; returns the id of the worker process that processes it alone.

    That process has not finished; it may have died. None if the message has no row.
    """
    worker_id: str | None = connection.scalar(BEGUN_BY, {"message_id": message_id})
    return worker_id


def begin(connection: Connection, suspect: Suspect, at: datetime, *, has_died: bool) -> int:
    """Records that a worker process begins to process the suspect alone; returns how many processes died with it.

    `has_died`: the process that began it before has died, which counts as one more death.
    """
    deaths: int = connection.execute(BEGIN, {**suspect._asdict(), "died": has_died, "at": at}).scalar_one()
    return deaths


def end(connection: Connection, message_id: str) -> None:
    """Deletes the suspect: a process finished it without dying."""
    connection.execute(END, {"message_id": message_id})


def forget(connection: Connection, before: datetime) -> None:
    """Deletes suspects that were recorded before `before`, such as of messages that are not delivered again."""
    connection.execute(FORGET, {"before": before})
