"""Reads rows for the API: single rows, pages by id, and spend by day or campaign from the counters."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, TextClause, text

from db.repository.shared.rows import containing, plain
from db.repository.shared.watermarks import JOBS
from db.repository.shared.windows import ENDLESS, SPEND_OF_BUDGETS, SPENT_MICROS, current_windows
from domain.errors import NotFound

BRAND_COLUMNS = "id, name, time_zone, currency, configured_status, created_at"

CAMPAIGN_COLUMNS = """
    id, brand_id, name, platform, external_id,
    (SELECT account_id FROM platform_accounts WHERE platform_accounts.id = platform_account_id) AS account,
    starts_on, ends_on, configured_status, effective_status, holds, next_change_at, campaigns.created_at
"""

BRAND = text(f"SELECT {BRAND_COLUMNS} FROM brands WHERE id = :id")  # noqa: S608 - a constant

CAMPAIGN = text(f"SELECT {CAMPAIGN_COLUMNS} FROM campaigns WHERE id = :id")  # noqa: S608 - a constant

BUDGET = text("SELECT id, brand_id, campaign_id, period, limit_micros, changed_at FROM budgets WHERE id = :id")

BRANDS = text(f"""
    SELECT {BRAND_COLUMNS} FROM brands
    WHERE id > :after
        AND (CAST(:only_brand_id AS bigint) IS NULL OR id = :only_brand_id)
        AND (CAST(:configured_status AS text) IS NULL OR configured_status = :configured_status)
        AND (CAST(:time_zone AS text) IS NULL OR time_zone = :time_zone)
        AND (CAST(:name_like AS text) IS NULL OR name ILIKE :name_like)
    ORDER BY id LIMIT :limit
""")  # noqa: S608 - a constant, put together once

CAMPAIGNS = text(f"""
    SELECT {CAMPAIGN_COLUMNS} FROM campaigns
    WHERE id > :after
        AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
        AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
        AND (CAST(:configured_status AS text) IS NULL OR configured_status = :configured_status)
        AND (CAST(:effective_status AS text) IS NULL OR effective_status = :effective_status)
        AND (CAST(:hold AS text) IS NULL OR :hold = ANY(holds))
        AND (CAST(:platform AS text) IS NULL OR platform = :platform)
        AND (CAST(:external_id AS text) IS NULL OR external_id = :external_id)
        AND (CAST(:name_like AS text) IS NULL OR name ILIKE :name_like)
    ORDER BY id LIMIT :limit
""")  # noqa: S608 - a constant, put together once

BUDGETS = text("""
    SELECT id, brand_id, campaign_id, period, limit_micros, changed_at FROM budgets
    WHERE id > :after
        AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
        AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
        AND (CAST(:campaign_id AS bigint) IS NULL OR campaign_id = :campaign_id)
        AND (CAST(:period AS text) IS NULL OR period = :period)
    ORDER BY id LIMIT :limit
""")

ZONES_OF_BRANDS = text("SELECT DISTINCT time_zone FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[]))")

# The spend of the given budgets in their current windows.
SPENT_OF_BUDGETS = text(f"""
    SELECT budgets.id, first_day, end_day, {SPENT_MICROS} AS spent_micros
    {SPEND_OF_BUDGETS}
    WHERE budgets.id = ANY(CAST(:ids AS bigint[]))
""")

STATUS_CHANGES = text("""
    SELECT id, brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details
    FROM status_changes
    WHERE id > :after
        AND (CAST(:only_brand_id AS bigint) IS NULL OR brand_id = :only_brand_id)
        AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
        AND (CAST(:campaign_id AS bigint) IS NULL OR campaign_id = :campaign_id)
    ORDER BY id LIMIT :limit
""")

BRAND_DAYS = text("""
    SELECT day, spent_micros FROM brand_days
    WHERE brand_id = :brand_id AND day BETWEEN :first_day AND :last_day ORDER BY day
""")

CAMPAIGN_DAYS = text("""
    SELECT day, spent_micros FROM campaign_days
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id AND day BETWEEN :first_day AND :last_day ORDER BY day
""")

# One page of the campaigns with counters on these days; sums only the campaigns on the page.
SPEND_OF_CAMPAIGNS = text("""
    SELECT id AS campaign_id, name, spent.spent_micros
    FROM campaigns CROSS JOIN LATERAL (
        SELECT sum(spent_micros) AS spent_micros FROM campaign_days
        WHERE campaign_days.brand_id = campaigns.brand_id AND campaign_id = campaigns.id
            AND day BETWEEN :first_day AND :last_day
        HAVING count(*) > 0
    ) AS spent
    WHERE brand_id = :brand_id AND id > :after
        AND (CAST(:campaign_id AS bigint) IS NULL OR id = :campaign_id)
    ORDER BY id LIMIT :limit
""")

WATERMARKS = text("SELECT name, reached_at FROM watermarks WHERE name = ANY(:jobs) ORDER BY name")


def brand(connection: Connection, brand_id: int) -> dict[str, Any]:
    """The brand's fields. Raises InvalidValue if there is no such brand."""
    return _found(connection, BRAND, "brand", brand_id)


def campaign(connection: Connection, campaign_id: int) -> dict[str, Any]:
    """The campaign's fields, also those that enforcement sets. Raises InvalidValue if there is no such campaign."""
    return _found(connection, CAMPAIGN, "campaign", campaign_id)


def budget(connection: Connection, budget_id: int, at: datetime) -> dict[str, Any]:
    """The budget with the micros spent in its window at `at`. Raises InvalidValue if there is no such budget."""
    return _with_spend(connection, [_found(connection, BUDGET, "budget", budget_id)], at)[0]


def _found(connection: Connection, statement: TextClause, subject: str, subject_id: int) -> dict[str, Any]:
    row = connection.execute(statement, {"id": subject_id}).first()
    if row is None:
        raise NotFound(subject, f"there is no {subject} {subject_id}")
    return dict(row._mapping)


def brands(
    connection: Connection,
    *,
    after: int,
    limit: int,
    only_brand_id: int | None = None,
    configured_status: str | None = None,
    time_zone: str | None = None,
    name_contains: str | None = None,
) -> list[dict[str, Any]]:
    """One page of brands in id order, after the id `after`; filters of None match all.

    `only_brand_id`: the only brand that the caller may see; None: all.
    """
    parameters = {
        "after": after,
        "limit": limit,
        "only_brand_id": only_brand_id,
        "configured_status": configured_status,
        "time_zone": time_zone,
        "name_like": None if name_contains is None else containing(name_contains),
    }
    return plain(connection.execute(BRANDS, parameters))


def campaigns(
    connection: Connection,
    *,
    after: int,
    limit: int,
    only_brand_id: int | None = None,
    brand_id: int | None = None,
    configured_status: str | None = None,
    effective_status: str | None = None,
    hold: str | None = None,
    platform: str | None = None,
    external_id: str | None = None,
    name_contains: str | None = None,
) -> list[dict[str, Any]]:
    """One page of campaigns in id order, after the id `after`; filters of None match all.

    `only_brand_id`: the only brand whose campaigns the caller may see; None: all.
    """
    parameters = {
        "after": after,
        "limit": limit,
        "only_brand_id": only_brand_id,
        "brand_id": brand_id,
        "configured_status": configured_status,
        "effective_status": effective_status,
        "hold": hold,
        "platform": platform,
        "external_id": external_id,
        "name_like": None if name_contains is None else containing(name_contains),
    }
    return plain(connection.execute(CAMPAIGNS, parameters))


def budgets(
    connection: Connection,
    at: datetime,
    *,
    after: int,
    limit: int,
    only_brand_id: int | None = None,
    brand_id: int | None = None,
    campaign_id: int | None = None,
    period: str | None = None,
) -> list[dict[str, Any]]:
    """One page of budgets in id order, after the id `after`, with the micros spent in their windows at `at`.

    Filters of None match all. `only_brand_id`: the only brand that the caller may see; None: all.
    """
    parameters = {
        "after": after,
        "limit": limit,
        "only_brand_id": only_brand_id,
        "brand_id": brand_id,
        "campaign_id": campaign_id,
        "period": period,
    }
    return _with_spend(connection, plain(connection.execute(BUDGETS, parameters)), at)


def _with_spend(connection: Connection, rows: Collection[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    """Adds window and spend to each budget.

    The window is None for a lifetime budget; both are None if the brand's time zone does not exist.
    """
    zones = connection.scalars(ZONES_OF_BRANDS, {"brand_ids": [row["brand_id"] for row in rows]})
    parameters = {"ids": [row["id"] for row in rows], **current_windows(zones, at)}
    spent = {row.pop("id"): row for row in plain(connection.execute(SPENT_OF_BUDGETS, parameters))}
    return [{**row, **_window(spent.get(row["id"]))} for row in rows]


def _window(spent: dict[str, Any] | None) -> dict[str, Any]:
    if spent is None:
        return {"spent_micros": None, "window_first_day": None, "window_end_day": None}
    endless = spent["end_day"] == ENDLESS
    return {
        "spent_micros": spent["spent_micros"],
        "window_first_day": None if endless else spent["first_day"],
        "window_end_day": None if endless else spent["end_day"],
    }


def status_changes(
    connection: Connection,
    *,
    after: int,
    limit: int,
    only_brand_id: int | None = None,
    brand_id: int | None = None,
    campaign_id: int | None = None,
) -> list[dict[str, Any]]:
    """One page of status changes with an id above `after`, in commit order.

    Filters of None match all. `only_brand_id`: the only brand that the caller may see; None: all.
    """
    parameters = {
        "after": after,
        "limit": limit,
        "only_brand_id": only_brand_id,
        "brand_id": brand_id,
        "campaign_id": campaign_id,
    }
    return plain(connection.execute(STATUS_CHANGES, parameters))


def spend_by_day(
    connection: Connection, brand_id: int, campaign_id: int | None, first_day: date, last_day: date
) -> list[tuple[date, int]]:
    """(day, micros) pairs of the brand (`campaign_id` None) or of one campaign, both ends included.

    Days without a counter are left out.
    """
    statement = BRAND_DAYS if campaign_id is None else CAMPAIGN_DAYS
    days = {"first_day": first_day, "last_day": last_day}
    key = {"brand_id": brand_id} if campaign_id is None else {"brand_id": brand_id, "campaign_id": campaign_id}
    return [(day, micros) for day, micros in connection.execute(statement, {**key, **days})]


def spend_by_campaign(
    connection: Connection,
    brand_id: int,
    campaign_id: int | None,
    days: tuple[date, date],
    *,
    after: int,
    limit: int,
) -> list[dict[str, Any]]:
    """One page of the campaigns with a counter on the days (first, last), both included, with their micros.

    `campaign_id`: only this campaign; None: all of the brand.
    """
    parameters = {
        "brand_id": brand_id,
        "campaign_id": campaign_id,
        "first_day": days[0],
        "last_day": days[1],
        "after": after,
        "limit": limit,
    }
    return plain(connection.execute(SPEND_OF_CAMPAIGNS, parameters))


def watermarks(connection: Connection) -> dict[str, datetime]:
    """The moment up to which each monitored job has done its work, by name; jobs that never ran are left out."""
    rows = connection.execute(WATERMARKS, {"jobs": sorted(JOBS)})
    return {name: reached_at for name, reached_at in rows}  # noqa: C416 - rows are no pairs to mypy
