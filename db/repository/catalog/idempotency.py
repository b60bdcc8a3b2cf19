"""Idempotency keys: a program that retries a create request with the same key gets the first answer again."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

# Claims the key, waiting for a transaction that is claiming it. A key older than a day can be claimed again; the
# function forget_expired deletes it at that age.
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


class KeyUse(NamedTuple):
    """A use of an idempotency key that the program chose. `request_hash`: a hash of the request's content."""

    api_key_id: int
    key: str
    request_hash: bytes


class Answer(NamedTuple):
    """An HTTP answer: status, headers and JSON body."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class KeyReused(Exception):
    """The idempotency key was used before for a request with other content."""


def claim(connection: Connection, key_use: KeyUse, at: datetime) -> Answer | None:
    """Claims the key and returns None, or returns the answer stored under it within the last 24 hours.

    Raises KeyReused if the key was used for another request.
    """
    if connection.scalar(CLAIM, {**key_use._asdict(), "at": at}) is not None:
        return None
    kept = connection.execute(KEPT, {"api_key_id": key_use.api_key_id, "key": key_use.key}).one()
    if bytes(kept.request_hash) != key_use.request_hash:
        raise KeyReused
    return Answer(kept.status, kept.headers, kept.body)


def keep(connection: Connection, key_use: KeyUse, answer: Answer) -> None:
    """Stores the answer under the claimed key, in the same transaction as the rows that the request created."""
    parameters = {
        "api_key_id": key_use.api_key_id,
        "key": key_use.key,
        "status": answer.status,
        "headers": json.dumps(answer.headers),
        "body": json.dumps(answer.body),
    }
    connection.execute(KEEP, parameters)
