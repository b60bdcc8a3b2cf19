"""Figures of ad platforms for pages: the card of the first page, a brand's cards, and the list of accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from app.bound_words import words_of
from app.platforms.seen import age, quota_left
from db.repository.platforms import seen
from db.repository.platforms.bounds import bounds_of_accounts
from domain.edits.words import counted
from domain.platform_words import account_in_words, length
from domain.platforms import label

ACCOUNTS_OF_CARD: Final = 3
ACCOUNTS_OF_BRAND: Final = 5
NAMES: Final = ("id", "account_id", "name", "mode", "state", "unconfirmed_pauses", "usage_percent")
MINUTE: Final = timedelta(minutes=1)


def card(connection: Connection, at: datetime) -> dict[str, Any] | None:
    """The template's values of the first page's card of platforms; None, after one small query, without accounts."""
    return summary(connection, at, 0, ACCOUNTS_OF_CARD)


def card_of_brand(connection: Connection, brand_id: int, at: datetime) -> list[dict[str, Any]]:
    """The template's values of the brand's first ACCOUNTS_OF_BRAND accounts, with the brand's unconfirmed pauses."""
    return _accounts(connection, seen.accounts_of_brand(connection, brand_id, at, ACCOUNTS_OF_BRAND), at)


def summary(connection: Connection, at: datetime, offset: int, limit: int) -> dict[str, Any] | None:
    """At most `limit` connected accounts after the first `offset`, and figures of all connected accounts.

    None if no account follows the first `offset`.
    `read`: in words, the age of the last read of the account that was read longest ago.
    """
    rows = seen.accounts(connection, at, offset=offset, limit=limit)
    if not rows:
        return None
    first = rows[0]
    oldest = age(first["all_oldest_unconfirmed_at"], at)
    left = quota_left(connection, first["all_platforms"], at)
    return {
        "accounts": _accounts(connection, rows, at),
        "matching": first["all_accounts"],
        "count": counted(first["all_accounts"], "account"),
        "failing": first["all_failing"],
        "unconfirmed": first["all_unconfirmed_pauses"],
        "oldest": oldest and length(oldest),
        "read": _ago(first["all_read_at"], at),
        "quotas": [f"{label(platform)}: {operations:,} operations left" for platform, operations in left.items()],
    }


def _accounts(connection: Connection, rows: Sequence[Mapping[str, Any]], at: datetime) -> list[dict[str, Any]]:
    bounds = bounds_of_accounts(connection, [row["id"] for row in rows])
    return [_account(row, at) | {"bound": words_of(bounds.get(row["id"]), row["currency"])} for row in rows]


def _account(row: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    oldest = age(row["oldest_unconfirmed_at"], at)
    return {
        **{name: row[name] for name in NAMES},
        "label": label(row["platform"]),
        "oldest": oldest and length(oldest),
        "read": _ago(row["read_at"], at),
        "words": account_in_words(row["state"], row["last_error"], row["wait_until"] or row["pauses_wait_until"]),
    }


def _ago(moment: datetime | None, at: datetime) -> str:
    span = age(moment, at)
    if span is None:
        return "never"
    return f"{length(span)} ago" if span >= MINUTE else "less than a minute ago"
