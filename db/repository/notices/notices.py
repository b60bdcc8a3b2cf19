"""Stores notices: events that are reported once, such as an alert, a stored report or a failed import."""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from db.repository.shared import locks
from db.repository.shared.deletions import ROWS_A_BATCH
from db.repository.shared.locks import Lock

IS_KNOWN = text("SELECT FROM notices WHERE kind = :kind AND key = :key")

# The id is assigned under the lock `notices`, which the transaction keeps until its commit: ids rise in commit order.
ADD = text("""
    INSERT INTO notices (kind, brand_id, key, body, created_at)
    VALUES (:kind, :brand_id, :key, CAST(:body AS jsonb), :at)
    ON CONFLICT (kind, key) DO NOTHING
    RETURNING id
""")

FORGET = text("""
    DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE created_at < :before LIMIT :limit)
""")


class NoticeKind(StrEnum):
    """The kinds of notices; each is also the type of the webhook that delivers it."""

    ALERT_RAISED = "alert.raised"
    ALERT_RESOLVED = "alert.resolved"
    PLATFORM_UNCONFIRMED = "platform.unconfirmed"
    REPORT_READY = "report.ready"
    IMPORT_FAILED = "import.failed"
    ENDPOINT_FAILING = "endpoint.failing"


def add(
    connection: Connection, kind: str, key: str, brand_id: int | None, body: Mapping[str, Any], at: datetime
) -> int | None:
    """Adds a notice and returns its id; None, without a change, if its kind has this key already.

    `kind`: a value of `NoticeKind`. `brand_id`: None for a notice about no single brand. `body`: fields for JSON,
    without secrets. Call it last in a transaction: the lock that it takes until the commit comes after all others.
    """
    named = {"kind": kind, "key": key}
    if connection.execute(IS_KNOWN, named).first() is not None:
        return None
    locks.take(connection, Lock.NOTICES)
    values = named | {"brand_id": brand_id, "body": json.dumps(body), "at": at}
    added: int | None = connection.scalar(ADD, values)
    return added


def forget(connection: Connection, before: datetime) -> int:
    """Deletes at most ROWS_A_BATCH notices added before that moment, which frees their keys; returns how many."""
    return connection.execute(FORGET, {"before": before, "limit": ROWS_A_BATCH}).rowcount
