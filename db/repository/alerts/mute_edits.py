"""Edits of mutes and thresholds by people."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.alerts.mutes import thresholds
from domain.errors import InvalidValue, NotFound

MUTE = text("""
    INSERT INTO alert_mutes (brand_id, kind, alert_id, channel_id, until, muted_at, muted_by)
    VALUES (:brand_id, :kind, :alert_id, :channel_id, :until, :at, :by)
    RETURNING id
""")

UNMUTE = text("DELETE FROM alert_mutes WHERE id = :id RETURNING brand_id, kind, alert_id, channel_id, until")

SET_THRESHOLDS = text("""
    INSERT INTO alert_settings (brand_id, thresholds, changed_at)
    VALUES (:brand_id, CAST(:thresholds AS integer[]), :at)
    ON CONFLICT (brand_id) DO UPDATE SET thresholds = excluded.thresholds, changed_at = excluded.changed_at
""")


class Muted(NamedTuple):
    """The alerts that a mute keeps from being sent: of a brand, a kind, or one alert, by one channel. None: any."""

    brand_id: int | None = None
    kind: str | None = None
    alert_id: int | None = None
    channel_id: int | None = None


def mute(connection: Connection, muted: Muted, until: datetime, edit: Edit) -> int:
    """Stores a mute and returns its id. Raises InvalidValue if `until` is past."""
    if until <= edit.at:
        raise InvalidValue("until", "is past")
    values = {**muted._asdict(), "until": until}
    made = int(connection.execute(MUTE, values | {"at": edit.at, "by": edit.by}).scalar_one())
    note(connection, edit, "create", Subject("alert_mute", made, muted.brand_id), None, values)
    return made


def unmute(connection: Connection, mute_id: int, edit: Edit) -> None:
    """Ends a mute. Raises InvalidValue if there is none."""
    row = connection.execute(UNMUTE, {"id": mute_id}).mappings().first()
    if row is None:
        raise NotFound("mute", f"there is no mute {mute_id}")
    note(connection, edit, "remove", Subject("alert_mute", mute_id, row["brand_id"]), dict(row), None)


def set_thresholds(connection: Connection, brand_id: int, percents: Sequence[int], edit: Edit) -> None:
    """Stores the brand's thresholds in percent of the limit; if empty, its budgets raise no threshold alerts."""
    old = thresholds(connection, brand_id)
    connection.execute(SET_THRESHOLDS, {"brand_id": brand_id, "thresholds": list(percents), "at": edit.at})
    before = None if old is None else {"thresholds": list(old)}
    subject = Subject("alert_settings", brand_id, brand_id)
    note(connection, edit, "edit", subject, before, {"thresholds": list(percents)})
