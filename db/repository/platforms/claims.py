"""Claims of platform accounts: one worker at a time reconciles an account's statuses and may change them."""

from datetime import datetime

from sqlalchemy import Connection, text

from db.repository.platforms.connections import StoredConnection

# Takes the row's lock first, so that a worker that ends its claim meanwhile sees the wake or leaves the account free.
NOTE_WAKE = text("UPDATE platform_connections SET woken_at = :at WHERE platform_account_id = :id")

CLAIM = text("""
    UPDATE platform_connections SET claimed_until = :until, woken_at = NULL
    WHERE platform_account_id = :id AND COALESCE(claimed_until, '-infinity') <= :at
    RETURNING platform_account_id
""")

# Moves the end of a claim, which its value identifies: after it passed, another worker may have claimed the account.
PROLONG = text("""
    UPDATE platform_connections SET claimed_until = :until WHERE platform_account_id = :id AND claimed_until = :claimed
    RETURNING woken_at IS NOT NULL
""")

# The claimed account, locked until the transaction ends, if its mode is still the one that the visit began with, and
# the platform allows the request now.
MAY_SEND = text("""
    SELECT FROM platform_connections
    WHERE platform_account_id = :id AND claimed_until = :claimed AND mode = :mode AND COALESCE(
        CASE WHEN CAST(:for_pauses AS boolean) THEN pauses_wait_until ELSE wait_until END, '-infinity'
    ) <= :at
    FOR NO KEY UPDATE
""")


def claim(connection: Connection, account: int, at: datetime, until: datetime) -> bool:
    """Claims the account for one worker until `until`; returns whether it was free at `at`.

    If it was not, stores that a worker tried at `at`, which `prolong` returns to the worker that has the claim.
    """
    connection.execute(NOTE_WAKE, {"id": account, "at": at})
    return connection.execute(CLAIM, {"id": account, "at": at, "until": until}).first() is not None


def prolong(connection: Connection, account: int, claimed: datetime, until: datetime) -> bool | None:
    """Moves the end of this worker's claim from `claimed` to `until`; an `until` in the past ends the claim.

    Returns whether another worker tried to claim the account since it was claimed; None if the claim is lost.
    """
    values = {"id": account, "claimed": claimed, "until": until}
    is_wanted: bool | None = connection.execute(PROLONG, values).scalar()
    return is_wanted


def may_send(
    connection: Connection, account: StoredConnection, claimed: datetime, at: datetime, *, for_pauses: bool
) -> bool:
    """Locks the connection's row if the worker whose claim ends at `claimed` may change statuses at `at`.

    Returns whether it may. It may not if the claim is lost, the mode is no longer `account`'s, or the platform allows
    no such change yet. `for_pauses`: the change is a pause.
    """
    values = {"id": account.id, "mode": account.mode, "claimed": claimed, "at": at, "for_pauses": for_pauses}
    return connection.execute(MAY_SEND, values).first() is not None
