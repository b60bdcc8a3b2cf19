"""Checks that the histories of statuses, holds, limits and brand facts agree with each other and with the rows."""

from typing import Any, Final

from sqlalchemy import Connection, text

from db.repository.shared.rows import plain

# Status changes whose old status is not the new status of the previous one.
BROKEN_HISTORY = text("""
    SELECT id, brand_id, campaign_id, from_status, previous_status FROM (
        SELECT id, brand_id, campaign_id, from_status,
            lag(to_status) OVER (PARTITION BY campaign_id /*citus , brand_id */ ORDER BY id) AS previous_status
        FROM status_changes
    ) AS chained
    WHERE previous_status <> from_status
    ORDER BY id
    LIMIT :limit
""")

# Campaigns whose status is not the one of their last status change; leaves out campaigns without a change.
UNEXPLAINED_STATUS = text("""
    SELECT campaigns.brand_id, campaigns.id AS campaign_id, effective_status, to_status
    FROM campaigns JOIN LATERAL (
        SELECT to_status FROM status_changes
        WHERE campaign_id = campaigns.id /*citus AND status_changes.brand_id = campaigns.brand_id */
        ORDER BY id DESC LIMIT 1
    ) AS last ON true
    WHERE effective_status <> to_status
    ORDER BY campaigns.id
    LIMIT :limit
""")

# Campaigns whose holds are not those of their last hold change; leaves out those never enforced without a change.
UNEXPLAINED_HOLDS = text("""
    SELECT brand_id, campaigns.id AS campaign_id, campaigns.holds, last.holds AS last_known
    FROM campaigns LEFT JOIN LATERAL (
        SELECT holds FROM hold_changes
        WHERE campaign_id = campaigns.id /*citus AND hold_changes.brand_id = campaigns.brand_id */
        ORDER BY id DESC LIMIT 1
    ) AS last ON true
    WHERE (enforced_at IS NOT NULL OR last.holds IS NOT NULL) AND campaigns.holds IS DISTINCT FROM last.holds
    ORDER BY campaigns.id LIMIT :limit
""")

# Each hold change with the status and holds before it, by its own row and by the previous row.
HELD: Final = """
    SELECT brand_id, campaign_id, id, changed_at, cause, holds, from_status,
        CASE WHEN holds = '{}' THEN 'active' ELSE 'inactive' END AS to_status, before,
        CASE WHEN before = '{}' THEN 'active' WHEN before IS NOT NULL THEN 'inactive' END AS status_before
    FROM (
        SELECT *, lag(holds) OVER (PARTITION BY campaign_id /*citus , brand_id */ ORDER BY id) AS before
        FROM hold_changes
    ) AS ordered
"""

# Status changes without a matching hold change, toggling hold changes without a status change, and pairs that differ.
# Rows of one moment are paired in id order. A campaign's first hold change written by an earlier version does not
# show whether it was a toggle, so a status change is optional for it.
UNPAIRED = text(f"""
    WITH toggles AS (
        SELECT *, row_number() OVER (
            PARTITION BY campaign_id, changed_at, to_status, cause /*citus , brand_id */ ORDER BY id
        ) AS nth
        FROM ({HELD}) AS held WHERE to_status IS DISTINCT FROM COALESCE(from_status, status_before)
    ), recorded AS (
        SELECT *, row_number() OVER (
            PARTITION BY campaign_id, changed_at, to_status, cause /*citus , brand_id */ ORDER BY id
        ) AS nth
        FROM status_changes
    )
    SELECT brand_id, campaign_id, changed_at, to_status, recorded.id AS status_change_id, toggles.id AS hold_change_id,
        recorded.holds_before, toggles.before AS held_before, recorded.holds_after, toggles.holds AS held_after
    FROM recorded FULL JOIN toggles USING (brand_id, campaign_id, changed_at, to_status, cause, nth)
    WHERE (recorded.id IS NULL AND COALESCE(toggles.from_status, status_before) IS NOT NULL)
        OR toggles.id IS NULL
        OR recorded.holds_after <> toggles.holds
        OR recorded.holds_before <> toggles.before
        OR recorded.from_status <> toggles.from_status
    ORDER BY campaign_id, changed_at, recorded.id, toggles.id
    LIMIT :limit
""")  # noqa: S608 - a constant, put together once

# Hold changes whose old status is not the new status of the previous one.
BROKEN_HOLDS = text(f"""
    SELECT brand_id, campaign_id, id AS hold_change_id, from_status, status_before
    FROM ({HELD}) AS held WHERE from_status <> status_before
    ORDER BY id LIMIT :limit
""")  # noqa: S608 - a constant, put together once

# Inconsistent status changes: a status that does not fit the holds, or a budget hold without figures or with figures
# that contradict it.
CONTRADICTORY = text(r"""
    SELECT id, brand_id, campaign_id, from_status, holds_before, to_status, holds_after, details
    FROM status_changes
    WHERE (from_status = 'active') <> (holds_before = '{}')
        OR cause <> 'repair' AND (
            jsonb_typeof(details -> 'budgets') IS DISTINCT FROM 'object'
            OR EXISTS (
                SELECT FROM unnest(holds_after) AS held(hold)
                WHERE hold LIKE '%\_budget' AND NOT COALESCE((details -> 'budgets') ? hold, false)
            )
            OR EXISTS (
                SELECT FROM jsonb_each(
                    CASE WHEN jsonb_typeof(details -> 'budgets') = 'object' THEN details -> 'budgets' ELSE '{}' END
                ) AS recorded(hold, figures)
                WHERE hold <> ALL(holds_before || holds_after) OR CASE
                    WHEN (figures ->> 'spent_micros') ~ '^-?\d{1,30}$' AND (figures ->> 'limit_micros') ~ '^\d{1,19}$'
                    THEN (figures ->> 'limit_micros')::numeric > 0 AND (hold = ANY(holds_after))
                        <> ((figures ->> 'spent_micros')::numeric >= (figures ->> 'limit_micros')::numeric)
                    ELSE true
                END
            )
        )
    ORDER BY id LIMIT :limit
""")

# Budgets that differ from the last row of their limit history, and histories whose budget is missing.
MISMATCHED_LIMITS = text("""
    WITH latest AS (
        SELECT DISTINCT ON (brand_id, campaign_id, period) brand_id, COALESCE(campaign_id, 0) AS campaign_key, period,
            limit_micros
        FROM budget_limits ORDER BY brand_id, campaign_id, period, id DESC
    ), now AS (
        SELECT brand_id, COALESCE(campaign_id, 0) AS campaign_key, period, limit_micros FROM budgets
    )
    SELECT brand_id, NULLIF(campaign_key, 0) AS campaign_id, period, now.limit_micros,
        latest.limit_micros AS last_known_micros
    FROM now FULL JOIN latest USING (brand_id, campaign_key, period)
    WHERE now.limit_micros IS DISTINCT FROM latest.limit_micros
    ORDER BY brand_id, campaign_key, period LIMIT :limit
""")

# Brands whose time zone or currency differs from the last row of their history.
MISMATCHED_FACTS = text("""
    SELECT brands.id AS brand_id, brands.time_zone, brands.currency, last.time_zone AS last_known_time_zone,
        last.currency AS last_known_currency
    FROM brands LEFT JOIN LATERAL (
        SELECT time_zone, currency FROM brand_facts WHERE brand_id = brands.id ORDER BY id DESC LIMIT 1
    ) AS last ON true
    WHERE (brands.time_zone, brands.currency) IS DISTINCT FROM (last.time_zone, last.currency)
    ORDER BY brands.id LIMIT :limit
""")


def unexplained(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Status and hold changes that do not continue the previous one, and campaigns that differ from their last change.

    Returns up to `limit` rows of each of four checks: of status changes, campaigns' statuses, hold changes and
    campaigns' holds, in this order.
    """
    parameters = {"limit": limit}
    statements = (BROKEN_HISTORY, UNEXPLAINED_STATUS, BROKEN_HOLDS, UNEXPLAINED_HOLDS)
    return [row for statement in statements for row in plain(connection.execute(statement, parameters))]


def unpaired(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Status changes and hold changes that do not match, and status changes that contradict themselves.

    Returns up to `limit` rows of each of the two checks.
    """
    parameters = {"limit": limit}
    return plain(connection.execute(UNPAIRED, parameters)) + plain(connection.execute(CONTRADICTORY, parameters))


def mismatched_limits(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """At most `limit` budgets that differ from the last limit in their history, each with both limits in micros.

    `limit_micros` None: there is no such budget now; `last_known_micros` None: by the history there is none.
    """
    return plain(connection.execute(MISMATCHED_LIMITS, {"limit": limit}))


def mismatched_facts(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """At most `limit` brands whose time zone or currency differs from the last row of their history, each with both.

    The values of the history are None if the brand has no history.
    """
    return plain(connection.execute(MISMATCHED_FACTS, {"limit": limit}))
