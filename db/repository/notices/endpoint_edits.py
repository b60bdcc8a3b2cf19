"""Edits of webhook endpoints by people and programs, and deliveries that they ask for again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.notices.endpoints import Endpoint
from domain.notices.message_types import OF_CHANGES

CREATE = text("""
    INSERT INTO webhook_endpoints
        (brand_id, url, types, description, secret, after_change_id, after_notice_id, created_at)
    SELECT :brand_id, :url, CAST(:types AS text[]), :description, :secret,
        (SELECT COALESCE(max(id), 0) FROM status_changes), (SELECT COALESCE(max(id), 0) FROM notices), :at
    RETURNING id
""")

NEWEST_CHANGE = text("SELECT COALESCE(max(id), 0) FROM status_changes")

UPDATE = text("""
    UPDATE webhook_endpoints
    SET types = CAST(:types AS text[]), description = :description, enabled = :enabled,
        disabled_because = :disabled_because, wait_until = NULL, failures = 0, failing_since = NULL,
        after_notice_id = :after_notice_id,
        after_change_id = COALESCE(CAST(:after_change_id AS bigint), after_change_id)
    WHERE id = :id
""")

DROP_UNWANTED = text("""
    UPDATE webhook_deliveries SET state = 'superseded', settled_at = :at
    WHERE endpoint_id = :id AND state = 'pending' AND type <> ALL(CAST(:types AS text[])) AND type <> 'endpoint.test'
""")

ROTATE = text("""
    UPDATE webhook_endpoints SET secret = :secret, previous_secret = secret, previous_secret_until = :until
    WHERE id = :id
""")

FORGET_OLD_SECRETS = text("""
    UPDATE webhook_endpoints SET previous_secret = NULL, previous_secret_until = NULL WHERE previous_secret_until <= :at
""")

REMOVE = text("DELETE FROM webhook_endpoints WHERE id = :id")

# The campaigns with a status change in a range, and those of a range of deliveries.
CHANGED = """
    SELECT DISTINCT brand_id, campaign_id FROM status_changes
    WHERE id > :after AND id <= :last AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
"""
DELIVERED = """
    SELECT DISTINCT brand_id, campaign_id FROM webhook_deliveries
    WHERE endpoint_id = :id AND id BETWEEN :first AND :last AND type IN ('campaign.paused', 'campaign.activated')
"""
FAILED = """
    SELECT brand_id, campaign_id FROM (
        SELECT DISTINCT ON (campaign_id) brand_id, campaign_id, state FROM webhook_deliveries
        WHERE endpoint_id = :id AND type IN ('campaign.paused', 'campaign.activated')
        ORDER BY campaign_id, id DESC
    ) AS last WHERE state = 'failed'
"""

# The newest status of each of these campaigns. A pending one becomes due.
NEWEST = """
    INSERT INTO webhook_deliveries
        (endpoint_id, type, brand_id, campaign_id, status_change_id, urgency, next_attempt_at, created_at)
    SELECT CAST(:id AS bigint), type, brand_id, campaign_id, newest.id,
        CASE WHEN type = 'campaign.paused' THEN 0 ELSE 1 END, CAST(:at AS timestamptz), CAST(:at AS timestamptz)
    FROM /*plain*/ ({chosen}) AS chosen CROSS JOIN LATERAL ( /*end*/ /*citus ( */
        SELECT /*citus DISTINCT ON (brand_id, campaign_id) brand_id, campaign_id, */ id,
            CASE to_status WHEN 'inactive' THEN 'campaign.paused' ELSE 'campaign.activated' END AS type
        FROM status_changes
        WHERE /*plain*/ status_changes.campaign_id = chosen.campaign_id ORDER BY id DESC LIMIT 1 /*end*/
            /*citus (brand_id, campaign_id) IN ({chosen}) ORDER BY brand_id, campaign_id, id DESC */
    ) AS newest
    WHERE type = ANY(CAST(:types AS text[]))
    ORDER BY newest.id
    ON CONFLICT (endpoint_id, campaign_id) WHERE state = 'pending' AND type IN ('campaign.paused', 'campaign.activated')
    DO UPDATE SET next_attempt_at = excluded.next_attempt_at
"""
RESEND_CHANGED = text(NEWEST.format(chosen=CHANGED))
RESEND_DELIVERED = text(NEWEST.format(chosen=DELIVERED))
RESEND_FAILED = text(NEWEST.format(chosen=FAILED))

# Copies of the settled messages of notices and budgets in this range of deliveries. They keep their message's id.
RESEND_MESSAGES = text("""
    INSERT INTO webhook_deliveries
        (endpoint_id, message_id, type, brand_id, campaign_id, status_change_id, notice_id, key, body,
        next_attempt_at, created_at)
    SELECT endpoint_id, message_id, type, brand_id, campaign_id, status_change_id, notice_id,
        CASE WHEN key IS NOT NULL THEN concat('again:', gen_random_uuid()) END, body,
        CAST(:at AS timestamptz), CAST(:at AS timestamptz)
    FROM webhook_deliveries
    WHERE endpoint_id = :id AND id BETWEEN :first AND :last AND state <> 'pending'
        AND type NOT IN ('campaign.paused', 'campaign.activated', 'endpoint.test')
    ORDER BY id
""")

DISABLED_BY_PERSON: Final = "a person disabled it"
AUDITED: Final = ("url", "types", "description", "enabled")


def create(
    connection: Connection,
    brand_id: int | None,
    url: str,
    types: Sequence[str],
    description: str,
    secret: str,
    edit: Edit,
) -> int:
    """Creates an endpoint that gets the status changes and notices after this edit; returns its id.

    `secret`: encrypted. `brand_id` None: of all brands.
    """
    new: dict[str, Any] = {"url": url, "types": list(types), "description": description}
    values = new | {"brand_id": brand_id, "secret": secret, "at": edit.at}
    made = int(connection.execute(CREATE, values).scalar_one())
    note(connection, edit, "create", _subject(made, brand_id), None, new | {"enabled": True})
    return made


def update(connection: Connection, old: Endpoint, new: Mapping[str, Any], after_notice_id: int, edit: Edit) -> None:
    """Sets `types`, `description` and `enabled` of the endpoint, to which requests may then be sent at once.

    Pending deliveries of types that it gets no longer become `superseded`. An endpoint that is enabled again gets the
    newest status of each campaign whose last delivery failed: an answer 410 disables an endpoint and fails all its
    pending deliveries. `after_notice_id`: the id of the last notice that was read for the endpoint.
    """
    values = {**new, "id": old.id, "after_notice_id": after_notice_id}
    values["disabled_because"] = None if new["enabled"] else DISABLED_BY_PERSON
    # An endpoint that got no status changes before begins with the next one.
    skips_changes = not OF_CHANGES & set(old.types)
    values["after_change_id"] = connection.scalar(NEWEST_CHANGE) if skips_changes else None
    connection.execute(UPDATE, values)
    connection.execute(DROP_UNWANTED, {"id": old.id, "types": new["types"], "at": edit.at})
    if new["enabled"] and not old.enabled:
        connection.execute(RESEND_FAILED, {"id": old.id, "types": list(new["types"]), "at": edit.at})
    before = {name: getattr(old, name) for name in AUDITED if name in new}
    note(connection, edit, "edit", _subject(old.id, old.brand_id), before, {name: new[name] for name in before})


def rotate(connection: Connection, old: Endpoint, secret: str, until: datetime, edit: Edit) -> None:
    """Sets a new secret, which is encrypted; messages are signed with the old one too until `until`."""
    connection.execute(ROTATE, {"id": old.id, "secret": secret, "until": until})
    note(connection, edit, "rotate", _subject(old.id, old.brand_id), None, {"previous_secret_until": until})


def forget_old_secrets(connection: Connection, at: datetime) -> None:
    """Deletes the previous secrets with which messages are no longer signed at `at`."""
    connection.execute(FORGET_OLD_SECRETS, {"at": at})


def remove(connection: Connection, old: Endpoint, edit: Edit) -> None:
    """Removes the endpoint with its deliveries."""
    connection.execute(REMOVE, {"id": old.id})
    note(
        connection, edit, "remove", _subject(old.id, old.brand_id), {name: getattr(old, name) for name in AUDITED}, None
    )


def resend_statuses(connection: Connection, endpoint: Endpoint, after: int, last: int, at: datetime) -> int:
    """Makes a due delivery of the newest status of each campaign that has a status change in a range; returns how many.

    The range has the ids above `after`, up to and including `last`. Leaves out statuses of types that the endpoint does
    not get.
    """
    values = {"id": endpoint.id, "brand_id": endpoint.brand_id, "types": endpoint.types}
    return connection.execute(RESEND_CHANGED, values | {"after": after, "last": last, "at": at}).rowcount


def resend_deliveries(connection: Connection, endpoint: Endpoint, first: int, last: int, at: datetime) -> int:
    """Makes due deliveries that repeat the deliveries with ids from `first` to `last`, both included; returns how many.

    A repeated status message has the campaign's present status. Leaves out test messages, and pending messages that are
    not about a status.
    """
    values = {"id": endpoint.id, "types": endpoint.types, "first": first, "last": last, "at": at}
    statements = (RESEND_MESSAGES, RESEND_DELIVERED)
    return sum(connection.execute(statement, values).rowcount for statement in statements)


def _subject(endpoint_id: int, brand_id: int | None) -> Subject:
    return Subject("webhook", endpoint_id, brand_id)
