"""Edits of connections by people: connects a platform account, changes its mode, removes the connection."""

import json
from collections.abc import Mapping

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.platforms.connections import connection_of, required_connection

ACCOUNT_BY_NAME = text("SELECT id FROM platform_accounts WHERE platform = :platform AND account_id = :account_id")

CONNECT = text("""
    INSERT INTO platform_connections (platform_account_id, mode, credentials, options, created_at)
    VALUES (:id, :mode, :credentials, CAST(:options AS jsonb), :at)
    ON CONFLICT (platform_account_id) DO UPDATE
    SET mode = excluded.mode, credentials = excluded.credentials, options = excluded.options,
        next_read_at = NULL, described_at = NULL
""")

DISCONNECT = text("DELETE FROM platform_connections WHERE platform_account_id = :id")


def account_named(connection: Connection, platform: str, account_id: str) -> int | None:
    """Spendgate's id of the platform account with the platform's id; None if there is none."""
    found: int | None = connection.scalar(ACCOUNT_BY_NAME, {"platform": platform, "account_id": account_id})
    return found


def connect(
    connection: Connection, account: int, mode: str, credentials: str, options: Mapping[str, str], edit: Edit
) -> None:
    """Connects the platform account, or changes its connection. `credentials` is a reference, never a secret."""
    old = connection_of(connection, account)
    new = {"mode": mode, "credentials": credentials, "options": dict(options)}
    values = new | {"id": account, "options": json.dumps(dict(options)), "at": edit.at}
    connection.execute(CONNECT, values)
    before = old and {"mode": old.mode, "credentials": old.credentials, "options": old.options}
    note(connection, edit, "edit" if old else "create", Subject("platform_connection", account), before, new)


def disconnect(connection: Connection, account: int, edit: Edit) -> None:
    """Removes the connection and its memory of statuses. Raises InvalidValue if there is no connection."""
    old = required_connection(connection, account)
    connection.execute(DISCONNECT, {"id": account})
    before = {"mode": old.mode, "credentials": old.credentials, "options": old.options}
    note(connection, edit, "remove", Subject("platform_connection", account), before, None)
