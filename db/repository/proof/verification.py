"""The queries of `spendgate verify` on a live database. The query of a check returns the rows that break its rule."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.rows import plain
from domain.periods import ONE_DAY

LIFT_TIME_LIMIT = text("SET LOCAL statement_timeout = 0")

# Memory for sorting whole histories; larger sorts use the disk.
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

# Candidates: counters of campaign days that differ from the ledger's sums by Postgres's time zone rules.
MISMATCHED_CAMPAIGN_DAYS = text("""
    SELECT brand_id, campaign_id, day, COALESCE(counted.spent_micros, 0) AS ledger_micros,
        COALESCE(campaign_days.spent_micros, 0) AS counter_micros, time_zone
    FROM (
        SELECT brand_id, campaign_id, sum(amount_micros) AS spent_micros,
            (occurred_at AT TIME ZONE COALESCE(time_zone, 'UTC'))::date AS day
        FROM spend_events LEFT JOIN brands ON brands.id = brand_id
        WHERE (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
            AND (CAST(:since AS timestamptz) IS NULL OR occurred_at >= :since)
            AND (CAST(:before AS timestamptz) IS NULL OR occurred_at < :before)
        GROUP BY brand_id, campaign_id, day
    ) AS counted
    FULL JOIN campaign_days USING (brand_id, campaign_id, day)
    LEFT JOIN brands ON brands.id = brand_id
    WHERE COALESCE(counted.spent_micros, 0) <> COALESCE(campaign_days.spent_micros, 0)
        AND (CAST(:floor AS date) IS NULL OR day > :floor)
        AND (CAST(:up_to AS date) IS NULL OR day <= :up_to)
        AND (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
    ORDER BY brand_id, campaign_id, day
    LIMIT :limit
""")

# The spend of one campaign between two instants in the ledger.
LEDGER_BETWEEN = text("""
    SELECT COALESCE(sum(amount_micros), 0) FROM spend_events
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id AND occurred_at >= :starts_at AND occurred_at < :ends_at
""")

# Counters of brand days that differ from the sum of their campaigns' counters.
MISMATCHED_BRAND_DAYS = text("""
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

# Rows whose brand or campaign does not exist, or whose campaign belongs to another brand.
OF_NOBODY = tuple(
    text(f"""
        SELECT '{table}' AS table_name, brand_id, campaign_id, count(*) AS rows_of_nobody
        FROM {table} WHERE campaign_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM campaigns WHERE campaigns.id = {table}.campaign_id AND campaigns.brand_id = {table}.brand_id
        )
        GROUP BY brand_id, campaign_id ORDER BY brand_id, campaign_id LIMIT :limit
    """)  # noqa: S608 - constants, put together once
    for table in (
        *("spend_events", "campaign_days", "status_changes", "hold_changes", "budgets", "budget_limits"),
        *("dayparts", "reported_totals"),
    )
)
OF_NO_BRAND = tuple(
    text(f"""
        SELECT '{table}' AS table_name, brand_id, count(*) AS rows_of_nobody
        FROM {table} WHERE NOT EXISTS (SELECT FROM brands WHERE brands.id = {table}.brand_id)
        GROUP BY brand_id ORDER BY brand_id LIMIT :limit
    """)  # noqa: S608 - constants, put together once
    for table in ("campaigns", "brand_days", "brand_hours", "budgets", "budget_limits", "monthly_reports")
)

# Brands whose flag `has_campaign_budgets` is wrong.
WRONG_BUDGET_FLAGS = text("""
    SELECT id AS brand_id, has_campaign_budgets FROM brands
    WHERE has_campaign_budgets <> EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    ORDER BY id LIMIT :limit
""")

# Brands without a pending pass whose stored budget holds differ from those of an enforced campaign.
MISMATCHED_KEPT_HOLDS = text(r"""
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

# Ids of several events of a brand.
IDS_OF_TWO_EVENTS = text("""
    SELECT brand_id, event_id::text, count(*) AS events FROM spend_events
    GROUP BY brand_id, event_id HAVING count(*) > 1 ORDER BY brand_id, event_id LIMIT :limit
""")


class MismatchedCampaignDay(NamedTuple):
    """A campaign day's counter and the sum of its events in the ledger. `time_zone` None: the brand does not exist."""

    brand_id: int
    campaign_id: int
    day: date
    ledger_micros: int
    counter_micros: int
    time_zone: str | None


def lift_time_limit(connection: Connection) -> None:
    """Removes the statement timeout for this transaction, whose checks read the whole ledger, and raises `work_mem`."""
    connection.execute(LIFT_TIME_LIMIT)
    connection.execute(ALLOW_MEMORY)


def sizes(connection: Connection) -> dict[str, int]:
    """The number of rows in each checked table, and of rows covered by seals (`sealed`)."""
    return dict(connection.execute(SIZES).mappings().one())


def mismatched_campaign_days(
    connection: Connection,
    floor: date | None,
    limit: int | None,
    brand_id: int | None = None,
    up_to: date | None = None,
) -> Iterator[MismatchedCampaignDay]:
    """Yields the campaign days after `floor`, up to `up_to`, whose counter seems to differ from the ledger.

    Postgres's time zone rules may differ from zoneinfo's: recount each one with `ledger_between`. None as `floor`,
    `up_to`, `limit` or `brand_id`: no bound, or all brands.
    """
    # In no zone does the day after `floor` begin before `floor` begins in UTC, nor does a day end two days later.
    since = floor and datetime.combine(floor, time.min, UTC)
    before = up_to and datetime.combine(up_to + 2 * ONE_DAY, time.min, UTC)
    days = {"floor": floor, "since": since, "up_to": up_to, "before": before}
    parameters = {**days, "limit": limit, "brand_id": brand_id}
    for row in connection.execute(MISMATCHED_CAMPAIGN_DAYS, parameters):
        yield MismatchedCampaignDay(
            row.brand_id, row.campaign_id, row.day, int(row.ledger_micros), row.counter_micros, row.time_zone
        )


def ledger_between(connection: Connection, unlike: MismatchedCampaignDay, instants: tuple[datetime, datetime]) -> int:
    """The spend in micros that the ledger has for a campaign between two instants, the second excluded.

    `unlike`: the mismatched day of that campaign.
    """
    parameters = {
        "brand_id": unlike.brand_id,
        "campaign_id": unlike.campaign_id,
        "starts_at": instants[0],
        "ends_at": instants[1],
    }
    return int(connection.execute(LEDGER_BETWEEN, parameters).scalar_one())


def mismatched_brand_days(connection: Connection, limit: int) -> Sequence[dict[str, Any]]:
    """The brand days whose counter differs from the sum of its campaigns' counters, at most `limit`.

    Each has both figures in micros.
    """
    return plain(connection.execute(MISMATCHED_BRAND_DAYS, {"limit": limit}))


def orphaned_rows(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """By table, and by ids of brand and campaign, the number of rows whose brand or campaign does not exist.

    Some tables are checked for brands alone; their groups have no `campaign_id`. A campaign of another brand counts as
    missing. Returns up to `limit` groups of rows of each table and check.
    """
    statements = (*OF_NOBODY, *OF_NO_BRAND)
    return [row for statement in statements for row in plain(connection.execute(statement, {"limit": limit}))]


def wrong_budget_flags(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """At most `limit` brands whose flag `has_campaign_budgets` is wrong: counting may ignore budgets of campaigns."""
    return plain(connection.execute(WRONG_BUDGET_FLAGS, {"limit": limit}))


def mismatched_kept_holds(connection: Connection, limit: int) -> Sequence[dict[str, Any]]:
    """The brands whose stored holds (`enforced_budget_holds`) differ from the brand budgets' holds of a campaign.

    Counting would miss a crossed limit of such a brand. Returns at most `limit` rows, several for a brand whose
    campaigns differ. Leaves out brands whose campaigns are just being enforced in parts, and campaigns that were never
    enforced.
    """
    return plain(connection.execute(MISMATCHED_KEPT_HOLDS, {"limit": limit}))


def ids_of_two_events(connection: Connection, limit: int) -> Sequence[dict[str, Any]]:
    """At most `limit` event ids that a brand has in several partitions of the ledger, with the number of `events`.

    Such events are valid and all counted, but one may be a producer's duplicate.
    """
    return plain(connection.execute(IDS_OF_TWO_EVENTS, {"limit": limit}))
