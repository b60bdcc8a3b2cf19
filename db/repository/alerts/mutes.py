"""Mutes, and the thresholds of brands: what people set about alerts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.shared.rows import plain
from domain.errors import InvalidValue

MUTE = text("""
    INSERT INTO alert_mutes (brand_id, kind, alert_id, channel_id, until, muted_at, muted_by)
    VALUES (:brand_id, :kind, :alert_id, :channel_id, :until, :at, :by)
    RETURNING id
""")

UNMUTE = text("DELETE FROM alert_mutes WHERE id = :id RETURNING brand_id, kind, alert_id, channel_id, until")

MUTES = text("""
    SELECT alert_mutes.id, alert_mutes.brand_id, brands.name AS brand, kind, alert_id, channel_id,
        alert_channels.name AS channel, until, muted_at, muted_by
    FROM alert_mutes LEFT JOIN brands ON brands.id = alert_mutes.brand_id
    LEFT JOIN alert_channels ON alert_channels.id = channel_id
    WHERE until > :at ORDER BY until, alert_mutes.id
""")

FORGET = text("DELETE FROM alert_mutes WHERE until < :before")

THRESHOLDS = text("SELECT thresholds FROM alert_settings WHERE brand_id = :brand_id")

SET_THRESHOLDS = text("""
    INSERT INTO alert_settings (brand_id, thresholds, changed_at)
    VALUES (:brand_id, CAST(:thresholds AS integer[]), :at)
    ON CONFLICT (brand_id) DO UPDATE SET thresholds = excluded.thresholds, changed_at = excluded.changed_at
""")


class Muted(NamedTuple):
    """The alerts that a mute is about: of a brand, a kind, one alert, for one channel. None: of or for all."""

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
        raise InvalidValue("mute", f"there is no mute {mute_id}")
    note(connection, edit, "remove", Subject("alert_mute", mute_id, row["brand_id"]), dict(row), None)


def mutes(connection: Connection, at: datetime) -> list[dict[str, Any]]:
    """The mutes in force at `at`, the one that ends first first."""
    return plain(connection.execute(MUTES, {"at": at}))


def forget(connection: Connection, before: datetime) -> None:
    """Deletes the mutes that ended before that moment."""
    connection.execute(FORGET, {"before": before})


def thresholds(connection: Connection, brand_id: int) -> tuple[int, ...] | None:
    """The brand's own thresholds in percent; None if it has the default ones."""
    found: Sequence[int] | None = connection.scalar(THRESHOLDS, {"brand_id": brand_id})
    return None if found is None else tuple(found)


def set_thresholds(connection: Connection, brand_id: int, percents: Sequence[int], edit: Edit) -> None:
    """Stores the brand's thresholds in percent; none: its budgets raise no threshold."""
    old = thresholds(connection, brand_id)
    connection.execute(SET_THRESHOLDS, {"brand_id": brand_id, "thresholds": list(percents), "at": edit.at})
    before = None if old is None else {"thresholds": list(old)}
    subject = Subject("alert_settings", brand_id, brand_id)
    note(connection, edit, "edit", subject, before, {"thresholds": list(percents)})
