"""Connected accounts as people see them: state, last read, and pauses that their platform has not confirmed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, TextClause, text

from db.repository.platforms.connections import USAGE_WINDOW
from db.repository.platforms.wanted import CHANGED_AT, FORMER_OWNER, WANTED
from db.repository.shared.rows import plain

STATES: Final = ("ok", "failing", "waiting", "unread", "off")
"""The states of a connected account.

`off`: its mode is `off`. Else `waiting`: its platform allows no reads or no pauses now. Else `failing`: an error is
stored since its last complete read of spend. Else `unread`: it was not read yet. Else `ok`.
"""

# Accounts with their unconfirmed pauses: campaigns that are held here and not stopped there, if the mode allows pauses.
# A pause that the reconciliation has not seen yet counts from its status change.
_ACCOUNTS: Final = f"""
    WITH unconfirmed AS /*citus MATERIALIZED */ (
        SELECT campaigns.platform_account_id, count(*) AS pauses, min(COALESCE(
            CASE WHEN desired = 'inactive' THEN unconfirmed_since END,
            {CHANGED_AT},
            campaigns.created_at
        )) AS since
        FROM platform_connections AS acting
        JOIN campaigns ON campaigns.platform_account_id = acting.platform_account_id
        LEFT JOIN platform_statuses AS status
            ON status.brand_id = campaigns.brand_id AND status.campaign_id = campaigns.id
        {FORMER_OWNER}
        WHERE acting.mode IN ('pause_only', 'full') AND {WANTED} = 'inactive' AND campaigns.external_id IS NOT NULL
            AND enforced_at IS NOT NULL AND COALESCE(confirmed, 'unknown') NOT IN ('paused', 'removed')
            {{campaigns}}
        GROUP BY campaigns.platform_account_id
    ), accounts AS (
        SELECT connected.platform_account_id AS id, platform, account_id, name, mode, credentials,
            kept.changed_at AS kept_at, options, time_zone, currency, next_read_at, last_read_at, statuses_read_at,
            wait_until, pauses_wait_until, last_error, failed_at, COALESCE(pauses, 0) AS unconfirmed_pauses,
            since AS oldest_unconfirmed_at, usage_percent,
            greatest(last_read_at, statuses_read_at) AS read_at,
            CASE WHEN mode = 'off' THEN 'off'
                WHEN wait_until > :at OR pauses_wait_until > :at THEN 'waiting'
                WHEN last_error IS NOT NULL THEN 'failing'
                WHEN last_read_at IS NULL AND statuses_read_at IS NULL THEN 'unread'
                ELSE 'ok' END AS state
        FROM platform_connections AS connected
        JOIN platform_accounts ON platform_accounts.id = connected.platform_account_id
        LEFT JOIN platform_credentials AS kept ON kept.platform_account_id = connected.platform_account_id
        LEFT JOIN unconfirmed ON unconfirmed.platform_account_id = connected.platform_account_id
        WHERE true {{accounts}}
    )
"""  # noqa: S608 - a constant, put together once

# One page of the accounts. The columns `all_…` are over all of them.
_PAGE: Final = """
    SELECT accounts.*, count(*) OVER () AS all_accounts,
        count(*) FILTER (WHERE state = 'failing') OVER () AS all_failing,
        (sum(unconfirmed_pauses) OVER ())::bigint AS all_unconfirmed_pauses,
        min(oldest_unconfirmed_at) OVER () AS all_oldest_unconfirmed_at,
        min(read_at) FILTER (WHERE mode <> 'off') OVER () AS all_read_at,
        (SELECT array_agg(DISTINCT platform) FROM accounts) AS all_platforms
    FROM accounts
    ORDER BY state = 'failing' DESC, oldest_unconfirmed_at NULLS LAST, state = 'waiting' DESC, id
    LIMIT :limit OFFSET :offset
"""

_BY_STATE: Final = """
    SELECT platform, state, count(*), (sum(unconfirmed_pauses))::bigint, min(oldest_unconfirmed_at)
    FROM accounts GROUP BY platform, state ORDER BY platform, state
"""

ACCOUNTS = text(_ACCOUNTS.format(campaigns="", accounts="") + _PAGE)

# Accounts by platform and state, with their oldest unconfirmed pause.
TALLY = text(_ACCOUNTS.format(campaigns="", accounts="") + _BY_STATE)

ACCOUNTS_BY_ID = text(
    _ACCOUNTS.format(
        campaigns="AND acting.platform_account_id = ANY(CAST(:ids AS bigint[]))",
        accounts="AND connected.platform_account_id = ANY(CAST(:ids AS bigint[]))",
    )
    + _PAGE
)

# The accounts that are bound to one brand, with the unconfirmed pauses of its campaigns alone.
ACCOUNTS_OF_BRAND = text(
    _ACCOUNTS.format(
        campaigns="AND campaigns.brand_id = :brand_id",
        accounts="AND connected.platform_account_id IN ("
        "SELECT platform_account_id FROM platform_account_brands WHERE brand_id = :brand_id)",
    )
    + _PAGE
)

# The most that an account has used of its own quota, by platform, as the platforms said lately.
USAGES = text("""
    SELECT platform, max(usage_percent) FROM platform_connections JOIN platform_accounts ON id = platform_account_id
    WHERE mode <> 'off' AND usage_at > :since GROUP BY platform ORDER BY platform
""")

# Campaigns whose account is connected: the status wanted now with the change behind it, and the platform's. The audit
# names who paused a held campaign there, if the platform reported it.
CAMPAIGNS = text(f"""
    SELECT campaigns.id AS campaign_id, platform_accounts.platform, mode, {WANTED} AS desired,
        {CHANGED_AT} AS desired_at, COALESCE(confirmed, 'unknown') AS confirmed, confirmed_at,
        COALESCE(paused_by_us, false) AS paused_by_us, COALESCE(attempts, 0) AS attempts, status.last_error,
        'platform_paused' = ANY(holds) AS is_held_there,
        CASE WHEN failed_at > COALESCE(statuses_read_at, '-infinity') THEN connected.last_error END AS account_error,
        pauses_wait_until, brands.time_zone, paused_by
    FROM campaigns
    JOIN platform_connections AS connected ON connected.platform_account_id = campaigns.platform_account_id
    JOIN platform_accounts ON platform_accounts.id = connected.platform_account_id
    JOIN brands ON brands.id = campaigns.brand_id
    LEFT JOIN platform_statuses AS status
        ON status.brand_id = campaigns.brand_id AND status.campaign_id = campaigns.id
    {FORMER_OWNER}
    LEFT JOIN /*plain*/ LATERAL /*end*/ (
        SELECT /*citus DISTINCT ON (subject_id) subject_id, */
            substring(changed_by FROM '^platform:[^:]*:(.+)$') AS paused_by
        FROM audit_entries
        WHERE subject = 'campaign' AND changed_by LIKE 'platform:%'
            AND subject_id = /*plain*/ campaigns.id /*end*/ /*citus ANY(CAST(:ids AS bigint[])) */
        ORDER BY /*citus subject_id, */ id DESC /*plain*/ LIMIT 1 /*end*/
    ) AS hand ON 'platform_paused' = ANY(holds) /*citus AND hand.subject_id = campaigns.id */
    WHERE campaigns.id = ANY(CAST(:ids AS bigint[])) AND external_id IS NOT NULL
""")  # noqa: S608 - a constant, put together once


class Tally(NamedTuple):
    """How many accounts on a platform are in one of STATES, and how many of their pauses are not confirmed.

    `oldest_unconfirmed_at`: when the oldest of these pauses was decided; None if there is none.
    """

    platform: str
    state: str
    accounts: int
    unconfirmed_pauses: int
    oldest_unconfirmed_at: datetime | None


class SeenCampaign(NamedTuple):
    """A campaign of a connected account: the status wanted on its platform (`desired`), and the one reported there.

    `desired_at`: the moment of the status change behind `desired`; None if there was none. `account_error`: why the
    account could not be read since its statuses were read last; None: it could. `time_zone`: the brand's. `paused_by`:
    who paused the held campaign on the platform; None if the platform did not report it.
    """

    campaign_id: int
    platform: str
    mode: str
    desired: str
    desired_at: datetime | None
    confirmed: str
    confirmed_at: datetime | None
    paused_by_us: bool
    attempts: int
    last_error: str | None
    is_held_there: bool
    account_error: str | None
    pauses_wait_until: datetime | None
    time_zone: str
    paused_by: str | None


def accounts(connection: Connection, at: datetime, *, offset: int = 0, limit: int = 50) -> list[dict[str, Any]]:
    """One page of connected accounts, failing ones first, then those with the oldest unconfirmed pause.

    In each, the fields `all_…` are over all connected accounts.
    """
    return _read(connection, ACCOUNTS, at, limit, {"offset": offset})


def tally(connection: Connection, at: datetime) -> list[Tally]:
    """The numbers of connected accounts by platform and state; empty without connected accounts."""
    return [Tally(*row) for row in connection.execute(TALLY, {"at": at})]


def usages(connection: Connection, at: datetime) -> dict[str, int]:
    """By platform, the highest percentage of its own quota that an account has used.

    Counts only percentages that a platform reported within USAGE_WINDOW before `at`, and no accounts in mode `off`.
    """
    return {row[0]: row[1] for row in connection.execute(USAGES, {"since": at - USAGE_WINDOW})}


def accounts_of_brand(connection: Connection, brand_id: int, at: datetime, limit: int) -> list[dict[str, Any]]:
    """At most `limit` connected accounts of a brand, with the unconfirmed pauses of its campaigns alone.

    Failing accounts come first, then those with the oldest unconfirmed pause.
    """
    return _read(connection, ACCOUNTS_OF_BRAND, at, limit, {"brand_id": brand_id})


def accounts_by_id(connection: Connection, ids: Sequence[int], at: datetime) -> dict[int, dict[str, Any]]:
    """The connected accounts among the platform accounts `ids`, by id."""
    return {row["id"]: row for row in _read(connection, ACCOUNTS_BY_ID, at, len(ids), {"ids": list(ids)})}


def _read(
    connection: Connection, statement: TextClause, at: datetime, limit: int, values: Mapping[str, object]
) -> list[dict[str, Any]]:
    return plain(connection.execute(statement, {"at": at, "limit": limit, "offset": 0, **values}))


def campaigns(connection: Connection, ids: Sequence[int], at: datetime) -> dict[int, SeenCampaign]:
    """The campaigns among these ids whose account is connected, by id. Leaves out campaigns without an external id."""
    found = connection.execute(CAMPAIGNS, {"ids": list(ids), "at": at})
    return {row.campaign_id: SeenCampaign(*row) for row in found}
