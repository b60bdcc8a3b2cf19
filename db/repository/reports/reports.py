"""Monthly reports as they are stored: a version for each thing that was known of a month when it was made."""

import json
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from db.repository.shared.rows import plain

# The brands that were there before the month ended.
BRANDS_TO_REPORT = text("""
    SELECT id FROM brands
    WHERE (CAST(:brand_id AS bigint) IS NULL OR id = :brand_id) AND time_zone = :zone AND (
        created_at < :ends_at
        OR EXISTS (SELECT FROM brand_days WHERE brand_id = brands.id AND day >= :first_day AND day < :end_day)
    )
    ORDER BY id
""")

# Not made by a clock that was ahead, which takes a month for over that still runs: such a version lies in the future,
# or one after it is older. Servers' clocks differ by seconds.
_SOUND = """
    (generated_at <= CAST(:at AS timestamptz) + interval '1 minute' AND NOT EXISTS (
        SELECT FROM monthly_reports AS later
        WHERE later.brand_id = monthly_reports.brand_id AND later.month = monthly_reports.month
            AND later.version > monthly_reports.version
            AND later.generated_at < monthly_reports.generated_at - interval '1 minute'
    ))
"""

_VERSIONS = f"""
    SELECT brand_id, month, version, generated_at, content FROM monthly_reports
    WHERE brand_id = :brand_id AND month = :month AND {_SOUND}
"""  # noqa: S608 - a constant, put together once

# The latest sound version of a month's report, or the one that is asked for.
STORED = text(f"""
    {_VERSIONS} AND (CAST(:version AS integer) IS NULL OR version = :version) ORDER BY version DESC LIMIT 1
""")

FIRST_STORED = text(f"{_VERSIONS} ORDER BY version LIMIT 1")

LAST_VERSION = text("""
    SELECT COALESCE(max(version), 0) FROM monthly_reports WHERE brand_id = :brand_id AND month = :month
""")

MONTHS_STORED = text("SELECT DISTINCT month FROM monthly_reports WHERE brand_id = :brand_id ORDER BY month")

# The latest version of each month's report, newest month first.
LISTED = text(f"""
    WITH sound AS (SELECT * FROM monthly_reports WHERE {_SOUND})
    SELECT brand_id, brands.name AS brand, month, version, generated_at,
        CAST(content ->> 'spent_micros' AS numeric) AS spent_micros,
        CAST(content -> 'closed' ->> 'restated_micros' AS numeric) AS restated_micros
    FROM sound JOIN brands ON brands.id = brand_id
    WHERE (CAST(:brand_id AS bigint) IS NULL OR brand_id = :brand_id)
        AND (CAST(:after_month AS date) IS NULL OR month < :after_month
            OR month = :after_month AND brand_id > :after_brand)
        AND version = (
            SELECT max(version) FROM sound AS others
            WHERE others.brand_id = sound.brand_id AND others.month = sound.month
        )
    ORDER BY month DESC, brand_id
    LIMIT :limit
""")  # noqa: S608 - a constant, put together once

# The reports whose last version is not what the counters of the brand's days say now, or before whose end events came
# late: longer windows hold earlier months' days. And the months with spend that have no report: twelve hours after its
# end by UTC a month is over in every zone. The ledger is asked for closed months alone, not for the running partition.
RESTATED = text(f"""
    WITH latest AS MATERIALIZED (
        SELECT DISTINCT ON (brand_id, month) brand_id, month, generated_at, content -> 'by_day' AS by_day
        FROM monthly_reports WHERE month >= :since AND {_SOUND} ORDER BY brand_id, month, version DESC
    ), late AS MATERIALIZED (
        SELECT brand_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, max(received_at) AS received_at
        FROM spend_events WHERE received_at >= :received_since AND occurred_at < :occurred_before GROUP BY 1, 2
    )
    SELECT brand_id, month FROM latest
    CROSS JOIN LATERAL (
        SELECT COALESCE(jsonb_object_agg(to_char(day, 'YYYY-MM-DD'), spent_micros), '{{}}') AS by_day
        FROM brand_days
        WHERE brand_id = latest.brand_id AND day >= latest.month AND day < latest.month + interval '1 month'
    ) AS counted
    WHERE latest.by_day IS DISTINCT FROM counted.by_day OR EXISTS (
        SELECT FROM late WHERE late.brand_id = latest.brand_id AND late.received_at >= latest.generated_at
            AND day <= latest.month + interval '1 month'
    )
    UNION
    SELECT DISTINCT brand_id, date_trunc('month', day)::date FROM brand_days
    WHERE day >= :since AND (date_trunc('month', day) + interval '1 month 12 hours') AT TIME ZONE 'UTC' <= :at
        AND NOT EXISTS (
        SELECT FROM monthly_reports
        WHERE monthly_reports.brand_id = brand_days.brand_id AND month = date_trunc('month', day)::date AND {_SOUND}
    )
    ORDER BY brand_id, month
""")  # noqa: S608 - a constant, put together once

# Two that store the same version at once: the first one wins.
STORE = text("""
    INSERT INTO monthly_reports (brand_id, month, version, generated_at, content)
    VALUES (:brand_id, :month, :version, :at, CAST(:content AS jsonb))
    ON CONFLICT (brand_id, month, version) DO NOTHING
""")


def brands_to_report(
    connection: Connection, zone: str, days: tuple[date, date], ends_at: datetime, brand_id: int | None = None
) -> list[int]:
    """The brands of a zone (or the one asked for) that were there before the month [first day, end day) was over."""
    parameters = {"brand_id": brand_id, "zone": zone, "first_day": days[0], "end_day": days[1], "ends_at": ends_at}
    return list(connection.scalars(BRANDS_TO_REPORT, parameters))


def stored(
    connection: Connection, brand_id: int, month: date, at: datetime, version: int | None = None
) -> dict[str, Any] | None:
    """One version of the month's report, or the latest: brand_id, month, version, generated_at, content.

    Of the versions that are known at `at`: what a clock that was ahead of it took for a report counts for none.
    """
    parameters = {"brand_id": brand_id, "month": month, "version": version, "at": at}
    row = connection.execute(STORED, parameters).mappings().first()
    return None if row is None else dict(row)


def first_stored(connection: Connection, brand_id: int, month: date, at: datetime) -> dict[str, Any] | None:
    """The first version of the month's report, as `stored` gives them."""
    row = connection.execute(FIRST_STORED, {"brand_id": brand_id, "month": month, "at": at}).mappings().first()
    return None if row is None else dict(row)


def last_version(connection: Connection, brand_id: int, month: date) -> int:
    """The highest number of a version that was given, 0 where there is none."""
    version: int = connection.scalars(LAST_VERSION, {"brand_id": brand_id, "month": month}).one()
    return version


def listed(
    connection: Connection, brand_id: int | None, after: tuple[date, int] | None, limit: int, at: datetime
) -> list[dict[str, Any]]:
    """The latest version of each month's report, newest month first, from the one after (month, brand) on.

    Each has brand_id, brand, month, version, generated_at, spent_micros, and restated_micros since the first version.
    """
    after_month, after_brand = after or (None, None)
    parameters = {
        "brand_id": brand_id,
        "after_month": after_month,
        "after_brand": after_brand,
        "limit": limit,
        "at": at,
    }
    return plain(connection.execute(LISTED, parameters | {"limit": limit}))


def restated(
    connection: Connection, since: date, received_since: datetime, occurred_before: datetime, at: datetime
) -> list[tuple[int, date]]:
    """The (brand, month) of each report, of the months from `since` on, that is missing or may say something new now.

    Those that the brand's counters have left behind, and those about which events came since: some that left every
    day's sum as it was may have moved spend between campaigns.
    """
    parameters = {"since": since, "received_since": received_since, "occurred_before": occurred_before, "at": at}
    return [(row.brand_id, row.month) for row in connection.execute(RESTATED, parameters)]


def store(
    connection: Connection, brand_id: int, month: date, version: int, content: dict[str, Any], at: datetime
) -> bool:
    """Stores a version of the month's report; false where somebody else stored that version just now."""
    parameters = {
        "brand_id": brand_id,
        "month": month,
        "version": version,
        "content": json.dumps(content, ensure_ascii=False),
        "at": at,
    }
    return connection.execute(STORE, parameters).rowcount == 1


def months_stored(connection: Connection, brand_id: int) -> list[date]:
    """The months of which the brand has a stored report, oldest first."""
    return list(connection.scalars(MONTHS_STORED, {"brand_id": brand_id}))
