"""Asks a platform who changed campaigns there: once for each new hold and alert, and only within the quota."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from app.platforms import quota, visits
from app.platforms.claims import Visit
from app.platforms.protocol import Change, Limited, PlatformError
from db.engine import committed
from db.repository.platforms import statuses as rows
from db.repository.platforms.statuses import StoredStatus
from domain.errors import InvalidValue
from domain.reconcile import OVERRIDDEN, REPAUSE_WINDOW, Confirmed

log = structlog.get_logger()

LONGEST_HISTORY: Final = timedelta(days=28)
"""Platforms tell of changes of the last 30 days at least; the rest is for their time zones."""

NAME_LENGTH: Final = 200


def who_changed(visit: Visit, changes: Sequence[Change], since: datetime | None, at: datetime) -> Mapping[str, str]:
    """The names of the people who brought campaigns to these statuses after `since`, as far as the platform tells.

    Empty if the quota allows no request or the platform does not answer, which is logged and not raised.
    """
    if not changes or not quota.reserve(visit.stored.platform, 1):
        return {}
    earliest = max(since or at - LONGEST_HISTORY, at - LONGEST_HISTORY)
    try:
        found = visit.platform.who_changed(visit.account, changes, earliest)
    except Limited as error:
        visits.note_failure(visit.stored, error)
        return {}
    except (PlatformError, InvalidValue) as error:
        named = {"platform": visit.stored.platform, "platform_account_id": visit.stored.id}
        log.warning("platform.failed", error=str(error), **named)
        return {}
    return {external_id: _printable(name) for external_id, name in found.items()}


def name_overriders(visit: Visit, alerts: Sequence[StoredStatus], at: datetime) -> None:
    """Logs campaigns with a new alert, and stores who keeps enabling them, where the platform tells."""
    changes = [Change(row.external_id, Confirmed.ENABLED) for row in alerts]
    names = who_changed(visit, changes, at - REPAUSE_WINDOW, at)
    for row in alerts:
        named = {"platform": visit.stored.platform, "brand_id": row.brand_id, "campaign_id": row.campaign_id}
        log.error("platform.overridden", by=names.get(row.external_id), **named)
    told = {row.campaign_id: names[row.external_id] for row in alerts if row.external_id in names}
    if told:
        committed(partial(_note_overriders, account=visit.stored.id, names=told))


def _note_overriders(connection: Connection, account: int, names: Mapping[int, str]) -> None:
    current = rows.chosen(connection, account, list(names))
    rows.keep(
        connection,
        account,
        [row._replace(last_error=f"{OVERRIDDEN}: {names[campaign_id]}") for campaign_id, row in current.items()],
    )


def _printable(name: str) -> str:
    """The name as one line of bounded length: platforms pass on what people typed."""
    return "".join(character for character in name if character.isprintable()).strip()[:NAME_LENGTH]
