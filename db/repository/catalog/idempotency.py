"""Answers kept for programs that send a create again: the same key and request get the same answer."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

# Waits for another transaction that holds the key; a key older than a day begins anew.
CLAIM = text("""
    INSERT INTO idempotency_keys AS kept (api_key_id, key, request_hash, created_at)
    VALUES (:api_key_id, :key, :request_hash, :at)
    ON CONFLICT (api_key_id, key) DO UPDATE
    SET request_hash = excluded.request_hash, created_at = excluded.created_at,
        status = NULL, headers = NULL, body = NULL
    WHERE kept.created_at <= CAST(:at AS timestamptz) - interval '24 hours'
    RETURNING key
""")

KEPT = text("""
    SELECT request_hash, status, headers, body FROM idempotency_keys WHERE api_key_id = :api_key_id AND key = :key
""")

KEEP = text("""
    UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = CAST(:body AS jsonb)
    WHERE api_key_id = :api_key_id AND key = :key
""")


class Attempt(NamedTuple):
    """One request of a program under an idempotency key of its own choice; the hash tells one request from another."""

    api_key_id: int
    key: str
    request_hash: bytes


class Answer(NamedTuple):
    """What was, or will be, answered."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class KeyReused(Exception):
    """The key came before with another request."""


def claim(connection: Connection, attempt: Attempt, at: datetime) -> Answer | None:
    """Takes the key for this transaction, or returns the answer that was kept under it within the last day.

    Raises KeyReused where the key belongs to another request.
    """
    if connection.scalar(CLAIM, {**attempt._asdict(), "at": at}) is not None:
        return None
    kept = connection.execute(KEPT, {"api_key_id": attempt.api_key_id, "key": attempt.key}).one()
    if bytes(kept.request_hash) != attempt.request_hash:
        raise KeyReused
    return Answer(kept.status, kept.headers, kept.body)


def keep(connection: Connection, attempt: Attempt, answer: Answer) -> None:
    """Keeps the answer with what it tells of, in one commit."""
    parameters = {
        "api_key_id": attempt.api_key_id,
        "key": attempt.key,
        "status": answer.status,
        "headers": json.dumps(answer.headers),
        "body": json.dumps(answer.body),
    }
    connection.execute(KEEP, parameters)
