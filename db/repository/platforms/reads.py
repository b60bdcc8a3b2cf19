"""Claims reads of accounts' spend, stores their results, and makes reads due sooner after releases and new limits."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, TextClause, text

from db.local_settings import has_citus
from db.repository.shared.arrays import array_of

# The end of a claim is the account's next read: then it is due again if its worker died.
CLAIM = text("""
    UPDATE platform_connections SET next_read_at = :until
    WHERE platform_account_id = :id AND mode <> 'off'
        AND COALESCE(next_read_at, '-infinity') <= :at AND COALESCE(wait_until, '-infinity') <= :at
    RETURNING platform_account_id
""")

PROLONG = text("""
    UPDATE platform_connections SET next_read_at = :until
    WHERE platform_account_id = :id AND next_read_at = :claimed
        AND mode <> 'off' AND COALESCE(wait_until, '-infinity') <= :at
    RETURNING platform_account_id
""")

END_CLAIM = text("""
    UPDATE platform_connections SET next_read_at = :at WHERE platform_account_id = :id AND next_read_at = :claimed
""")

NOTE_SPEND_READ = text("""
    UPDATE platform_connections
    SET last_read_at = CAST(:at AS timestamptz), limit_at = :limit_at,
        next_read_at = CASE WHEN next_read_at = :claimed THEN CAST(:next_read_at AS timestamptz) ELSE next_read_at END,
        last_error = CAST(:problem AS text), failures = 0, failing_since = NULL, retry_at = NULL,
        problem_since = CASE
            WHEN CAST(:problem AS text) IS NOT NULL THEN COALESCE(problem_since, CAST(:at AS timestamptz))
        END,
        failed_at = CASE WHEN CAST(:problem AS text) IS NOT NULL THEN CAST(:at AS timestamptz) END,
        history_read_at = CASE WHEN CAST(:is_history AS boolean) THEN CAST(:at AS timestamptz) ELSE history_read_at END
    WHERE platform_account_id = :id
""")

# Whether one of the account's campaigns was released, or one of its limits changed, after its last read.
CHANGED_SINCE: Final = """(EXISTS (
            SELECT FROM platform_account_brands AS bound JOIN status_changes USING (brand_id)
            JOIN campaigns ON campaigns.brand_id = status_changes.brand_id AND campaigns.id = campaign_id
            WHERE bound.platform_account_id = late.platform_account_id
                AND campaigns.platform_account_id = late.platform_account_id
                AND to_status = 'active' AND changed_at > last_read_at AND changed_at <= :changed_before
        ) OR EXISTS (
            SELECT FROM platform_account_brands AS bound JOIN budget_limits USING (brand_id)
            WHERE bound.platform_account_id = late.platform_account_id
                AND changed_at > last_read_at AND changed_at <= :changed_before
        ))"""


def _hasten(condition: str) -> TextClause:
    """The statement that makes due the accounts that meet the condition.

    Failing accounts are only made due by :retry_at. Skips a row that another transaction has locked.
    """
    return text(f"""
    UPDATE platform_connections
    SET next_read_at = CASE WHEN failures = 0 THEN CAST(:at AS timestamptz) ELSE CAST(:retry_at AS timestamptz) END,
        limit_at = least(limit_at, CAST(:limit_at AS timestamptz))
    WHERE platform_account_id IN (
        SELECT platform_account_id FROM platform_connections AS late
        WHERE mode <> 'off' AND next_read_at > greatest(
            CAST(:soon AS timestamptz), CASE WHEN failures > 0 THEN CAST(:retry_at AS timestamptz) END
        ) AND {condition}
        ORDER BY platform_account_id
        FOR NO KEY UPDATE OF late SKIP LOCKED
    )
    """)  # noqa: S608 - of constants


OF_PLATFORM: Final = "platform_account_id IN (SELECT id FROM platform_accounts WHERE platform = :platform)"

HASTEN = _hasten(f"{OF_PLATFORM} AND {CHANGED_SINCE}")

# On several servers an update of a table of the coordinator cannot read other servers: a statement before it does.
HASTEN_CHOSEN = _hasten("late.platform_account_id = ANY(CAST(:accounts AS bigint[]))")
CHANGED = text("""
    SELECT late.platform_account_id FROM platform_connections AS late
    JOIN platform_accounts ON platform_accounts.id = late.platform_account_id AND platform = :platform
    JOIN platform_account_brands AS bound ON bound.platform_account_id = late.platform_account_id
    JOIN status_changes ON status_changes.brand_id = bound.brand_id
    JOIN campaigns ON campaigns.brand_id = status_changes.brand_id AND campaigns.id = campaign_id
    WHERE mode <> 'off' AND campaigns.platform_account_id = late.platform_account_id
        AND to_status = 'active' AND changed_at > last_read_at AND changed_at <= :changed_before
    UNION
    SELECT late.platform_account_id FROM platform_connections AS late
    JOIN platform_accounts ON platform_accounts.id = late.platform_account_id AND platform = :platform
    JOIN platform_account_brands AS bound ON bound.platform_account_id = late.platform_account_id
    JOIN budget_limits ON budget_limits.brand_id = bound.brand_id
    WHERE mode <> 'off' AND changed_at > last_read_at AND changed_at <= :changed_before
""")


def claim(connection: Connection, account: int, at: datetime, until: datetime) -> bool:
    """Claims the read of an account that is due and may be read at `at`; returns whether it was.

    Until `until` it is not due again, so that no other worker reads it.
    """
    return connection.execute(CLAIM, {"id": account, "at": at, "until": until}).first() is not None


def prolong(connection: Connection, account: int, claimed: datetime, until: datetime, at: datetime) -> bool:
    """Moves the end of this worker's claim from `claimed` to `until`; returns whether it may go on reading at `at`.

    It may not if the claim is lost, the mode is `off` by now, or the platform allows no reads by now.
    """
    values = {"id": account, "claimed": claimed, "until": until, "at": at}
    return connection.execute(PROLONG, values).first() is not None


def end_claim(connection: Connection, account: int, claimed: datetime, at: datetime) -> None:
    """Ends the claim that lasts until `claimed`, and makes the account due at `at`; without the claim does nothing."""
    connection.execute(END_CLAIM, {"id": account, "claimed": claimed, "at": at})


def note_spend_read(
    connection: Connection,
    account: int,
    at: datetime,
    claimed: datetime,
    next_read_at: datetime,
    limit_at: datetime | None,
    problem: str | None,
    *,
    is_history: bool,
) -> None:
    """Stores a successful read of spend at `at`, and clears the account's count of failed requests.

    `problem`: a sentence for people about spend that was left out; None: none was. `claimed`: the end of this worker's
    claim; if the claim is lost, `next_read_at` is not stored. `limit_at`: when spend reaches the nearest limit; None:
    unknown or never. `is_history`: earlier days were read too.
    """
    values = {
        "claimed": claimed,
        "id": account,
        "at": at,
        "next_read_at": next_read_at,
        "limit_at": limit_at,
        "problem": problem,
    }
    connection.execute(NOTE_SPEND_READ, values | {"is_history": is_history})


def hasten(
    connection: Connection,
    platform: str,
    at: datetime,
    *,
    changed_before: datetime,
    soon: datetime,
    retry_at: datetime,
    limit_at: datetime,
) -> None:
    """Makes the platform's accounts due at `at` that were not read since a release or a change of a limit.

    Only releases and changes made until `changed_before` count. Leaves out accounts that are due by `soon` anyway, and
    accounts whose row another transaction has locked. Failing accounts become due at `retry_at`, unless they are due
    earlier. `limit_at`: stored, unless an earlier one is known, as the time at which spend may reach a limit, because
    its rate is unknown.
    """
    values = {"at": at, "soon": soon, "retry_at": retry_at, "limit_at": limit_at}
    of_platform = {"platform": platform, "changed_before": changed_before}
    if not has_citus(connection):
        connection.execute(HASTEN, values | of_platform)
        return
    changed = list(connection.scalars(CHANGED, of_platform))
    if changed:
        connection.execute(HASTEN_CHOSEN, values | {"accounts": array_of(changed)})
