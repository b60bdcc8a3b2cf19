"""Stores and reads the history of status changes that platforms confirmed, for reports and accounts' bounds."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.platforms.statuses import StoredStatus
from db.repository.shared.amounts import bounded
from db.repository.shared.deletions import ROWS_A_BATCH

# Only the first confirmation of a status change counts: a pause that is sent again confirms no new decision.
ADD = text("""
    INSERT INTO platform_confirmations
        (brand_id, campaign_id, status_change_id, platform_account_id, desired, decided_at, confirmed_at)
    VALUES (:brand_id, :campaign_id, :desired_change_id, :account, :desired, :desired_at, :confirmed_at)
    ON CONFLICT DO NOTHING
""")

# Spend after a decision to pause and before its confirmation. A total that was read within the hour after the
# confirmation, and before a release, has spend from before the confirmation.
DELAYED = """
    SELECT pause.campaign_id, decided_at, confirmed_at, occurred_at, amount_micros
    FROM platform_confirmations AS pause
    JOIN spend_events ON spend_events.brand_id = pause.brand_id AND spend_events.campaign_id = pause.campaign_id
    CROSS JOIN LATERAL (
        SELECT COALESCE(min(changed_at), 'infinity') AS released_at FROM status_changes
        WHERE brand_id = pause.brand_id AND campaign_id = pause.campaign_id AND changed_at > decided_at
            AND to_status = 'active'
    ) AS release
    WHERE pause.brand_id = :brand_id AND desired = 'inactive' AND occurred_at > decided_at AND (
        occurred_at <= confirmed_at
        OR received_at <= confirmed_at + interval '1 hour' AND received_at < released_at AND EXISTS (
            SELECT FROM reported_totals AS reported
            WHERE reported.brand_id = pause.brand_id AND reported.source = spend_events.source
                AND reported.campaign_id = pause.campaign_id
        )
    )
"""

SUMMARY = text(f"""
    SELECT count(*)::int AS pauses, COALESCE(max(extract(epoch FROM confirmed_at - decided_at)), 0) AS longest_seconds,
        (SELECT {bounded("COALESCE(sum(amount_micros), 0)")} FROM ({DELAYED}) AS delayed) AS delayed_micros
    FROM platform_confirmations WHERE brand_id = :brand_id AND desired = 'inactive'
""")  # noqa: S608 - a constant, put together once

FORGET = text("""
    DELETE FROM platform_confirmations WHERE (brand_id, campaign_id, status_change_id) IN (
        SELECT brand_id, campaign_id, status_change_id FROM platform_confirmations
        WHERE confirmed_at < :floor LIMIT :limit
    )
""")


def add(connection: Connection, account: int, confirmed: Iterable[StoredStatus]) -> None:
    """Stores that the account's platform reported the desired status of these campaigns.

    Ignores status changes that were confirmed before. Writes in key order, so that two transactions cannot deadlock.
    """
    rows = [status._asdict() | {"account": account} for status in confirmed]
    if rows:
        connection.execute(ADD, sorted(rows, key=lambda row: (row["brand_id"], row["campaign_id"])))


class ConfirmedPauses(NamedTuple):
    """Figures of the confirmed pauses of a brand's campaigns. `pauses`: how many there are.

    `longest_seconds`: the longest time from a decision to pause to its confirmation by the platform; 0 without pauses.
    `delayed_micros`: the campaigns' spend between decisions and confirmations.
    """

    pauses: int
    longest_seconds: float
    delayed_micros: int


def confirmed_pauses(connection: Connection, brand_id: int) -> ConfirmedPauses:
    """The figures of the brand's confirmed pauses, over all stored confirmations."""
    row = connection.execute(SUMMARY, {"brand_id": brand_id}).one()
    return ConfirmedPauses(row.pauses, float(row.longest_seconds), row.delayed_micros)


def forget(connection: Connection, floor: datetime) -> int:
    """Deletes at most ROWS_A_BATCH confirmations made before `floor`, the ledger's first instant; returns how many."""
    return connection.execute(FORGET, {"floor": floor, "limit": ROWS_A_BATCH}).rowcount
