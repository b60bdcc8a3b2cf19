"""Channels and their routes: created, listed and removed by people, and claimed by the worker that sends."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.shared.rows import plain
from domain.errors import InvalidValue

ADD = text("""
    INSERT INTO alert_channels (name, scheme, encrypted_url, created_at, created_by)
    VALUES (:name, :scheme, :encrypted_url, :at, :by)
    ON CONFLICT (name) DO NOTHING RETURNING id
""")

REMOVE = text("DELETE FROM alert_channels WHERE id = :id RETURNING name, scheme")

CHANNELS = text("""
    SELECT alert_channels.id, name, scheme, created_at, created_by, failing_since, last.attempted_at AS last_sent_at,
        (SELECT count(*) FROM alert_messages
            WHERE channel_id = alert_channels.id AND sent_at IS NULL AND dropped_at IS NULL) AS waiting
    FROM alert_channels
    LEFT JOIN LATERAL (
        SELECT attempted_at FROM alert_attempts WHERE channel_id = alert_channels.id AND is_delivered
        ORDER BY id DESC LIMIT 1
    ) AS last ON true
    WHERE CAST(:id AS bigint) IS NULL OR alert_channels.id = :id
    ORDER BY alert_channels.id
""")

URL = text("SELECT encrypted_url FROM alert_channels WHERE id = :id")

CLAIM = text("""
    UPDATE alert_channels SET claimed_until = :until
    WHERE id = :id AND COALESCE(claimed_until, '-infinity') <= :at
    RETURNING encrypted_url
""")

RELEASE = text("UPDATE alert_channels SET claimed_until = NULL WHERE id = :id")

NOTE_ATTEMPT = text("""
    WITH changed AS (
        UPDATE alert_channels
        SET failing_since = CASE WHEN NOT :is_delivered THEN COALESCE(failing_since, CAST(:at AS timestamptz)) END
        WHERE id = :channel_id AND (failing_since IS NULL) <> :is_delivered
    )
    INSERT INTO alert_attempts (channel_id, purpose, attempted_at, duration_ms, alerts, is_delivered, detail)
    SELECT id, :purpose, :at, :duration_ms, :alerts, :is_delivered, :detail
    FROM alert_channels WHERE id = :channel_id
""")

ATTEMPTS = text("""
    SELECT id, channel_id, purpose, attempted_at, duration_ms, alerts, is_delivered, detail FROM alert_attempts
    WHERE channel_id = :channel_id ORDER BY id DESC LIMIT :limit
""")

FORGET_ATTEMPTS = text("DELETE FROM alert_attempts WHERE attempted_at < :before")

SET_ROUTE = text("""
    INSERT INTO alert_routes AS known (channel_id, brand_id, kind, timing)
    VALUES (:channel_id, :brand_id, :kind, :timing)
    ON CONFLICT (channel_id, brand_id, kind) DO UPDATE SET timing = excluded.timing
    RETURNING id
""")

REMOVE_ROUTE = text("DELETE FROM alert_routes WHERE id = :id RETURNING channel_id, brand_id, kind, timing")

ROUTES = text("""
    SELECT alert_routes.id, channel_id, alert_channels.name AS channel, alert_routes.brand_id, brands.name AS brand,
        kind, timing
    FROM alert_routes JOIN alert_channels ON alert_channels.id = channel_id
    LEFT JOIN brands ON brands.id = alert_routes.brand_id
    ORDER BY channel_id, alert_routes.brand_id NULLS FIRST, kind NULLS FIRST
""")


def add(connection: Connection, name: str, scheme: str, encrypted_url: str, edit: Edit) -> int:
    """Stores a channel and returns its id. Raises InvalidValue if another has the name."""
    values = {"name": name, "scheme": scheme, "encrypted_url": encrypted_url, "at": edit.at, "by": edit.by}
    made: int | None = connection.scalar(ADD, values)
    if made is None:
        raise InvalidValue("name", f"there is a channel {name!r} already")
    note(connection, edit, "create", Subject("alert_channel", made), None, {"name": name, "scheme": scheme})
    return made


def remove(connection: Connection, channel_id: int, edit: Edit) -> None:
    """Removes the channel with its routes, messages and attempts. Raises InvalidValue if there is none."""
    row = connection.execute(REMOVE, {"id": channel_id}).mappings().first()
    if row is None:
        raise _unknown(channel_id)
    note(connection, edit, "remove", Subject("alert_channel", channel_id), dict(row), None)


def channels(connection: Connection) -> list[dict[str, Any]]:
    """All channels in id order, without their URLs, with the last delivery and the number of waiting messages."""
    return plain(connection.execute(CHANNELS, {"id": None}))


def required(connection: Connection, channel_id: int) -> dict[str, Any]:
    """The channel. Raises InvalidValue if there is none."""
    found = plain(connection.execute(CHANNELS, {"id": channel_id}))
    if not found:
        raise _unknown(channel_id)
    return found[0]


def encrypted_url(connection: Connection, channel_id: int) -> str:
    """The channel's encrypted URL. Raises InvalidValue if there is no such channel."""
    found: str | None = connection.scalar(URL, {"id": channel_id})
    if found is None:
        raise _unknown(channel_id)
    return found


def claim(connection: Connection, channel_id: int, at: datetime, until: datetime) -> str | None:
    """Claims the channel for one worker until `until` and returns its encrypted URL; None if another has it."""
    found: str | None = connection.scalar(CLAIM, {"id": channel_id, "at": at, "until": until})
    return found


def release(connection: Connection, channel_id: int) -> None:
    """Ends this worker's claim of the channel."""
    connection.execute(RELEASE, {"id": channel_id})


def note_attempt(
    connection: Connection,
    channel_id: int,
    purpose: str,
    at: datetime,
    *,
    duration_ms: int,
    alerts: int,
    is_delivered: bool,
    detail: str,
) -> None:
    """Stores an attempt, and since when the channel fails. Does nothing if the channel was removed meanwhile."""
    values = {"channel_id": channel_id, "purpose": purpose, "at": at, "duration_ms": duration_ms, "alerts": alerts}
    connection.execute(NOTE_ATTEMPT, values | {"is_delivered": is_delivered, "detail": detail})


def attempts(connection: Connection, channel_id: int, limit: int) -> list[dict[str, Any]]:
    """The channel's last attempts, newest first."""
    return plain(connection.execute(ATTEMPTS, {"channel_id": channel_id, "limit": limit}))


def forget_attempts(connection: Connection, before: datetime) -> None:
    """Deletes the attempts made before that moment."""
    connection.execute(FORGET_ATTEMPTS, {"before": before})


def set_route(
    connection: Connection, channel_id: int, brand_id: int | None, kind: str | None, timing: str, edit: Edit
) -> int:
    """Stores when a channel tells the alerts of this brand and kind (None: of all), and returns the route's id."""
    values = {"channel_id": channel_id, "brand_id": brand_id, "kind": kind, "timing": timing}
    made = int(connection.execute(SET_ROUTE, values).scalar_one())
    note(connection, edit, "edit", Subject("alert_route", made, brand_id), None, values)
    return made


def remove_route(connection: Connection, route_id: int, edit: Edit) -> None:
    """Removes a route. Raises InvalidValue if there is none."""
    row = connection.execute(REMOVE_ROUTE, {"id": route_id}).mappings().first()
    if row is None:
        raise InvalidValue("route", f"there is no route {route_id}")
    note(connection, edit, "remove", Subject("alert_route", route_id, row["brand_id"]), dict(row), None)


def routes(connection: Connection) -> Sequence[dict[str, Any]]:
    """All routes with the names of their channel and brand, in order of channels."""
    return plain(connection.execute(ROUTES))


def _unknown(channel_id: int) -> InvalidValue:
    return InvalidValue("channel", f"there is no channel {channel_id}")
