"""Connections to platform accounts: which are due, and how requests went."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from db.repository.platforms.wanted import FORMER_OWNER, WANTED
from domain.errors import NotFound
from domain.reconcile import FIRST_WAIT, LONGEST_WAIT, REPAUSE_WINDOW, REPAUSES_AN_HOUR, TRIES

USAGE_WINDOW: Final = timedelta(hours=1)
"""How long a platform's report about the used part of a quota counts: Meta's quotas are for an hour."""

FIELDS: Final = """
    platform_connections.platform_account_id, platform, account_id, name, mode, credentials, options, time_zone,
    currency, described_at, next_read_at, last_read_at, history_read_at, statuses_read_at, wait_until,
    pauses_wait_until, last_error, failed_at, failures, limit_at
"""

NO_FAILURES: Final = (
    "last_error = NULL, failed_at = NULL, failures = 0, failing_since = NULL, problem_since = NULL, retry_at = NULL"
)
"""The SET list of an UPDATE that clears the failures of a connection."""

CONNECTION = text(f"""
    SELECT {FIELDS} FROM platform_connections JOIN platform_accounts ON id = platform_account_id
    WHERE platform_account_id = :id
""")  # noqa: S608 - a constant, put together once

CONNECTIONS = text(f"""
    SELECT {FIELDS} FROM platform_connections JOIN platform_accounts ON id = platform_account_id
    ORDER BY platform_account_id
""")  # noqa: S608 - a constant, put together once

# Accounts of the platform that may be read, and since when they have waited. An account without a time of its next
# read, such as one whose connection was changed, waits as if it had never been read.
WAITING = text("""
    /*citus WITH platform_statuses AS MATERIALIZED (
        SELECT DISTINCT platform_account_id, confirmed, paused_by_us FROM platform_statuses
        WHERE confirmed = 'paused' AND paused_by_us
    ) */
    SELECT platform_account_id, COALESCE(next_read_at, '-infinity') <= :at AS is_spend_due,
        CASE WHEN next_read_at IS NOT NULL THEN last_read_at END AS last_read_at, limit_at,
        COALESCE(claimed_until, '-infinity') <= :at AS is_free, statuses_read_at, retry_at,
        CASE WHEN usage_at > :usage_since THEN usage_percent ELSE 0 END AS used_percent,
        EXISTS (
            SELECT FROM platform_statuses AS status
            WHERE status.platform_account_id = platform_connections.platform_account_id
                AND confirmed = 'paused' AND paused_by_us
        ) AS holds_some
    FROM platform_connections JOIN platform_accounts ON id = platform_account_id
    WHERE platform = :platform AND mode <> 'off' AND COALESCE(wait_until, '-infinity') <= :at
    ORDER BY platform_account_id
""")

# Accounts to reconcile at once: those with a campaign to pause or to enable by what was last confirmed, those whose
# last answer is unknown, and those whose claim refused a wake. A campaign that was tried three times for one
# decision waits longer after each try, so that one that is always refused does not use up the quota. One that is paused
# again no more, because somebody keeps enabling it there, waits for the next poll.
DUE_FOR_CHANGES = text(f"""
    SELECT platform_account_id FROM platform_connections JOIN platform_accounts ON id = platform_account_id
    WHERE platform = :platform AND mode <> 'off' AND COALESCE(claimed_until, '-infinity') <= :at
        AND (wait_until IS NULL OR wait_until <= :at OR pauses_wait_until IS NULL OR pauses_wait_until <= :at)
        AND COALESCE(retry_at, '-infinity') <= :at
        AND (woken_at IS NOT NULL OR mode <> 'shadow' AND
            /*plain*/ EXISTS (SELECT FROM platform_statuses AS status /*end*/
            /*citus platform_account_id IN (
                SELECT status.platform_account_id FROM platform_connections AS acting
                JOIN platform_statuses AS status ON status.platform_account_id = acting.platform_account_id */
            JOIN campaigns USING (brand_id) {FORMER_OWNER}
            WHERE /*plain*/ status.platform_account_id = platform_connections.platform_account_id AND /*end*/
                campaigns.platform_account_id = status.platform_account_id AND external_id IS NOT NULL
                AND campaigns.id = status.campaign_id AND (
                    attempts < :tries OR desired <> {WANTED}
                    OR sent_at <= CAST(:at AS timestamptz) - least(
                        CAST(:first_wait AS interval) * power(2, least(attempts - :tries, 16)),
                        CAST(:longest_wait AS interval)
                    )
                ) AND (
                    may_be_applied
                    OR {WANTED} = 'inactive' AND confirmed = 'enabled' AND NOT (
                        desired = 'inactive' AND paused_change_id = desired_change_id
                        AND (SELECT count(*) FROM unnest(repaused_at) AS moment WHERE moment > :repaused_since)
                            >= :repauses
                    )
                    OR {WANTED} = 'active' AND confirmed = 'paused' AND paused_by_us
                        AND /*citus acting.*/mode = 'full' AND enabled_at IS NULL
                )
        ))
    ORDER BY platform_account_id
""")  # noqa: S608 - a constant, put together once

BRANDS_VISITED = text("""
    SELECT DISTINCT brand_id FROM platform_account_brands JOIN platform_connections USING (platform_account_id)
    WHERE mode <> 'off'
""")

ACCOUNTS_OF_BRANDS = text("""
    SELECT DISTINCT platform_account_id
    FROM platform_account_brands JOIN platform_connections USING (platform_account_id)
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND mode <> 'off'
    ORDER BY platform_account_id
""")

NOTE_DESCRIPTION = text("""
    UPDATE platform_connections SET time_zone = :time_zone, currency = :currency, described_at = :at
    WHERE platform_account_id = :id
""")

NOTE_STATUSES_READ = text("""
    UPDATE platform_connections SET statuses_read_at = :at, failures = 0, failing_since = NULL, retry_at = NULL
    WHERE platform_account_id = :id
""")

NOTE_USAGE = text("""
    UPDATE platform_connections SET usage_percent = :percent, usage_at = :at WHERE platform_account_id = :id
""")

NOTE_FAILURE = text("""
    UPDATE platform_connections
    SET last_error = :error, failed_at = :at, failures = failures + 1, retry_at = :retry_at,
        failing_since = COALESCE(failing_since, CAST(:at AS timestamptz)),
        next_read_at = COALESCE(CAST(:next_read_at AS timestamptz), next_read_at)
    WHERE platform_account_id = :id
""")

# Stores until when the platform allows no requests: of this account, or of all on the platform that share a quota.
WAIT = text("""
    UPDATE platform_connections
    SET wait_until = greatest(wait_until, CAST(:until AS timestamptz)),
        pauses_wait_until = CASE WHEN CAST(:for_pauses AS boolean)
            THEN greatest(pauses_wait_until, CAST(:until AS timestamptz)) ELSE pauses_wait_until END
    FROM platform_accounts
    WHERE platform_accounts.id = platform_account_id
        AND (platform_account_id = :id OR CAST(:for_all AS boolean) AND platform = :platform)
""")


class StoredConnection(NamedTuple):
    """A connection's row with its account; db/models/platforms.py describes the columns (`PlatformConnection`).

    `id`: Spendgate's id of the account. `account_id`: the platform's id of it; None for a brand's default account.
    `options`: fields by name, such as `login_customer_id`.
    """

    id: int
    platform: str
    account_id: str | None
    name: str
    mode: str
    credentials: str
    options: dict[str, Any]
    time_zone: str | None
    currency: str | None
    described_at: datetime | None
    next_read_at: datetime | None
    last_read_at: datetime | None
    history_read_at: datetime | None
    statuses_read_at: datetime | None
    wait_until: datetime | None
    pauses_wait_until: datetime | None
    last_error: str | None
    failed_at: datetime | None
    failures: int
    limit_at: datetime | None


class WaitingAccount(NamedTuple):
    """The facts by which the moment of an account's next read is chosen. `is_free`: no worker has claimed it.

    `last_read_at`: when spend was read last; None: never, or the next read is due at once, such as after an edit of the
    connection. `statuses_read_at`: when statuses were read last; None: never. `limit_at`: when spend reaches the
    nearest limit at the last rate; None: not known. `retry_at`: when statuses are read again after a failure; None:
    there was none. `holds_some`: a campaign of the account is paused on the platform by Spendgate. `used_percent`: the
    used part of its quota, as the platform reported it within USAGE_WINDOW; 0 without such a report.
    """

    id: int
    is_spend_due: bool
    last_read_at: datetime | None
    limit_at: datetime | None
    is_free: bool
    statuses_read_at: datetime | None
    retry_at: datetime | None
    used_percent: int
    holds_some: bool


def connection_of(connection: Connection, account: int) -> StoredConnection | None:
    """The connection of the platform account with this id; None if it has none."""
    row = connection.execute(CONNECTION, {"id": account}).first()
    return None if row is None else StoredConnection(*row)


def required_connection(connection: Connection, account: int) -> StoredConnection:
    """The connection of the platform account with this id. Raises InvalidValue if it has none."""
    stored = connection_of(connection, account)
    if stored is None:
        raise NotFound("account", f"there is no connection of platform account {account}")
    return stored


def connections(connection: Connection) -> list[StoredConnection]:
    """All connections, in the order of their accounts' ids."""
    return [StoredConnection(*row) for row in connection.execute(CONNECTIONS)]


def waiting(connection: Connection, platform: str, at: datetime) -> list[WaitingAccount]:
    """The platform's accounts whose mode is not `off` and which the platform allows to read at `at`, in id order."""
    values = {"platform": platform, "at": at, "usage_since": at - USAGE_WINDOW}
    return [WaitingAccount(*row) for row in connection.execute(WAITING, values)]


def due_for_changes(connection: Connection, platform: str, at: datetime) -> list[int]:
    """The ids of the platform's accounts with a status to change or to read at `at`, before their next regular read.

    These are accounts with a campaign to pause or enable, or with a change whose outcome is unknown, and accounts that
    a worker tried to claim while another had them. Leaves out accounts that another worker has claimed or to which no
    request is allowed yet, and changes that were refused and whose `refused_wait` (domain/reconcile.py) has not passed.
    """
    values = {"platform": platform, "at": at, "tries": TRIES}
    values |= {"first_wait": FIRST_WAIT, "longest_wait": LONGEST_WAIT}
    values |= {"repaused_since": at - REPAUSE_WINDOW, "repauses": REPAUSES_AN_HOUR}
    return list(connection.scalars(DUE_FOR_CHANGES, values))


def brands_visited(connection: Connection) -> frozenset[int]:
    """The ids of brands with an account whose mode is not `off`."""
    return frozenset(connection.scalars(BRANDS_VISITED))


def accounts_of_brands(connection: Connection, brand_ids: Sequence[int]) -> list[int]:
    """The ids, in order, of these brands' accounts whose mode is not `off`."""
    return list(connection.scalars(ACCOUNTS_OF_BRANDS, {"brand_ids": list(brand_ids)}))


def note_description(connection: Connection, account: int, time_zone: str, currency: str, at: datetime) -> None:
    """Stores the time zone and currency that the platform reported for the account."""
    connection.execute(NOTE_DESCRIPTION, {"id": account, "time_zone": time_zone, "currency": currency, "at": at})


def note_usage(connection: Connection, account: int, percent: int, at: datetime) -> None:
    """Stores the used percent of the account's quota, as the platform reported it at `at`."""
    connection.execute(NOTE_USAGE, {"id": account, "percent": percent, "at": at})


def note_statuses_read(connection: Connection, account: int, at: datetime) -> None:
    """Stores that the account's statuses were read at `at`, and clears its count of failed requests."""
    connection.execute(NOTE_STATUSES_READ, {"id": account, "at": at})


def note_failure(
    connection: Connection, account: int, error: str, at: datetime, *, next_read_at: datetime | None, retry_at: datetime
) -> None:
    """Stores a failed request at `at`, and counts it. `next_read_at`: when spend is read next; None: leaves that time.

    `retry_at`: when statuses are read and changed again. `error` must contain no secrets.
    """
    values = {"id": account, "error": error, "at": at, "next_read_at": next_read_at, "retry_at": retry_at}
    connection.execute(NOTE_FAILURE, values)


def wait(
    connection: Connection, account: StoredConnection, until: datetime, *, for_pauses: bool, for_all: bool
) -> None:
    """Stores that the platform allows no reads and releases of the account before `until`.

    `for_pauses`: no pauses either. `for_all`: the limit is shared by all accounts on the platform.
    """
    values = {"id": account.id, "platform": account.platform, "until": until}
    connection.execute(WAIT, values | {"for_pauses": for_pauses, "for_all": for_all})
