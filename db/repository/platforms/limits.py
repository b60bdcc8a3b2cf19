"""The limits that an account's spend nears, and the spend in their current windows."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.windows import SPEND_OF_BUDGETS, current_windows

# Budgets of active campaigns of the account, and of their brands.
LIMITS = text(f"""
    WITH serving AS (
        SELECT id, brand_id FROM campaigns WHERE platform_account_id = :account AND effective_status = 'active'
    )
    SELECT budgets.id AS budget_id, time_zone, first_day, limit_micros, spent_micros
    {SPEND_OF_BUDGETS}
    WHERE brands.id IN (SELECT brand_id FROM serving)
        AND (budgets.campaign_id IS NULL OR budgets.campaign_id IN (SELECT id FROM serving))
""")  # noqa: S608 - a constant, put together once


class AccountLimit(NamedTuple):
    """A budget in its current window, which began on `first_day` of its brand's zone."""

    budget_id: int
    time_zone: str
    first_day: date
    limit_micros: int
    spent_micros: int


def of_account(connection: Connection, account: int, zones: Iterable[str], at: datetime) -> list[AccountLimit]:
    """The budgets of the account's active campaigns and of their brands, exhausted or not.

    `zones`: the time zones of these brands; brands of other zones are left out.
    """
    rows = connection.execute(LIMITS, {"account": account} | current_windows(zones, at))
    return [AccountLimit(*row)._replace(spent_micros=int(row.spent_micros)) for row in rows]
