"""Reads the brands with new spend, limits or thresholds, the budgets of brands that may need alerts, and ended alerts.

An ended alert is open although its budget was removed or archived, or its window is over.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.repository.enforcement import targets
from db.repository.shared.arrays import array_of
from db.repository.shared.windows import SPEND_OF_BUDGETS, SPENT_MICROS, current_windows
from domain.alerts.kinds import AlertKind
from domain.alerts.states import KnownAlert
from domain.alerts.thresholds import DEFAULT_THRESHOLDS

OF_BUDGETS: Final = (AlertKind.BUDGET_THRESHOLD, AlertKind.OVERSPEND)

CHANGED = text("""
    SELECT id FROM brands WHERE spend_received_at >= :since
    UNION
    SELECT brand_id FROM budgets WHERE changed_at >= :since
    UNION
    SELECT brand_id FROM alert_settings WHERE changed_at >= :since
    ORDER BY 1
""")

ALL = text("SELECT DISTINCT brand_id FROM budgets ORDER BY 1")

# Budgets of the brands in their current windows that have reached their lowest threshold or have had an alert in that
# window, with those alerts as ids, kinds, thresholds and states.
FACTS = text(f"""
    WITH spent AS MATERIALIZED (
        SELECT budgets.id, budgets.brand_id, budgets.campaign_id, budgets.period, limit_micros,
            {SPENT_MICROS} AS spent_micros, first_day,
            COALESCE(thresholds, CAST(:default_thresholds AS integer[])) AS thresholds, ARRAY(
                SELECT platform_account_id FROM platform_account_brands
                WHERE platform_account_brands.brand_id = budgets.brand_id AND (
                    budgets.campaign_id IS NULL OR platform_account_id = (
                        SELECT platform_account_id FROM campaigns
                        WHERE campaigns.brand_id = budgets.brand_id AND campaigns.id = budgets.campaign_id
                    )
                )
            ) AS account_ids
        {SPEND_OF_BUDGETS}
        LEFT JOIN alert_settings ON alert_settings.brand_id = budgets.brand_id
        WHERE budgets.brand_id = ANY(CAST(:brand_ids AS bigint[])) AND brands.configured_status <> 'archived'
            AND NOT EXISTS (
                SELECT FROM campaigns
                WHERE campaigns.brand_id = budgets.brand_id AND campaigns.id = budgets.campaign_id
                    AND campaigns.configured_status = 'archived'
            )
    )
    SELECT spent.id, brand_id, campaign_id, period, limit_micros, spent_micros, first_day, thresholds,
        (SELECT sum(bound_micros) FROM platform_bounds WHERE platform_account_id = ANY(account_ids)) AS bound_micros,
        told.*
    FROM spent CROSS JOIN LATERAL (
        SELECT COALESCE(array_agg(alerts.id), '{{}}') AS ids, COALESCE(array_agg(kind), '{{}}') AS kinds,
            COALESCE(array_agg(threshold), '{{}}') AS told, COALESCE(array_agg(state = 'open'), '{{}}') AS are_open
        FROM alerts
        WHERE kind = ANY(CAST(:kinds AS text[])) AND subject = 'budget:' || spent.id AND episode = first_day::text
    ) AS told
    WHERE ids <> '{{}}' OR limit_micros > 0 AND spent_micros * 100 >= limit_micros
        * (SELECT min(percent) FROM unnest(thresholds || 101) AS percent)
    ORDER BY spent.id
""")  # noqa: S608 - a constant, put together once

# Open alerts of budgets that were removed, of archived brands or campaigns, or of a window that is not the current one.
ENDED = text("""
    /*citus WITH alerts AS MATERIALIZED (
        SELECT id, brand_id, campaign_id, budget_id, kind, state, episode FROM alerts
        WHERE kind = ANY(CAST(:kinds AS text[])) AND state = 'open'
    ), brands AS MATERIALIZED (
        SELECT id, configured_status, time_zone FROM brands WHERE id IN (SELECT brand_id FROM alerts)
    ), budgets AS MATERIALIZED (
        SELECT id, period FROM budgets
        WHERE brand_id IN (SELECT brand_id FROM alerts) AND id IN (SELECT budget_id FROM alerts)
    ), campaigns AS MATERIALIZED (
        SELECT brand_id, id, configured_status FROM campaigns
        WHERE (brand_id, id) IN (SELECT brand_id, campaign_id FROM alerts)
    ) */
    SELECT alerts.id, budgets.id IS NULL OR brands.configured_status = 'archived'
        OR COALESCE(campaigns.configured_status, '') = 'archived' AS is_gone
    FROM alerts JOIN brands ON brands.id = alerts.brand_id
    LEFT JOIN budgets ON budgets.id = alerts.budget_id
    LEFT JOIN campaigns ON campaigns.brand_id = alerts.brand_id AND campaigns.id = alerts.campaign_id
    LEFT JOIN unnest(
        CAST(:zones AS text[]), CAST(:periods AS text[]), CAST(:first_days AS date[]), CAST(:end_days AS date[])
    ) AS current(time_zone, period, first_day, end_day)
        ON current.time_zone = brands.time_zone AND current.period = budgets.period
    WHERE kind = ANY(CAST(:kinds AS text[])) AND state = 'open' AND (
        budgets.id IS NULL OR brands.configured_status = 'archived'
        OR COALESCE(campaigns.configured_status, '') = 'archived' OR first_day::text <> episode
    )
    ORDER BY alerts.id
""")


class BudgetFacts(NamedTuple):
    """A budget in its current window, with its brand's thresholds in percent of the limit.

    `campaign_id` None: a budget of the brand itself. `first_day`: the first day of the window. `bound_micros`: the
    spend above a limit that 95 % of pauses do not exceed, added up over the platform accounts of the budget; None: not
    measured for any. `known`: the alerts of the budget in that window, by kind.
    """

    budget_id: int
    brand_id: int
    campaign_id: int | None
    period: str
    limit_micros: int
    spent_micros: int
    first_day: date
    thresholds: tuple[int, ...]
    bound_micros: int | None
    known: dict[str, list[KnownAlert]]

    @property
    def subject(self) -> str:
        """The subject of the budget's alerts, such as `budget:12`."""
        return f"budget:{self.budget_id}"


def changed_brands(connection: Connection, since: datetime | None) -> list[int]:
    """The ids, in order, of brands that got spend, limits or thresholds since `since`; None: all that have budgets."""
    if since is None:
        return list(connection.scalars(ALL))
    return list(connection.scalars(CHANGED, {"since": since}))


def facts(connection: Connection, brand_ids: Iterable[int], at: datetime) -> list[BudgetFacts]:
    """The budgets of these brands that have reached a threshold or had an alert in the window of `at`, in id order.

    Also returns budgets from 101 % of their limit on. Leaves out budgets of archived brands and campaigns, and limits
    of 0 without an alert.
    """
    parameters = {
        **current_windows(targets.zones_in_use(connection), at),
        "brand_ids": array_of(brand_ids),
        "kinds": array_of(OF_BUDGETS),
        "default_thresholds": array_of(DEFAULT_THRESHOLDS),
    }
    return [_facts(*row) for row in connection.execute(FACTS, parameters)]


def _facts(
    budget_id: int,
    brand_id: int,
    campaign_id: int | None,
    period: str,
    limit_micros: int,
    spent_micros: int,
    first_day: date,
    thresholds: Sequence[int],
    bound_micros: int | None,
    ids: Sequence[int],
    kinds: Sequence[str],
    told: Sequence[int],
    are_open: Sequence[bool],
) -> BudgetFacts:
    known: dict[str, list[KnownAlert]] = {kind: [] for kind in OF_BUDGETS}
    for alert_id, kind, threshold, is_open in zip(ids, kinds, told, are_open, strict=True):
        known[kind].append(KnownAlert(alert_id, f"budget:{budget_id}", str(first_day), threshold, is_open))
    figures = (period, limit_micros, int(spent_micros), first_day)
    bound = None if bound_micros is None else int(bound_micros)
    return BudgetFacts(budget_id, brand_id, campaign_id, *figures, tuple(thresholds), bound, known)


def ended(connection: Connection, at: datetime) -> list[tuple[int, bool]]:
    """The open alerts that must end at `at`, in id order: (alert id, is gone) pairs.

    True: the budget was removed, or its brand or campaign was archived. False: the window of the alert has ended.
    """
    parameters = {**current_windows(targets.zones_in_use(connection), at), "kinds": array_of(OF_BUDGETS)}
    return [(alert_id, is_gone) for alert_id, is_gone in connection.execute(ENDED, parameters)]
