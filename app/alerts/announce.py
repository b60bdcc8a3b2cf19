"""Writes changes of alerts with their notices and messages, and logs them after the commit."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from app.alerts.words import sentence
from db.repository.alerts import alerts, messages
from db.repository.notices import notices
from db.repository.notices.notices import NoticeKind
from domain.alerts.kinds import SENT_ENDINGS, AlertKind
from domain.alerts.states import Changes

log = structlog.get_logger()

NOTICE_OF: Final[Mapping[str, NoticeKind]] = {
    AlertKind.UNCONFIRMED_PAUSE: NoticeKind.PLATFORM_UNCONFIRMED,
}
"""By kind of alert, the kind of the second notice that programs get when such an alert is raised."""


def write(connection: Connection, changes: Changes, at: datetime) -> Callable[[], None]:
    """Stores the changes of alerts; for raised and resolved ones also messages to people and notices to programs.

    Returns a function that logs the raised and resolved alerts, to be called after the commit.
    """
    resolved = alerts.resolve(connection, changes.resolved, at)
    alerts.reopen(connection, changes.reopened)
    raised = alerts.raise_all(connection, changes.raised, at)
    if not raised and not resolved:
        return lambda: None
    rows = {row["id"]: row for row in alerts.of_ids(connection, [*raised, *resolved])}
    told = [alert for alert in resolved if changes.resolved[alert] in SENT_ENDINGS]
    messages.enqueue(connection, raised, "raised", at)
    messages.enqueue(connection, told, "resolved", at)
    for kind, ids in ((NoticeKind.ALERT_RESOLVED, resolved), (NoticeKind.ALERT_RAISED, raised)):
        for alert in ids:
            row = rows[alert]
            notices.add(connection, kind, f"alert:{alert}", row["brand_id"], body_of(row), at)
    for alert in raised:
        row = rows[alert]
        if row["kind"] in NOTICE_OF:
            key = f"{row['subject']}:{row['episode']}"
            notices.add(connection, NOTICE_OF[row["kind"]], key, row["brand_id"], body_of(row), at)
    return partial(_log, [rows[alert] for alert in raised], [rows[alert] for alert in resolved])


def body_of(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of an alert for JSON, with a sentence for people. `row`: a row of `alerts.of_ids`."""
    moments = ("raised_at", "resolved_at", "acknowledged_at", "window_first_day")
    names = (
        *("id", "brand_id", "campaign_id", "budget_id", "kind", "threshold", "subject", "window_first_day"),
        *("state", "raised_at", "resolved_at", "resolved_because", "acknowledged_at", "acknowledged_by", "figures"),
    )
    body = {name: row[name] for name in names}
    body |= {name: body[name].isoformat() for name in moments if body[name] is not None}
    return body | {"sentence": sentence(row)}


def _log(raised: Sequence[dict[str, Any]], resolved: Sequence[dict[str, Any]]) -> None:
    for row in raised:
        log.warning("alert.raised", **_fields(row))
    for row in resolved:
        log.info("alert.resolved", because=row["resolved_because"], **_fields(row))


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    names = ("kind", "threshold", "subject", "brand_id", "campaign_id")
    return {"alert_id": row["id"], **{name: row[name] for name in names}, "figures": row["figures"]}
