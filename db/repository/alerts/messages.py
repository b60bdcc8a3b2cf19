"""Messages to people: which alert goes by which channel, when it is due, and whether it was sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.repository.enforcement import targets
from db.repository.shared.arrays import array_of
from db.repository.shared.zones import readable_zones
from domain.alerts.digests import next_digest_at
from domain.alerts.kinds import URGENT, Timing

ANY_ROUTE = text("SELECT EXISTS (SELECT FROM alert_routes)")

# For each alert and channel, the route that names the brand wins, then the one that names the kind. An alert without a
# brand follows the clock of UTC.
ENQUEUE = text("""
    INSERT INTO alert_messages (channel_id, alert_id, event, is_digest, due_at)
    SELECT channel_id, chosen.id, :event, is_digest, CASE WHEN is_digest THEN COALESCE(digest.due_at, :at) ELSE :at END
    FROM (
        SELECT DISTINCT ON (alerts.id, channel_id) alerts.id, channel_id, timing, alerts.brand_id,
            timing = 'digest' OR timing = 'default' AND alerts.kind <> ALL(CAST(:urgent AS text[])) AS is_digest
        FROM alerts JOIN alert_routes AS route
            ON (route.brand_id IS NULL OR route.brand_id = alerts.brand_id)
            AND (route.kind IS NULL OR route.kind = alerts.kind)
        WHERE alerts.id = ANY(CAST(:ids AS bigint[]))
        ORDER BY alerts.id, channel_id, route.brand_id NULLS LAST, route.kind NULLS LAST
    ) AS chosen
    LEFT JOIN brands ON brands.id = chosen.brand_id
    LEFT JOIN unnest(CAST(:zones AS text[]), CAST(:dues AS timestamptz[])) AS digest(time_zone, due_at)
        ON digest.time_zone = COALESCE(brands.time_zone, 'UTC')
    WHERE timing <> :never
    ON CONFLICT (channel_id, alert_id, event) DO NOTHING
""")

CHANNELS_DUE = text("""
    SELECT DISTINCT channel_id FROM alert_messages JOIN alert_channels ON alert_channels.id = channel_id
    WHERE sent_at IS NULL AND dropped_at IS NULL AND due_at <= :at
        AND COALESCE(claimed_until, '-infinity') <= :at
    ORDER BY channel_id
""")

# Muted messages wait until the mute ends. An alert that is resolved by then is not sent any more, unless the channel
# had got it before the mute: then its end is sent after the mute.
POSTPONE_MUTED = text("""
    UPDATE alert_messages AS message
    SET due_at = CASE WHEN muted.is_sent_later THEN muted.until ELSE due_at END,
        dropped_at = CASE WHEN NOT muted.is_sent_later THEN CAST(:at AS timestamptz) END
    FROM (
        SELECT waiting.id, max(until) AS until, alerts.state = 'open' OR waiting.event = 'resolved' AND EXISTS (
            SELECT FROM alert_messages AS earlier
            WHERE earlier.channel_id = :channel_id AND earlier.alert_id = waiting.alert_id
                AND earlier.event = 'raised' AND earlier.sent_at IS NOT NULL
        ) AS is_sent_later
        FROM alert_messages AS waiting JOIN alerts ON alerts.id = waiting.alert_id
        JOIN alert_mutes AS mute
            ON until > :at
            AND (mute.channel_id IS NULL OR mute.channel_id = waiting.channel_id)
            AND (mute.alert_id IS NULL OR mute.alert_id = alerts.id)
            AND (mute.brand_id IS NULL OR mute.brand_id = alerts.brand_id)
            AND (mute.kind IS NULL OR mute.kind = alerts.kind)
        WHERE waiting.channel_id = :channel_id AND sent_at IS NULL AND dropped_at IS NULL
            AND (due_at <= :at OR alerts.state = 'resolved')
        GROUP BY waiting.id, alerts.state
    ) AS muted
    WHERE message.id = muted.id
""")

# The due messages of the brand, or of none, whose message is due first; digests apart from the others. If more than
# :apart brands have messages that are no digests, those of all of them.
DUE = text("""
    WITH due AS (
        SELECT message.id, alert_id, event, is_digest, attempts, brand_id, due_at
        FROM alert_messages AS message JOIN alerts ON alerts.id = alert_id
        WHERE channel_id = :channel_id AND sent_at IS NULL AND dropped_at IS NULL AND due_at <= :at
    ), first AS (
        SELECT brand_id, is_digest FROM due ORDER BY due_at, id LIMIT 1
    ), spread AS (
        SELECT count(DISTINCT COALESCE(brand_id, 0)) > :apart AS is_wide FROM due WHERE NOT is_digest
    )
    SELECT due.id, alert_id, event, due.is_digest, attempts
    FROM due JOIN first ON due.is_digest = first.is_digest
    CROSS JOIN spread
    WHERE due.brand_id IS NOT DISTINCT FROM first.brand_id OR (is_wide AND NOT due.is_digest)
    ORDER BY due.id LIMIT :limit
""")

NOTE_SENT = text("""
    UPDATE alert_messages SET sent_at = :at, attempts = attempts + 1 WHERE id = ANY(CAST(:ids AS bigint[]))
""")

NOTE_FAILED = text("""
    UPDATE alert_messages AS message SET attempts = attempts + 1, due_at = COALESCE(next_at, due_at),
        dropped_at = CASE WHEN next_at IS NULL THEN CAST(:at AS timestamptz) END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:nexts AS timestamptz[])) AS failed(id, next_at)
    WHERE message.id = failed.id
""")

BRANDS_APART: Final = 3
"""Most brands whose due alerts are sent in a text for each brand. Alerts of more brands are sent in one text."""


class Message(NamedTuple):
    """A message that is due. `event`: the alert was `raised` or `resolved`. `attempts`: how many were made."""

    id: int
    alert_id: int
    event: str
    is_digest: bool
    attempts: int


def has_routes(connection: Connection) -> bool:
    """Whether any channel has a route."""
    return bool(connection.execute(ANY_ROUTE).scalar_one())


def enqueue(connection: Connection, alert_ids: Sequence[int], event: str, at: datetime) -> None:
    """Stores the messages that the routes of channels require for the alerts, and sends nothing.

    `event`: the alerts were `raised` or `resolved`. A channel gets one message for each alert and event.
    """
    if not alert_ids or not has_routes(connection):
        return
    zones = readable_zones({*targets.zones_in_use(connection), "UTC"})
    parameters = {
        "ids": array_of(alert_ids),
        "event": event,
        "at": at,
        "urgent": array_of(URGENT),
        "never": Timing.NEVER,
        "zones": list(zones),
        "dues": [next_digest_at(at, zone) for zone in zones.values()],
    }
    connection.execute(ENQUEUE, parameters)


def channels_due(connection: Connection, at: datetime) -> list[int]:
    """The ids, in order, of the channels that have a due message and that no worker has claimed at `at`."""
    return list(connection.scalars(CHANNELS_DUE, {"at": at}))


def due(connection: Connection, channel_id: int, at: datetime, limit: int) -> list[Message]:
    """Postpones or drops muted messages, then returns up to `limit` due messages of the channel that fit into one text.

    Postpones messages that are muted at `at` until the mute ends, but drops them if their alert is resolved and the
    channel was never sent that it was raised. The returned messages are either all digests or all no digests, and all
    of one brand, or of no brand; but if more than BRANDS_APART brands have due messages that are no digests, these
    messages are of all brands.
    """
    parameters = {"channel_id": channel_id, "at": at}
    connection.execute(POSTPONE_MUTED, parameters)
    rows = connection.execute(DUE, parameters | {"limit": limit, "apart": BRANDS_APART})
    return [Message(*row) for row in rows]


def note_sent(connection: Connection, ids: Sequence[int], at: datetime) -> None:
    """Stores that the messages were sent."""
    connection.execute(NOTE_SENT, {"ids": array_of(ids), "at": at})


def note_failed(connection: Connection, next_tries: dict[int, datetime | None], at: datetime) -> None:
    """Stores when each message is tried again; None: it is dropped."""
    parameters = {"ids": list(next_tries), "nexts": list(next_tries.values()), "at": at}
    connection.execute(NOTE_FAILED, parameters)
