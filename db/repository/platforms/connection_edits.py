"""Edits of connections by people: connects a platform account, changes its mode, removes the connection."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.platforms import kept_credentials
from db.repository.platforms.connections import NO_FAILURES, StoredConnection, connection_of, required_connection
from db.repository.shared.arrays import array_of

ACCOUNT_BY_NAME = text("SELECT id FROM platform_accounts WHERE platform = :platform AND account_id = :account_id")

CONNECT = text("""
    INSERT INTO platform_connections (platform_account_id, mode, credentials, options, created_at)
    VALUES (:id, :mode, :credentials, CAST(:options AS jsonb), :at)
    ON CONFLICT (platform_account_id) DO UPDATE
    SET mode = excluded.mode, credentials = excluded.credentials, options = excluded.options,
        next_read_at = NULL, described_at = NULL,
        statuses_epoch = CASE WHEN platform_connections.mode = 'off' THEN 'off'
            ELSE platform_connections.statuses_epoch END
""")

# Failures with the login or the options before say nothing about the new ones; the account is tried again at once.
FORGET_FAILURES = text(f"UPDATE platform_connections SET {NO_FAILURES} WHERE platform_account_id = :id")  # noqa: S608

# Locks the rows in the order of their accounts, so that two transactions cannot deadlock.
ACCOUNTS = text("SELECT platform_account_id FROM platform_account_brands WHERE brand_id = :brand_id")

READ_AGAIN = text("""
    UPDATE platform_connections SET next_read_at = NULL, history_read_at = NULL
    WHERE platform_account_id IN (
        SELECT platform_account_id FROM platform_connections
        WHERE platform_account_id = ANY(CAST(:accounts AS bigint[]))
        ORDER BY platform_account_id FOR NO KEY UPDATE
    )
""")

LOCK = text("SELECT FROM platform_connections WHERE platform_account_id = :id FOR NO KEY UPDATE")

# First, because over several servers no foreign key deletes them.
FORGET_STATUSES = text("DELETE FROM platform_statuses WHERE platform_account_id = :id")

DISCONNECT = text("DELETE FROM platform_connections WHERE platform_account_id = :id")


def account_named(connection: Connection, platform: str, account_id: str) -> int | None:
    """Spendgate's id of the account whose id on the platform is `account_id`; None if there is no such account."""
    found: int | None = connection.scalar(ACCOUNT_BY_NAME, {"platform": platform, "account_id": account_id})
    return found


def connect(
    connection: Connection, account: int, mode: str, credentials: str, options: Mapping[str, str], edit: Edit
) -> None:
    """Connects the platform account, or changes its connection. `credentials` is a reference, never a secret.

    Makes the account's spend due to be read now, and writes an audit entry. Deletes the account's kept secrets unless
    `credentials` is `kept`. New credentials or options clear the stored failures of the connection.
    """
    old = connection_of(connection, account)
    new = {"mode": mode, "credentials": credentials, "options": dict(options)}
    values = new | {"id": account, "options": json.dumps(dict(options)), "at": edit.at}
    connection.execute(CONNECT, values)
    if credentials != "kept":
        kept_credentials.forget(connection, account)
    before = old and _set_by_people(old)
    if before is not None and any(before[name] != new[name] for name in ("credentials", "options")):
        connection.execute(FORGET_FAILURES, {"id": account})
    note(connection, edit, "edit" if old else "create", Subject("platform_connection", account), before, new)


def lock(connection: Connection, account: int) -> StoredConnection:
    """Locks the connection's row until the transaction ends and returns it as read then.

    Raises InvalidValue if the account has no connection.
    """
    connection.execute(LOCK, {"id": account})
    return required_connection(connection, account)


def change(connection: Connection, old: StoredConnection, changes: Mapping[str, Any], edit: Edit) -> None:
    """Sets the given fields of a locked connection: `mode`, `credentials` (a reference), `options`.

    Writes nothing if no field differs.
    """
    before = _set_by_people(old)
    new = before | dict(changes)
    if new != before:
        connect(connection, old.id, new["mode"], new["credentials"], new["options"], edit)


def _set_by_people(stored: StoredConnection) -> dict[str, Any]:
    return {"mode": stored.mode, "credentials": stored.credentials, "options": stored.options}


def read_again(connection: Connection, brand_id: int) -> None:
    """Locks the connections of the brand's accounts and makes their spend due to be read now, earlier days included."""
    accounts = connection.scalars(ACCOUNTS, {"brand_id": brand_id}).all()
    connection.execute(READ_AGAIN, {"accounts": array_of(accounts)})


def disconnect(connection: Connection, account: int, edit: Edit) -> None:
    """Removes the account's connection, its kept secrets and its campaigns' stored statuses; writes an audit entry.

    Raises InvalidValue if the account has no connection.
    """
    old = required_connection(connection, account)
    connection.execute(FORGET_STATUSES, {"id": account})
    connection.execute(DISCONNECT, {"id": account})
    note(connection, edit, "remove", Subject("platform_connection", account), _set_by_people(old), None)
