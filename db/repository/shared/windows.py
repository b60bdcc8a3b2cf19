"""SQL fragments for the current windows of budgets and the spend in them."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from db.repository.shared.arrays import array_of
from db.repository.shared.zones import readable_zones
from domain.periods import Period, local_day, window_of

ENDLESS: Final = date(9999, 12, 31)
"""The end day of a lifetime window, which has no end."""

_SPEND: Final = """
    FROM unnest(
        CAST(:zones AS text[]), CAST(:periods AS text[]), CAST(:first_days AS date[]), CAST(:end_days AS date[])
    ) AS current(time_zone, period, first_day, end_day)
    JOIN brands USING (time_zone)
    JOIN budgets ON budgets.brand_id = brands.id AND budgets.period = current.period {of_budgets}
    LEFT JOIN LATERAL (
        SELECT sum(spent_micros) FILTER (WHERE day < end_day) AS micros,
            sum(spent_micros) FILTER (WHERE day >= end_day) AS ahead_micros
        FROM (
            SELECT brand_id, day, spent_micros FROM brand_days
            WHERE budgets.campaign_id IS NULL AND brand_id = budgets.brand_id AND day >= first_day {of_days}
            UNION ALL
            SELECT brand_id, day, spent_micros FROM campaign_days
            WHERE brand_id = budgets.brand_id AND campaign_id = budgets.campaign_id AND day >= first_day {of_days}
        ) AS days /*citus GROUP BY brand_id */
    ) AS spend ON true
"""

# Every budget with its current window (parameters from `current_windows`), its spend in it, and spend on later days.
SPEND_OF_BUDGETS: Final = _SPEND.format(of_budgets="", of_days="")

# Those budgets of the brands in the parameter `brand_ids`, in a statement that leaves out budgets of other brands.
SPEND_OF_BUDGETS_OF_BRANDS: Final = _SPEND.format(
    of_budgets="""/*citus AND brands.id = ANY(CAST(:brand_ids AS bigint[]))
        AND budgets.brand_id = ANY(CAST(:brand_ids AS bigint[])) */""",
    of_days="/*citus AND brand_id = ANY(CAST(:brand_ids AS bigint[])) */",
)

# The spend in the window, and on later days.
SPENT_MICROS: Final = "COALESCE(spend.micros, 0)"
AHEAD_MICROS: Final = "COALESCE(spend.ahead_micros, 0)"

# Whether a limit is exhausted, and the micros left of it; the same rules as in `domain.budgets`.
IS_EXHAUSTED: Final = f"(limit_micros = 0 OR {SPENT_MICROS} >= limit_micros)"
LEFT_MICROS: Final = f"(CASE WHEN limit_micros = 0 THEN 0 ELSE limit_micros - {SPENT_MICROS} END)"


def current_windows(zones: Iterable[str], at: datetime) -> dict[str, str]:
    """The current window of every zone and period at `at`, as array parameters for SPEND_OF_BUDGETS.

    Zones that do not exist are left out.
    """
    rows = [
        (zone, period, window.first_day, window.end_day or ENDLESS)
        for zone, rules in readable_zones(sorted(zones)).items()
        for period in Period
        for window in [window_of(period, local_day(at, rules))]
    ]
    names = ("zones", "periods", "first_days", "end_days")
    return {name: array_of(row[place] for row in rows) for place, name in enumerate(names)}
