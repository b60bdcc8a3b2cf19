"""Reads the data of the dashboard's pages, one page at a time, from counters, rows and histories, not the ledger."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.enforcement import targets
from db.repository.shared.rows import containing, plain
from db.repository.shared.windows import SPEND_OF_BUDGETS, SPENT_MICROS, current_windows

# Brands with their spend today and this month in their own time zones, and the limits of both. `used` is the larger
# used share of the two limits; a limit of 0 counts as fully used.
BRANDS = text("""
    WITH figures AS (
        SELECT brands.id, name, brands.time_zone, currency, configured_status, spend_received_at,
            COALESCE(spent.today_micros, 0) AS today_micros, COALESCE(spent.month_micros, 0) AS month_micros,
            daily.limit_micros AS daily_limit_micros, monthly.limit_micros AS monthly_limit_micros,
            greatest(
                CASE WHEN daily.limit_micros = 0 THEN 'Infinity'
                    ELSE COALESCE(spent.today_micros, 0) / daily.limit_micros END,
                CASE WHEN monthly.limit_micros = 0 THEN 'Infinity'
                    ELSE COALESCE(spent.month_micros, 0) / monthly.limit_micros END
            ) AS used
        FROM brands
        JOIN unnest(
            CAST(:zones AS text[]), CAST(:periods AS text[]), CAST(:first_days AS date[]), CAST(:end_days AS date[])
        ) AS this_day(time_zone, period, first_day, end_day)
            ON this_day.time_zone = brands.time_zone AND this_day.period = 'daily'
        JOIN unnest(
            CAST(:zones AS text[]), CAST(:periods AS text[]), CAST(:first_days AS date[]), CAST(:end_days AS date[])
        ) AS this_month(time_zone, period, first_day, end_day)
            ON this_month.time_zone = brands.time_zone AND this_month.period = 'monthly'
        LEFT JOIN LATERAL (
            SELECT sum(spent_micros) AS month_micros,
                sum(spent_micros) FILTER (WHERE day = this_day.first_day) AS today_micros
            FROM brand_days
            WHERE brand_id = brands.id AND day >= this_month.first_day AND day < this_month.end_day
            /*citus GROUP BY brand_id */
        ) AS spent ON true
        LEFT JOIN budgets AS daily
            ON daily.brand_id = brands.id AND daily.campaign_id IS NULL AND daily.period = 'daily'
        LEFT JOIN budgets AS monthly
            ON monthly.brand_id = brands.id AND monthly.campaign_id IS NULL AND monthly.period = 'monthly'
        WHERE (configured_status <> 'archived' OR :archived) AND name ILIKE :pattern
            AND (CAST(:brand_id AS bigint) IS NULL OR brands.id = :brand_id)
    )
    SELECT figures.id, name, time_zone, currency, configured_status, spend_received_at, today_micros, month_micros,
        daily_limit_micros, monthly_limit_micros, count(*) OVER () AS matching
    FROM figures
    ORDER BY
        CASE WHEN :sort = 'used' THEN used END DESC NULLS LAST,
        CASE WHEN :sort = 'today' THEN today_micros END DESC,
        CASE WHEN :sort = 'month' THEN month_micros END DESC,
        lower(name), id
    LIMIT :limit OFFSET :offset
""")

# The number of campaigns by brand and holds, without archived ones. Campaigns that can serve again without an edit are
# also grouped by everything that decides when (`kind`), so that one campaign of each group stands for all.
HELD = text("""
    WITH standing AS (
        SELECT id, campaigns.brand_id, holds, next_change_at,
            CASE WHEN holds <> '{}' AND NOT holds && CAST(:lifted_by_people AS text[])
                THEN ROW(starts_on, ends_on, next_change_at, parts, limits)::text END AS kind
        FROM campaigns
        LEFT JOIN (
            SELECT campaign_id,
                string_agg(concat_ws(' ', weekday, starts_minute, ends_minute), ',' ORDER BY weekday, starts_minute)
                    AS parts
            FROM dayparts WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) GROUP BY campaign_id
        ) AS open ON open.campaign_id = id
        LEFT JOIN (
            SELECT /*citus brand_id, */ campaign_id,
                string_agg(concat_ws(' ', period, limit_micros = 0), ',' ORDER BY period) AS limits
            FROM budgets
            WHERE brand_id = ANY(CAST(:brand_ids AS bigint[])) AND campaign_id IS NOT NULL
            GROUP BY campaign_id /*citus , brand_id */
        ) AS own ON own.campaign_id = id /*citus AND own.brand_id = campaigns.brand_id */
        WHERE campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) AND configured_status <> 'archived'
    )
    SELECT brand_id, holds, count(*) AS campaigns, min(id) AS campaign_id, min(next_change_at) AS next_change_at
    FROM standing GROUP BY brand_id, holds, kind
    ORDER BY brand_id, next_change_at, campaign_id
""")

# The budgets of one brand or of one campaign, with the spend in their current windows.
BUDGETS = text(f"""
    SELECT budgets.id, budgets.period, limit_micros, {SPENT_MICROS} AS spent_micros, first_day, end_day
    {SPEND_OF_BUDGETS}
    WHERE budgets.brand_id = :brand_id AND campaign_id IS NOT DISTINCT FROM :campaign_id
    ORDER BY first_day DESC
""")  # noqa: S608 - a constant, put together once

# Campaigns of a brand with their spend on one day; sorted by :sort, where `held` puts inactive campaigns first.
CAMPAIGNS = text("""
    SELECT id, campaigns.brand_id, name, platform, external_id, starts_on, ends_on, configured_status,
        effective_status, holds, next_change_at, COALESCE(spent_micros, 0) AS today_micros, count(*) OVER () AS matching
    FROM campaigns
    LEFT JOIN campaign_days ON campaign_days.brand_id = campaigns.brand_id AND campaign_id = id AND day = :day
    WHERE campaigns.brand_id = :brand_id AND name ILIKE :pattern
        AND (CAST(:campaign_id AS bigint) IS NULL OR id = :campaign_id)
        AND (CAST(:status AS text) IS NULL OR effective_status = :status)
        AND (configured_status <> 'archived' OR :archived)
    ORDER BY
        CASE WHEN :sort = 'held' THEN effective_status END DESC,
        CASE WHEN :sort IN ('held', 'today') THEN spent_micros END DESC NULLS LAST,
        lower(name), id
    LIMIT :limit OFFSET :offset
""")

# The hold changes of campaigns since an instant, and the last one before it.
HOLD_HISTORY = text("""
    SELECT campaign_id, changed_at, holds FROM (
        SELECT id, campaign_id, changed_at, holds FROM hold_changes
        WHERE campaign_id = ANY(CAST(:campaign_ids AS bigint[])) AND changed_at > :starts_at
        UNION ALL
        SELECT last.* FROM campaigns CROSS JOIN LATERAL (
            SELECT id, campaign_id, changed_at, holds FROM hold_changes
            WHERE campaign_id = campaigns.id AND changed_at <= :starts_at
                /*citus AND hold_changes.brand_id = campaigns.brand_id */
            ORDER BY id DESC LIMIT 1
        ) AS last
        WHERE campaigns.id = ANY(CAST(:campaign_ids AS bigint[]))
    ) AS relevant_changes
    ORDER BY campaign_id, id
""")

# Status changes with the names of campaign and brand; of one brand, one campaign, or all.
NAMED_CHANGES = """
    SELECT status_changes.id, status_changes.brand_id, campaign_id, campaigns.name AS campaign, brands.name AS brand,
        time_zone, currency, changed_at, to_status, holds_before, holds_after, cause, details
    FROM status_changes
    JOIN campaigns ON campaigns.id = campaign_id /*citus AND campaigns.brand_id = status_changes.brand_id */
    JOIN brands ON brands.id = status_changes.brand_id
    WHERE (CAST(:brand_id AS bigint) IS NULL OR status_changes.brand_id = :brand_id)
        AND (CAST(:campaign_id AS bigint) IS NULL OR campaign_id = :campaign_id)
"""

# Status changes before an id, newest first.
CHANGES = text(f"""
    {NAMED_CHANGES} AND (CAST(:before AS bigint) IS NULL OR status_changes.id < :before)
    ORDER BY status_changes.id DESC
    LIMIT :limit
""")

# Status changes after an id, oldest first.
CHANGES_AFTER = text(f"{NAMED_CHANGES} AND status_changes.id > :after ORDER BY status_changes.id LIMIT :limit")

LAST_CHANGE = text("SELECT COALESCE(max(id), 0) FROM status_changes")

# The spend of a brand by day.
DAYS = text("""
    SELECT day, spent_micros FROM brand_days
    WHERE brand_id = :brand_id AND day >= :first_day AND day < :end_day ORDER BY day
""")


def brands(
    connection: Connection,
    at: datetime,
    *,
    name_contains: str = "",
    sort: str = "used",
    archived: bool = False,
    brand_id: int | None = None,
    offset: int = 0,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """One page of brands, each with `matching`, the count on all pages. `sort`: used, today, month or name.

    Leaves out brands with an unknown time zone, and archived brands unless `archived`. `brand_id`: only this brand;
    None: all.
    """
    parameters = {
        **current_windows(targets.zones_in_use(connection), at),
        "pattern": containing(name_contains),
        "sort": sort,
        "archived": archived,
        "brand_id": brand_id,
        "offset": offset,
        "limit": limit,
    }
    return plain(connection.execute(BRANDS, parameters))


def held(connection: Connection, brand_ids: Sequence[int], lifted_by_people: Collection[str]) -> list[dict[str, Any]]:
    """The number of campaigns by brand and holds (no holds: active), sorted by brand and `next_change_at`.

    Leaves out archived campaigns. A brand can have several rows with equal holds. `lifted_by_people`: holds that end
    only by a person's edit. If a row has other holds alone, all its campaigns serve again at the same instant as its
    campaign `campaign_id`: at `next_change_at` or later.
    """
    parameters = {"brand_ids": list(brand_ids), "lifted_by_people": list(lifted_by_people)}
    return plain(connection.execute(HELD, parameters))


def budgets(
    connection: Connection, at: datetime, brand_id: int, zone: str, campaign_id: int | None = None
) -> list[dict[str, Any]]:
    """The budgets of a brand itself (`campaign_id` None) or of one campaign, with spend; the newest window first.

    `zone`: the brand's time zone. Windows and spend in micros are those at `at`.
    """
    parameters = {**current_windows([zone], at), "brand_id": brand_id, "campaign_id": campaign_id}
    return plain(connection.execute(BUDGETS, parameters))


def campaigns(
    connection: Connection,
    brand_id: int,
    day: date,
    *,
    name_contains: str = "",
    status: str | None = None,
    sort: str = "held",
    archived: bool = False,
    campaign_id: int | None = None,
    offset: int = 0,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """One page of a brand's campaigns, each with `matching`, the number on all pages. `sort`: held, today or name.

    `today_micros`: the spend on `day`. Leaves out archived campaigns unless `archived`. `status` (the effective one),
    `campaign_id`: only these; None: all.
    """
    parameters = {
        "brand_id": brand_id,
        "day": day,
        "pattern": containing(name_contains),
        "status": status,
        "sort": sort,
        "archived": archived,
        "campaign_id": campaign_id,
        "offset": offset,
        "limit": limit,
    }
    return plain(connection.execute(CAMPAIGNS, parameters))


def hold_history(
    connection: Connection, campaign_ids: Sequence[int], starts_at: datetime
) -> Mapping[int, list[tuple[datetime, tuple[str, ...]]]]:
    """For each campaign, its (changed_at, holds) pairs in order, from the last change at or before `starts_at` on."""
    history: dict[int, list[tuple[datetime, tuple[str, ...]]]] = {campaign_id: [] for campaign_id in campaign_ids}
    parameters = {"campaign_ids": list(campaign_ids), "starts_at": starts_at}
    for campaign_id, changed_at, holds in connection.execute(HOLD_HISTORY, parameters):
        history[campaign_id].append((changed_at, tuple(holds)))
    return history


def changes(
    connection: Connection,
    *,
    brand_id: int | None = None,
    campaign_id: int | None = None,
    before: int | None = None,
    limit: int = 25,
) -> list[dict[str, Any]]:
    """Status changes with an id below `before` (None: all), newest first, `limit` at most.

    `brand_id`, `campaign_id`: only theirs; None: all.
    """
    parameters = {"brand_id": brand_id, "campaign_id": campaign_id, "before": before, "limit": limit}
    return plain(connection.execute(CHANGES, parameters))


def changes_after(
    connection: Connection, after: int, *, brand_id: int | None = None, campaign_id: int | None = None, limit: int
) -> list[dict[str, Any]]:
    """Status changes with an id above `after`, oldest first, `limit` at most.

    `brand_id`, `campaign_id`: only theirs; None: all.
    """
    parameters = {"brand_id": brand_id, "campaign_id": campaign_id, "after": after, "limit": limit}
    return plain(connection.execute(CHANGES_AFTER, parameters))


def last_change(connection: Connection) -> int:
    """The id of the newest status change; 0 if there is none."""
    return int(connection.execute(LAST_CHANGE).scalar_one())


def days(connection: Connection, brand_id: int, first_day: date, end_day: date) -> dict[date, int]:
    """The brand's micros by day from `first_day` up to, excluding, `end_day`; days without a counter are left out."""
    parameters = {"brand_id": brand_id, "first_day": first_day, "end_day": end_day}
    return {day: micros for day, micros in connection.execute(DAYS, parameters)}  # noqa: C416 - rows are no pairs
