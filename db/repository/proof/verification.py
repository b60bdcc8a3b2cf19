"""The laws about data, as questions to a live database. Each answer names the rows that break one."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.rows import plain

LIFT_TIME_LIMIT = text("SET LOCAL statement_timeout = 0")

# Whole histories are sorted: in memory, where they fit, and never in much more of it.
ALLOW_MEMORY = text("SET LOCAL work_mem = '64MB'")

SIZES = text("""
    SELECT (SELECT count(*) FROM spend_events) AS spend_events,
        (SELECT count(*) FROM campaign_days) AS campaign_days,
        (SELECT count(*) FROM brand_days) AS brand_days,
        (SELECT count(*) FROM campaigns) AS campaigns,
        (SELECT count(*) FROM status_changes) AS status_changes,
        (SELECT count(*) FROM hold_changes) AS hold_changes,
        (SELECT count(*) FROM reported_totals) AS reported_totals,
        (SELECT count(*) FROM budgets) AS budgets,
        (SELECT count(*) FROM brands) AS brands,
        (SELECT COALESCE(sum(row_count), 0)::bigint FROM history_seals) AS sealed
""")

# Counters of campaigns' days beside the ledger's sums, where Postgres finds them unlike.
CAMPAIGN_DAYS_UNLIKE = text("""
    SELECT brand_id, campaign_id, day, COALESCE(counted.spent_micros, 0) AS ledger_micros,
        COALESCE(campaign_days.spent_micros, 0) AS counter_micros, time_zone
    FROM (
        SELECT brand_id, campaign_id, sum(amount_micros) AS spent_micros,
            (occurred_at AT TIME ZONE COALESCE(time_zone, 'UTC'))::date AS day
        FROM spend_events LEFT JOIN brands ON brands.id = brand_id
        WHERE (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
            AND (CAST(:since AS timestamptz) IS NULL OR occurred_at >= :since)
        GROUP BY brand_id, campaign_id, day
    ) AS counted
    FULL JOIN campaign_days USING (brand_id, campaign_id, day)
    LEFT JOIN brands ON brands.id = brand_id
    WHERE COALESCE(counted.spent_micros, 0) <> COALESCE(campaign_days.spent_micros, 0)
        AND (CAST(:floor AS date) IS NULL OR day > :floor)
        AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
    ORDER BY brand_id, campaign_id, day
    LIMIT :limit
""")

# One campaign's spend between two instants, by the ledger.
LEDGER_BETWEEN = text("""
    SELECT COALESCE(sum(amount_micros), 0) FROM spend_events
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id AND occurred_at >= :starts_at AND occurred_at < :ends_at
""")

# Counters of brands' days that are not the sum of their campaigns'.
BRAND_DAYS_UNLIKE = text("""
    SELECT brand_id, day, COALESCE(summed.spent_micros, 0) AS campaigns_micros,
        COALESCE(brand_days.spent_micros, 0) AS counter_micros
    FROM (
        SELECT brand_id, day, sum(spent_micros) AS spent_micros FROM campaign_days GROUP BY brand_id, day
    ) AS summed
    FULL JOIN brand_days USING (brand_id, day)
    WHERE COALESCE(summed.spent_micros, 0) <> COALESCE(brand_days.spent_micros, 0)
    ORDER BY brand_id, day
    LIMIT :limit
""")

# Rows about a brand or a campaign that is not there, or about a campaign of another brand.
OF_NOBODY = tuple(
    text(f"""
        SELECT '{table}' AS table_name, brand_id, campaign_id, count(*) AS rows_of_nobody
        FROM {table} WHERE campaign_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM campaigns WHERE campaigns.id = {table}.campaign_id AND campaigns.brand_id = {table}.brand_id
        )
        GROUP BY brand_id, campaign_id ORDER BY brand_id, campaign_id LIMIT :limit
    """)  # noqa: S608 - constants, put together once
    for table in ("spend_events", "campaign_days", "status_changes", "hold_changes", "budgets", "budget_limits")
)
OF_NO_BRAND = tuple(
    text(f"""
        SELECT '{table}' AS table_name, brand_id, count(*) AS rows_of_nobody
        FROM {table} WHERE NOT EXISTS (SELECT FROM brands WHERE brands.id = {table}.brand_id)
        GROUP BY brand_id ORDER BY brand_id LIMIT :limit
    """)  # noqa: S608 - constants, put together once
    for table in ("campaigns", "brand_days", "brand_hours", "budgets", "budget_limits", "monthly_reports")
)
OF_NO_CAMPAIGN = tuple(
    text(f"""
        SELECT '{table}' AS table_name, campaign_id, count(*) AS rows_of_nobody
        FROM {table} WHERE NOT EXISTS (SELECT FROM campaigns WHERE campaigns.id = {table}.campaign_id)
        GROUP BY campaign_id ORDER BY campaign_id LIMIT :limit
    """)  # noqa: S608 - constants, put together once
    for table in ("dayparts", "reported_totals")
)

# Brands that look for no budgets of their campaigns though there are some.
BUDGETS_UNSEEN = text("""
    SELECT id AS brand_id, has_campaign_budgets FROM brands
    WHERE has_campaign_budgets <> EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    ORDER BY id LIMIT :limit
""")

# Brands of which other budget holds are kept than a campaign has that enforcement has seen, but for those under way.
KEPT_HOLDS_UNLIKE = text(r"""
    SELECT brands.id AS brand_id, min(campaigns.id) AS campaign_id, enforced_budget_holds AS kept, holds
    FROM brands JOIN campaigns ON brand_id = brands.id
    WHERE enforced_at IS NOT NULL
        AND enforced_budget_holds <> ARRAY(
            SELECT hold FROM unnest(holds) AS hold WHERE hold LIKE 'brand\_%\_budget' ORDER BY hold COLLATE "C"
        )
        AND NOT EXISTS (SELECT FROM pending_enforcements AS pending WHERE pending.brand_id = brands.id)
    GROUP BY brands.id, holds
    ORDER BY brands.id
    LIMIT :limit
""")

# Ids that name one event in each of several months.
IDS_IN_TWO_MONTHS = text("""
    SELECT brand_id, event_id::text, count(*) AS months FROM spend_events
    GROUP BY brand_id, event_id HAVING count(*) > 1 ORDER BY brand_id, event_id LIMIT :limit
""")


class CampaignDayUnlike(NamedTuple):
    """A counter beside what the ledger sums up to."""

    brand_id: int
    campaign_id: int
    day: date
    ledger_micros: int
    counter_micros: int
    time_zone: str | None


def lift_time_limit(connection: Connection) -> None:
    """Lets this transaction's statements run as long as they need: a recount reads the whole ledger."""
    connection.execute(LIFT_TIME_LIMIT)
    connection.execute(ALLOW_MEMORY)


def sizes(connection: Connection) -> dict[str, int]:
    """How many rows each compared table has."""
    return dict(connection.execute(SIZES).mappings().one())


def campaign_days_unlike(
    connection: Connection, floor: date | None, limit: int | None, brand_id: int | None = None
) -> Iterator[CampaignDayUnlike]:
    """Campaigns' days of which the counter seems not to be the ledger's sum, after the day `floor`."""
    # No zone begins the day after `floor` before `floor` begins by UTC.
    since = floor and datetime.combine(floor, time.min, UTC)
    parameters = {"floor": floor, "limit": limit, "brand_id": brand_id, "since": since}
    for row in connection.execute(CAMPAIGN_DAYS_UNLIKE, parameters):
        yield CampaignDayUnlike(
            row.brand_id, row.campaign_id, row.day, int(row.ledger_micros), row.counter_micros, row.time_zone
        )


def ledger_between(connection: Connection, unlike: CampaignDayUnlike, instants: tuple[datetime, datetime]) -> int:
    """The campaign's spend in the half-open stretch of time, in micros, by the ledger."""
    parameters = {
        "brand_id": unlike.brand_id,
        "campaign_id": unlike.campaign_id,
        "starts_at": instants[0],
        "ends_at": instants[1],
    }
    return int(connection.execute(LEDGER_BETWEEN, parameters).scalar_one())


def brand_days_unlike(connection: Connection, limit: int) -> Sequence[dict[str, Any]]:
    """Brands' days of which the counter is not the sum of the campaigns' days."""
    return plain(connection.execute(BRAND_DAYS_UNLIKE, {"limit": limit}))


def rows_of_nobody(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """How many rows of each table are about a brand or a campaign that is not there, or is another brand's."""
    statements = (*OF_NOBODY, *OF_NO_BRAND, *OF_NO_CAMPAIGN)
    return [row for statement in statements for row in plain(connection.execute(statement, {"limit": limit}))]


def budgets_unseen(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Brands whose flag hides that their campaigns have budgets, so that spend does not look at those."""
    return plain(connection.execute(BUDGETS_UNSEEN, {"limit": limit}))


def kept_holds_unlike(connection: Connection, limit: int) -> Sequence[dict[str, Any]]:
    """Brands whose kept budget holds are not those of all their campaigns: spend would not see that a budget crossed
    its limit."""
    return plain(connection.execute(KEPT_HOLDS_UNLIKE, {"limit": limit}))


def ids_in_two_months(connection: Connection, limit: int) -> Sequence[dict[str, Any]]:
    """Event ids that stand in more than one month: two events by law, and perhaps a producer's mistake."""
    return plain(connection.execute(IDS_IN_TWO_MONTHS, {"limit": limit}))
