"""Monthly reports: what a month held, stored as it was known when the report was made."""

import json
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.rows import plain

# The brands that were there before the month ended.
BRANDS_TO_REPORT = text("""
    SELECT id FROM brands
    WHERE time_zone = :zone AND (created_at < :ends_at OR EXISTS (
        SELECT FROM brand_days WHERE brand_id = brands.id AND day >= :first_day AND day < :end_day
    ))
    ORDER BY id
""")

BRAND_DAYS = text("""
    SELECT day, spent_micros FROM brand_days
    WHERE brand_id = :brand_id AND day >= :first_day AND day < :end_day ORDER BY day
""")

CAMPAIGN_DAYS = text("""
    SELECT campaign_id, name, day, spent_micros FROM campaign_days JOIN campaigns ON campaigns.id = campaign_id
    WHERE campaign_days.brand_id = :brand_id AND day >= :first_day AND day < :end_day ORDER BY campaign_id, day
""")

# The limits in force when the month ended: the last one set before, unless it was removed.
LIMITS = text("""
    SELECT campaign_id, period, limit_micros FROM (
        SELECT DISTINCT ON (campaign_id, period) campaign_id, period, limit_micros
        FROM budget_limits WHERE brand_id = :brand_id AND changed_at < :ends_at
        ORDER BY campaign_id, period, id DESC
    ) AS last
    WHERE limit_micros IS NOT NULL
    ORDER BY campaign_id NULLS FIRST, period
""")

STATUS_CHANGES = text("""
    SELECT to_status, count(*) FROM status_changes
    WHERE brand_id = :brand_id AND changed_at >= :starts_at AND changed_at < :ends_at GROUP BY to_status
""")

# A new version where there is none yet or the last one says something else.
STORE = text("""
    INSERT INTO monthly_reports (brand_id, month, version, generated_at, content)
    SELECT :brand_id, :month, COALESCE(max(version), 0) + 1, :at, CAST(:content AS jsonb)
    FROM monthly_reports WHERE brand_id = :brand_id AND month = :month
    HAVING COALESCE((array_agg(content ORDER BY version DESC))[1] <> CAST(:content AS jsonb), true)
    RETURNING version
""")


def brands_to_report(connection: Connection, zone: str, first_day: date, end_day: date, ends_at: datetime) -> list[int]:
    """The brands of a zone for which the month [first_day, end_day), over at `ends_at`, is reported."""
    parameters = {"zone": zone, "first_day": first_day, "end_day": end_day, "ends_at": ends_at}
    return list(connection.scalars(BRANDS_TO_REPORT, parameters))


def month_of_brand(
    connection: Connection, brand_id: int, days: tuple[date, date], instants: tuple[datetime, datetime]
) -> dict[str, Any]:
    """The brand's month, as counters, limits and status changes tell it now; days and instants are half-open."""
    parameters = {
        "brand_id": brand_id,
        "first_day": days[0],
        "end_day": days[1],
        "starts_at": instants[0],
        "ends_at": instants[1],
    }
    campaigns: dict[int, dict[str, Any]] = {}
    for row in connection.execute(CAMPAIGN_DAYS, parameters):
        campaign = campaigns.setdefault(row.campaign_id, {"campaign_id": row.campaign_id, "name": row.name, "days": {}})
        campaign["days"][row.day.isoformat()] = row.spent_micros
    spent = {row.day.isoformat(): row.spent_micros for row in connection.execute(BRAND_DAYS, parameters)}
    return {
        "brand_id": brand_id,
        "month": f"{days[0]:%Y-%m}",
        "spent_micros": sum(spent.values()),
        "days": spent,
        "campaigns": list(campaigns.values()),
        "limits": plain(connection.execute(LIMITS, parameters)),
        "status_changes": {status: changes for status, changes in connection.execute(STATUS_CHANGES, parameters)},  # noqa: C416
    }


def store(connection: Connection, brand_id: int, month: date, content: dict[str, Any], at: datetime) -> int | None:
    """Stores a version of the month's report and returns its number; None where the last one says the same."""
    parameters = {"brand_id": brand_id, "month": month, "content": json.dumps(content), "at": at}
    version: int | None = connection.scalar(STORE, parameters)
    return version
