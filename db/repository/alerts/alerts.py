"""Raises, reopens, resolves and deletes alerts, and reads them by id."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from db.repository.shared import locks
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.deletions import ROWS_A_BATCH
from db.repository.shared.locks import Lock
from db.repository.shared.rows import plain
from domain.alerts.kinds import AlertKind, Ending
from domain.alerts.states import Condition, KnownAlert
from domain.errors import NotFound

# The open alerts of a kind, and all alerts of that kind with one of these subjects.
KNOWN = text("""
    SELECT id, subject, episode, threshold, state = 'open' FROM alerts
    WHERE kind = :kind AND (state = 'open' OR subject = ANY(CAST(:subjects AS text[])))
    ORDER BY id
""")

# An alert of the same subject, episode and threshold, or an open one of the same subject, was raised meanwhile: then
# there is nothing to raise.
RAISE = text("""
    INSERT INTO alerts (brand_id, campaign_id, budget_id, kind, threshold, subject, episode, window_first_day,
        raised_at, figures)
    SELECT brand_id, campaign_id, budget_id, kind, threshold, subject, episode, window_first_day, :at, figures
    FROM jsonb_to_recordset(CAST(:conditions AS jsonb)) AS condition(
        brand_id bigint, campaign_id bigint, budget_id bigint, kind text, threshold integer, subject text,
        episode text, window_first_day date, figures jsonb
    )
    ON CONFLICT DO NOTHING
    RETURNING id
""")

REOPEN = text("""
    UPDATE alerts SET state = 'open', resolved_at = NULL, resolved_because = NULL
    WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'resolved'
        AND NOT EXISTS (
            SELECT FROM alerts AS other
            WHERE other.kind = alerts.kind AND other.subject = alerts.subject AND other.state = 'open'
        )
""")

RESOLVE = text("""
    UPDATE alerts SET state = 'resolved', resolved_at = :at, resolved_because = ending.because
    FROM unnest(CAST(:ids AS bigint[]), CAST(:endings AS text[])) AS ending(id, because)
    WHERE alerts.id = ending.id AND state = 'open'
    RETURNING alerts.id
""")

FIELDS: Final = """
    alerts.id, alerts.brand_id, brands.name AS brand, brands.time_zone, brands.currency, campaign_id,
    campaigns.name AS campaign, budget_id, kind, threshold, subject, episode, window_first_day, state, raised_at,
    resolved_at, resolved_because, acknowledged_at, acknowledged_by, figures
"""

NAMED: Final = """
    FROM alerts LEFT JOIN brands ON brands.id = alerts.brand_id
    LEFT JOIN campaigns ON campaigns.brand_id = alerts.brand_id AND campaigns.id = campaign_id
"""

BY_ID = text(f"SELECT {FIELDS} {NAMED} WHERE alerts.id = ANY(CAST(:ids AS bigint[])) ORDER BY alerts.id")

FORGET = text("""
    DELETE FROM alerts
    WHERE id IN (SELECT id FROM alerts WHERE state = 'resolved' AND resolved_at < :before LIMIT :limit)
""")


def is_only_evaluation(connection: Connection) -> bool:
    """Takes the lock for the evaluation of alerts until the transaction ends; False if another transaction has it."""
    return locks.take_if_free(connection, Lock.ALERTS)


def known(connection: Connection, kind: AlertKind, subjects: Sequence[str]) -> list[KnownAlert]:
    """All open alerts of the kind, and the resolved ones of the given subjects, in id order."""
    rows = connection.execute(KNOWN, {"kind": kind, "subjects": text_array_of(subjects)})
    return [KnownAlert(*row) for row in rows]


def raise_all(connection: Connection, conditions: Sequence[Condition], at: datetime) -> list[int]:
    """Stores an open alert for each condition; returns the ids of the new alerts.

    Leaves out conditions whose subject has an open alert, or had one of the same episode and threshold.
    """
    if not conditions:
        return []
    rows = [
        {
            "brand_id": one.brand_id,
            "campaign_id": one.campaign_id,
            "budget_id": one.budget_id,
            "kind": one.kind,
            "threshold": one.threshold,
            "subject": one.subject,
            "episode": one.episode,
            "window_first_day": one.window_first_day,
            "figures": dict(one.figures),
        }
        for one in conditions
    ]
    return list(connection.scalars(RAISE, {"conditions": json.dumps(rows, default=str), "at": at}))


def reopen(connection: Connection, ids: Sequence[int]) -> None:
    """Opens resolved alerts again, unless another alert of their kind and subject is open. Sends no message."""
    if ids:
        connection.execute(REOPEN, {"ids": array_of(ids)})


def resolve(connection: Connection, endings: Mapping[int, Ending], at: datetime) -> list[int]:
    """Resolves the alerts in `endings` that are open, for the reason given there by alert id; returns their ids."""
    if not endings:
        return []
    parameters = {"ids": array_of(endings), "endings": array_of(endings.values()), "at": at}
    return list(connection.scalars(RESOLVE, parameters))


def of_ids(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The alerts with these ids, each with the names of its brand and campaign, in id order."""
    return plain(connection.execute(BY_ID, {"ids": array_of(ids)}))


def required(connection: Connection, alert_id: int) -> dict[str, Any]:
    """The alert, with the names of its brand and campaign. Raises InvalidValue if there is no such alert."""
    found = of_ids(connection, [alert_id])
    if not found:
        raise NotFound("alert", f"there is no alert {alert_id}")
    return found[0]


def forget(connection: Connection, before: datetime) -> int:
    """Deletes at most ROWS_A_BATCH alerts that were resolved before that moment; returns how many."""
    return connection.execute(FORGET, {"before": before, "limit": ROWS_A_BATCH}).rowcount
