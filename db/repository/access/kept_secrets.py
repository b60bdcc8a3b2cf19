"""Columns with encrypted secrets, of every table that keeps some: read in pages, and replaced one by one."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text


class KeptSecrets(NamedTuple):
    """A column of encrypted secrets, and the statements that count, page and replace them.

    `words`: one secret in words, such as `URL of alert channel`.
    """

    words: str
    table: str
    column: str
    tally: TextClause
    page: TextClause
    replace: TextClause


def secrets_in(words: str, table: str, key: str, column: str) -> KeptSecrets:
    """The column and the statements for its secrets. `key`: the table's bigint key. All names are trusted constants."""
    return KeptSecrets(
        words,
        table,
        column,
        tally=text(f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL"),  # noqa: S608 - constants
        page=text(f"""
            SELECT {key}, {column} FROM {table} WHERE {key} > :after AND {column} IS NOT NULL
            ORDER BY {key} LIMIT :limit
        """),  # noqa: S608 - constants
        replace=text(f"UPDATE {table} SET {column} = :new WHERE {key} = :key AND {column} = :old"),  # noqa: S608
    )


KEPT: tuple[KeptSecrets, ...] = (
    secrets_in("credentials of platform account", "platform_credentials", "platform_account_id", "secrets"),
    secrets_in("URL of alert channel", "alert_channels", "id", "encrypted_url"),
    secrets_in("secret of webhook endpoint", "webhook_endpoints", "id", "secret"),
    secrets_in("previous secret of webhook endpoint", "webhook_endpoints", "id", "previous_secret"),
)
"""Every column that keeps secrets. A change of the encryption key encrypts exactly these columns again."""


def count(connection: Connection, kept: KeptSecrets) -> int:
    """The number of secrets in the column."""
    return int(connection.execute(kept.tally).scalar_one())


def page(connection: Connection, kept: KeptSecrets, after: int, limit: int) -> Sequence[tuple[int, str]]:
    """The next (key, encrypted secret) pairs with keys above `after`, in key order, `limit` at most."""
    return [(key, secret) for key, secret in connection.execute(kept.page, {"after": after, "limit": limit})]


def replace(connection: Connection, kept: KeptSecrets, key: int, old: str, new: str) -> bool:
    """Stores the encrypted secret `new` in the row if it still has `old`; returns whether it had."""
    return connection.execute(kept.replace, {"key": key, "old": old, "new": new}).rowcount == 1
