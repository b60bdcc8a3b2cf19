"""The limits that an account's spend nears, and the spend in their current windows."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.windows import SPEND_OF_BUDGETS, SPENT_MICROS, current_windows

# Budgets of active campaigns of the account, and of their brands, with the newest release of such a campaign.
LIMITS = text(f"""
    WITH serving AS (
        SELECT brand_id, campaigns.id AS campaign_id, COALESCE(changed_at, created_at) AS released_at
        FROM campaigns LEFT JOIN LATERAL (
            SELECT changed_at FROM status_changes
            WHERE status_changes.campaign_id = campaigns.id /*citus AND status_changes.brand_id = campaigns.brand_id */
            ORDER BY status_changes.id DESC LIMIT 1
        ) AS change ON true
        WHERE platform_account_id = :account AND effective_status = 'active'
    ), released AS (
        SELECT brand_id, campaign_id, released_at FROM serving
        UNION ALL
        SELECT brand_id, 0, max(released_at) FROM serving GROUP BY brand_id
    )
    SELECT budgets.id AS budget_id, time_zone, first_day, limit_micros, {SPENT_MICROS} AS spent_micros, released_at
    {SPEND_OF_BUDGETS}
    JOIN released ON released.brand_id = budgets.brand_id
        AND released.campaign_id = COALESCE(budgets.campaign_id, 0)
""")  # noqa: S608 - a constant, put together once


class AccountLimit(NamedTuple):
    """A budget in its current window, which began on the local day `first_day` of its brand, and the spend in it.

    `released_at`: when one of the budget's campaigns last became active, by a release or by its creation.
    """

    budget_id: int
    time_zone: str
    first_day: date
    limit_micros: int
    spent_micros: int
    released_at: datetime


def of_account(connection: Connection, account: int, zones: Iterable[str], at: datetime) -> list[AccountLimit]:
    """The budgets of the account's active campaigns and of their brands, exhausted or not.

    `at`: the moment by which the current windows are chosen. `zones`: the time zones of these brands; brands of other
    zones are left out.
    """
    rows = connection.execute(LIMITS, {"account": account} | current_windows(zones, at))
    return [AccountLimit(*row)._replace(spent_micros=int(row.spent_micros)) for row in rows]
