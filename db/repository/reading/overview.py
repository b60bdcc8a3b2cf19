"""Reads brands, campaigns, budgets and the latest status changes for overviews, from counters, not the ledger."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.enforcement import targets
from db.repository.shared.rows import plain
from db.repository.shared.windows import SPEND_OF_BUDGETS, SPENT_MICROS, current_windows

# Brands with their spend in the current daily and monthly windows, and their numbers of campaigns.
BRANDS = text("""
    SELECT brands.id, name, brands.time_zone, currency, configured_status,
        COALESCE(today.spent_micros, 0) AS today_micros, COALESCE(month.spent_micros, 0) AS month_micros,
        COALESCE(tally.campaigns, 0) AS campaigns, COALESCE(tally.active_campaigns, 0) AS active_campaigns
    FROM brands
    LEFT JOIN unnest(
        CAST(:zones AS text[]), CAST(:periods AS text[]), CAST(:first_days AS date[]), CAST(:end_days AS date[])
    ) AS day(time_zone, period, first_day, end_day) ON day.time_zone = brands.time_zone AND day.period = 'daily'
    LEFT JOIN unnest(
        CAST(:zones AS text[]), CAST(:periods AS text[]), CAST(:first_days AS date[]), CAST(:end_days AS date[])
    ) AS monthly(time_zone, period, first_day, end_day)
        ON monthly.time_zone = brands.time_zone AND monthly.period = 'monthly'
    LEFT JOIN brand_days AS today ON today.brand_id = brands.id AND today.day = day.first_day
    LEFT JOIN LATERAL (
        SELECT sum(spent_micros) AS spent_micros FROM brand_days
        WHERE brand_id = brands.id AND brand_days.day >= monthly.first_day AND brand_days.day < monthly.end_day
        /*citus GROUP BY brand_id */
    ) AS month ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS campaigns, count(*) FILTER (WHERE effective_status = 'active') AS active_campaigns
        FROM campaigns WHERE brand_id = brands.id /*citus GROUP BY brand_id */
    ) AS tally ON true
    ORDER BY brands.id
    LIMIT :limit
""")

# Campaigns with their spend on the brand's current local day.
CAMPAIGNS = text("""
    SELECT campaigns.id, campaigns.brand_id, campaigns.name, platform, external_id, campaigns.configured_status,
        effective_status, holds, next_change_at, currency, brands.time_zone,
        COALESCE(campaign_days.spent_micros, 0) AS today_micros
    FROM campaigns JOIN brands ON brands.id = campaigns.brand_id
    LEFT JOIN unnest(
        CAST(:zones AS text[]), CAST(:periods AS text[]), CAST(:first_days AS date[]), CAST(:end_days AS date[])
    ) AS today(time_zone, period, first_day, end_day)
        ON today.time_zone = brands.time_zone AND today.period = 'daily'
    LEFT JOIN campaign_days ON campaign_days.brand_id = campaigns.brand_id
        AND campaign_id = campaigns.id AND day = first_day
    WHERE (CAST(:brand_id AS bigint) IS NULL OR campaigns.brand_id = :brand_id)
        AND (CAST(:status AS text) IS NULL OR effective_status = :status)
    ORDER BY campaigns.brand_id, campaigns.id
    LIMIT :limit
""")

# Budgets with the spend in their current windows.
BUDGETS = text(f"""
    SELECT budgets.brand_id, campaign_id, budgets.period, limit_micros, {SPENT_MICROS} AS spent_micros, currency,
        CASE WHEN budgets.period = 'lifetime' THEN NULL ELSE first_day END AS first_day
    {SPEND_OF_BUDGETS}
    WHERE (CAST(:brand_id AS bigint) IS NULL OR budgets.brand_id = :brand_id)
    ORDER BY budgets.brand_id, campaign_id NULLS FIRST, first_day DESC
""")

# The latest status changes, newest first.
STATUS_CHANGES = text("""
    SELECT status_changes.id, status_changes.brand_id, campaign_id, campaigns.name AS campaign,
        brands.name AS brand, changed_at, to_status, holds_before, holds_after, cause, details
    FROM status_changes
    JOIN campaigns ON campaigns.id = campaign_id /*citus AND campaigns.brand_id = status_changes.brand_id */
    JOIN brands ON brands.id = status_changes.brand_id
    ORDER BY status_changes.id DESC
    LIMIT :limit
""")

# The names of a campaign and its brand, or of a brand alone. Citus refuses a join that a NULL alone makes impossible.
NAMED = text("""
    SELECT brands.id AS brand_id, brands.name AS brand, currency, campaigns.id AS campaign_id,
        campaigns.name AS campaign
    FROM brands LEFT JOIN campaigns ON campaigns.brand_id = brands.id AND campaigns.id = COALESCE(:campaign_id, 0)
    WHERE brands.id = COALESCE(:brand_id, (SELECT brand_id FROM campaigns WHERE id = :campaign_id))
""")

# How often a brand's campaigns became inactive, by the holds they then had.
STOPS = text("""
    SELECT holds_after, count(*) AS times FROM status_changes
    WHERE brand_id = :brand_id AND to_status = 'inactive' GROUP BY holds_after ORDER BY times DESC, holds_after
""")

# The numbers of active and of all campaigns; three times as fast as GROUP BY.
TALLY = text("""
    SELECT count(*) FILTER (WHERE effective_status = 'active') AS active, count(*) AS campaigns FROM campaigns
""")

# Fails where one of these tables is missing. Citus asks the coordinator alone: another server may be away.
READY = text("""
    SELECT EXISTS (SELECT FROM campaigns /*citus WHERE false */),
        EXISTS (SELECT FROM hold_changes /*citus WHERE false */), EXISTS (SELECT FROM users)
""")


def _now(connection: Connection, at: datetime) -> Mapping[str, Any]:
    return current_windows(targets.zones_in_use(connection), at)


def brands(connection: Connection, at: datetime, limit: int = 1_000) -> list[dict[str, Any]]:
    """Brands in id order, with the micros spent today and this month in their own time zones."""
    parameters = {**_now(connection, at), "limit": limit}
    return plain(connection.execute(BRANDS, parameters))


def campaigns(
    connection: Connection, at: datetime, *, brand_id: int | None = None, status: str | None = None, limit: int = 1_000
) -> list[dict[str, Any]]:
    """Campaigns in order of brand and id, with the micros spent today in their brand's time zone.

    `brand_id`, `status` (the effective one): only these; None: all.
    """
    parameters = {**_now(connection, at), "brand_id": brand_id, "status": status, "limit": limit}
    return plain(connection.execute(CAMPAIGNS, parameters))


def budgets(connection: Connection, at: datetime, *, brand_id: int | None = None) -> list[dict[str, Any]]:
    """Budgets of brands and campaigns, with the micros spent in their windows at `at`.

    Leaves out brands with an unknown time zone. `brand_id` None: of all brands.
    """
    parameters = {**_now(connection, at), "brand_id": brand_id}
    return plain(connection.execute(BUDGETS, parameters))


def status_changes(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The latest status changes with names, newest first."""
    return plain(connection.execute(STATUS_CHANGES, {"limit": limit}))


def named(
    connection: Connection, *, campaign_id: int | None = None, brand_id: int | None = None
) -> list[dict[str, Any]]:
    """The name and id of a campaign and of its brand, or of a brand alone, in a list; an empty list if not found.

    Give either `campaign_id` or `brand_id`.
    """
    return plain(connection.execute(NAMED, {"campaign_id": campaign_id, "brand_id": brand_id}))


def stops(connection: Connection, brand_id: int) -> list[dict[str, Any]]:
    """How often campaigns of the brand became inactive, by the holds they then had; most frequent first.

    Each row has `holds_after` and `times`.
    """
    return plain(connection.execute(STOPS, {"brand_id": brand_id}))


def tally(connection: Connection) -> dict[str, int]:
    """The number of campaigns with each effective status."""
    counted = connection.execute(TALLY).one()
    return {"active": counted.active, "inactive": counted.campaigns - counted.active}


def check_tables(connection: Connection) -> None:
    """Raises a DBAPIError if the table `campaigns`, `hold_changes` or `users` is missing, as before migrations."""
    connection.execute(READY)
