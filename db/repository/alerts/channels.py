"""Lists channels, their routes and attempts to send; claims channels for the worker that sends; stores its attempts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.shared.deletions import ROWS_A_BATCH
from db.repository.shared.rows import plain
from domain.errors import InvalidValue, NotFound

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

# Ends a claim, which its value identifies: after it passed, another worker may have claimed the channel.
END_CLAIM = text("UPDATE alert_channels SET claimed_until = NULL WHERE id = :id AND claimed_until = :until")

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

# The last :each attempts of each channel.
LAST_ATTEMPTS = text("""
    SELECT tried.* FROM unnest(CAST(:channel_ids AS bigint[])) AS asked (channel_id)
    CROSS JOIN LATERAL (
        SELECT id, channel_id, purpose, attempted_at, duration_ms, alerts, is_delivered, detail FROM alert_attempts
        WHERE alert_attempts.channel_id = asked.channel_id ORDER BY id DESC LIMIT :each
    ) AS tried
    ORDER BY channel_id, id DESC
""")

FORGET_ATTEMPTS = text("""
    DELETE FROM alert_attempts WHERE id IN (SELECT id FROM alert_attempts WHERE attempted_at < :before LIMIT :limit)
""")

ROUTES = text("""
    SELECT alert_routes.id, channel_id, alert_channels.name AS channel, alert_routes.brand_id, brands.name AS brand,
        kind, timing
    FROM alert_routes JOIN alert_channels ON alert_channels.id = channel_id
    LEFT JOIN brands ON brands.id = alert_routes.brand_id
    ORDER BY channel_id, alert_routes.brand_id NULLS FIRST, kind NULLS FIRST
""")


def channels(connection: Connection) -> list[dict[str, Any]]:
    """All channels in id order, without their URLs, with the last delivery and the number of waiting messages."""
    return plain(connection.execute(CHANNELS, {"id": None}))


def required(connection: Connection, channel_id: int) -> dict[str, Any]:
    """The channel, without its URL, with its last delivery and the number of waiting messages.

    Raises InvalidValue if there is no such channel.
    """
    found = plain(connection.execute(CHANNELS, {"id": channel_id}))
    if not found:
        raise unknown(channel_id)
    return found[0]


def encrypted_url(connection: Connection, channel_id: int) -> str:
    """The channel's encrypted URL. Raises InvalidValue if there is no such channel."""
    found: str | None = connection.scalar(URL, {"id": channel_id})
    if found is None:
        raise unknown(channel_id)
    return found


def claim(connection: Connection, channel_id: int, at: datetime, until: datetime) -> str | None:
    """Claims the channel for one worker until `until` and returns its encrypted URL.

    None if another worker's claim is in force at `at`, or the channel was removed.
    """
    found: str | None = connection.scalar(CLAIM, {"id": channel_id, "at": at, "until": until})
    return found


def end_claim(connection: Connection, channel_id: int, until: datetime) -> None:
    """Ends the claim of the channel that lasts until `until`; does nothing if another worker has claimed it since."""
    connection.execute(END_CLAIM, {"id": channel_id, "until": until})


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
    """Stores an attempt to send, and since when the channel fails. Does nothing if the channel was removed meanwhile.

    `purpose`: the kind of text sent. `alerts`: how many alerts it contained.
    """
    values = {"channel_id": channel_id, "purpose": purpose, "at": at, "duration_ms": duration_ms, "alerts": alerts}
    connection.execute(NOTE_ATTEMPT, values | {"is_delivered": is_delivered, "detail": detail})


def attempts(connection: Connection, channel_id: int, limit: int) -> list[dict[str, Any]]:
    """The channel's last attempts, newest first, at most `limit`: the columns of `alert_attempts`."""
    return plain(connection.execute(ATTEMPTS, {"channel_id": channel_id, "limit": limit}))


def last_attempts(connection: Connection, channel_ids: Iterable[int], each: int) -> dict[int, list[dict[str, Any]]]:
    """At most `each` last attempts of each channel, newest first, by channel id; without attempts it is left out."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in plain(connection.execute(LAST_ATTEMPTS, {"channel_ids": list(channel_ids), "each": each})):
        found[row["channel_id"]].append(row)
    return found


def forget_attempts(connection: Connection, before: datetime) -> int:
    """Deletes at most ROWS_A_BATCH attempts made before that moment; returns how many."""
    return connection.execute(FORGET_ATTEMPTS, {"before": before, "limit": ROWS_A_BATCH}).rowcount


def routes(connection: Connection) -> Sequence[dict[str, Any]]:
    """All routes with the names of their channel and brand, in order of channels."""
    return plain(connection.execute(ROUTES))


def unknown(channel_id: int) -> InvalidValue:
    """The error for a channel that does not exist."""
    return NotFound("channel", f"there is no channel {channel_id}")
