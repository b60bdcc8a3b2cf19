"""Stores, reads and deletes the credentials of platform accounts; callers pass and get the secrets encrypted."""

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.platforms.connections import NO_FAILURES, required_connection

SECRETS = text("SELECT secrets FROM platform_credentials WHERE platform_account_id = :id")

KEEP = text("""
    INSERT INTO platform_credentials (platform_account_id, secrets, changed_at) VALUES (:id, :secrets, :at)
    ON CONFLICT (platform_account_id) DO UPDATE SET secrets = excluded.secrets, changed_at = excluded.changed_at
""")

REFER = text(f"""
    UPDATE platform_connections SET credentials = 'kept', next_read_at = NULL, described_at = NULL, {NO_FAILURES}
    WHERE platform_account_id = :id
""")  # noqa: S608 - a constant, put together once

# Secrets that the connection no longer refers to.
FORGET = text("DELETE FROM platform_credentials WHERE platform_account_id = :id")


def secrets_of(connection: Connection, account: int) -> str | None:
    """The account's encrypted secrets; None if the database keeps none."""
    secrets: str | None = connection.scalar(SECRETS, {"id": account})
    return secrets


def keep(connection: Connection, account: int, encrypted: str, edit: Edit) -> None:
    """Stores encrypted secrets for the account's connection, in place of earlier ones.

    Also clears the connection's stored failures and makes its spend due to be read now. Writes an audit entry without
    secrets. Raises InvalidValue if the account has no connection.
    """
    old = required_connection(connection, account)
    connection.execute(KEEP, {"id": account, "secrets": encrypted, "at": edit.at})
    connection.execute(REFER, {"id": account})
    before, after = {"credentials": old.credentials}, {"credentials": "kept"}
    note(connection, edit, "set_credentials", Subject("platform_connection", account), before, after)


def forget(connection: Connection, account: int) -> None:
    """Deletes the account's kept secrets, if any."""
    connection.execute(FORGET, {"id": account})
