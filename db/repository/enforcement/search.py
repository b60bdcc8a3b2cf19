"""Searches by SQL over whole tables for brands and campaigns that enforcement must decide again."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.engine import Query, query_pipelined
from db.repository.shared.arrays import array_of
from db.repository.shared.windows import (
    IS_EXHAUSTED,
    LEFT_MICROS,
    SPEND_OF_BUDGETS,
    SPEND_OF_BUDGETS_OF_BRANDS,
    current_windows,
)
from db.repository.shared.zones import readable_zones
from db.repository.spread.on_shard import COLUMNS, on_shard
from domain.holds import SET_HOLDS

# The brand and campaign of budgets, the micros left, whether they are exhausted, and the hold they put on campaigns.
_JUDGMENT = f"""
    SELECT budgets.brand_id, campaign_id, first_day, {LEFT_MICROS} AS left_micros, {IS_EXHAUSTED} AS exhausted,
        CASE WHEN campaign_id IS NULL THEN 'brand_' ELSE 'campaign_' END || budgets.period || '_budget' AS hold
"""

# Every budget, judged.
JUDGED = f"{_JUDGMENT} {SPEND_OF_BUDGETS}"

# Leaves out brands with a pass in progress: the pass will enforce their campaigns.
NOT_PENDING = "NOT EXISTS (SELECT FROM pending_enforcements AS pending WHERE pending.brand_id = campaigns.brand_id)"

# Brands with a campaign that has a budget's hold although the budget is not exhausted, or the other way round.
CROSSED = text(f"""
    WITH judged AS MATERIALIZED ({JUDGED})
    SELECT judged.brand_id FROM judged JOIN campaigns ON campaigns.brand_id = judged.brand_id
    WHERE judged.campaign_id IS NULL AND exhausted <> (hold = ANY(holds)) AND {NOT_PENDING}
    UNION
    SELECT judged.brand_id
    FROM judged JOIN campaigns ON campaigns.brand_id = judged.brand_id AND campaigns.id = judged.campaign_id
    WHERE exhausted <> (hold = ANY(holds)) AND {NOT_PENDING}
    ORDER BY brand_id
""")  # noqa: S608 - constants, put together once

# Brands on which a budget's hold would be lifted, with the first day of the earliest such window.
OPENING = text(f"""
    WITH judged AS /*citus NOT */ MATERIALIZED ({JUDGED})
    SELECT brand_id, min(first_day) AS first_day FROM judged
    WHERE NOT exhausted AND EXISTS (
        SELECT FROM campaigns WHERE campaigns.brand_id = judged.brand_id AND hold = ANY(holds)
            AND (judged.campaign_id IS NULL OR campaigns.id = judged.campaign_id)
    )
    GROUP BY brand_id ORDER BY brand_id
""")  # noqa: S608 - a constant, put together once

# For each brand: the holds of its exhausted budgets, the stored holds of its campaigns, the least left of its budgets,
# and those of the chosen campaigns on which a budget of their own crossed its limit.
BUDGETS_AND_HOLDS = f"""
    WITH judged AS MATERIALIZED (
        {_JUDGMENT} {SPEND_OF_BUDGETS_OF_BRANDS}
        WHERE budgets.brand_id = ANY(CAST(:brand_ids AS bigint[]))
            AND (campaign_id IS NULL OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))
    ), state AS (
        SELECT brands.id AS brand_id, enforced_budget_holds AS enforced,
            min(left_micros) FILTER (WHERE judged.campaign_id IS NULL) AS left_micros,
            COALESCE(array_agg(hold ORDER BY hold COLLATE "C")
                FILTER (WHERE judged.campaign_id IS NULL AND exhausted), '{{}}') AS holds,
            array_agg(DISTINCT campaigns.id) FILTER (WHERE exhausted <> (hold = ANY(campaigns.holds))) AS crossed
        FROM brands
        LEFT JOIN judged ON judged.brand_id = brands.id
        LEFT JOIN campaigns ON campaigns.brand_id = judged.brand_id AND campaigns.id = judged.campaign_id
            /*citus AND campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
        WHERE brands.id = ANY(CAST(:brand_ids AS bigint[]))
        GROUP BY brands.id
    )
"""  # noqa: S608 - the same

# Compares the holds of exhausted budgets with the stored holds. If these are unknown, it reads the campaigns, at most
# :most of them. For an exhausted brand it also checks for campaigns that were never enforced.
BUDGET_STATES = text(rf"""
    {BUDGETS_AND_HOLDS}
    SELECT brand_id, left_micros, enforced IS NULL, holds, crossed, CASE
        WHEN enforced IS NULL THEN (
            SELECT count(*) > :most OR bool_or(state.holds <> ARRAY(
                SELECT hold FROM unnest(first_campaigns.holds) AS hold WHERE hold LIKE 'brand\_%\_budget'
                ORDER BY hold COLLATE "C"
            ))
            FROM (
                SELECT campaigns.holds FROM campaigns
                WHERE campaigns.brand_id = state.brand_id
                    /*citus AND campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
                LIMIT :most + 1
            ) AS first_campaigns
        )
        ELSE enforced <> holds OR (holds <> '{{}}' AND EXISTS (
            SELECT FROM campaigns
            WHERE campaigns.brand_id = state.brand_id AND enforced_at IS NULL
                /*citus AND campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
                AND NOT EXISTS (
                    SELECT FROM pending_enforcements AS pending
                    WHERE pending.brand_id = campaigns.brand_id
                        /*citus AND pending.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
                )
        ))
    END
    FROM state
""").execution_options(  # noqa: S608 - the same
    **{
        COLUMNS: "brand_id bigint, left_micros numeric, is_unknown boolean, holds text[], crossed bigint[],"
        " is_crossed boolean"
    }
)

# Brands whose stored budget holds differ from the holds of their exhausted budgets.
BRANDS_WITH_WRONG_KEPT_HOLDS = text(f"""
    WITH judged AS MATERIALIZED ({JUDGED} WHERE campaign_id IS NULL)
    SELECT brands.id FROM brands LEFT JOIN judged ON judged.brand_id = brands.id
    WHERE enforced_budget_holds IS NOT NULL
        AND NOT EXISTS (SELECT FROM pending_enforcements AS pending WHERE pending.brand_id = brands.id)
    GROUP BY brands.id
    HAVING enforced_budget_holds
        <> COALESCE(array_agg(hold ORDER BY hold COLLATE "C") FILTER (WHERE exhausted), '{{}}')
    ORDER BY brands.id
""")  # noqa: S608 - the same

# Brands with a campaign whose holds, except budget holds, differ from what its status, flight and schedule require at
# the given local times; or that is due; or that was enforced in the future, by a clock that ran ahead.
DRIFTED = text(f"""
    SELECT DISTINCT campaigns.brand_id
    FROM unnest(
        CAST(:zones AS text[]), CAST(:todays AS date[]), CAST(:weekdays AS smallint[]), CAST(:minutes AS smallint[])
    ) AS local(time_zone, today, weekday, minute)
    JOIN brands USING (time_zone)
    JOIN campaigns ON campaigns.brand_id = brands.id
    WHERE {NOT_PENDING} AND (enforced_at IS NULL
        OR next_change_at <= :at
        OR enforced_at > :at
        OR (campaigns.configured_status = 'paused') <> ('user_paused' = ANY(holds))
        OR (campaigns.configured_status = 'archived') <> ('archived' = ANY(holds))
        OR (brands.configured_status <> 'enabled') <> ('brand_paused' = ANY(holds))
        OR NOT set_holds <@ holds
        OR (holds && CAST(:settable AS text[]) AND EXISTS (
            SELECT FROM unnest(holds) AS held(hold)
            WHERE hold = ANY(CAST(:settable AS text[])) AND hold <> ALL(set_holds)
        ))
        OR COALESCE(today < starts_on, false) <> ('flight_not_started' = ANY(holds))
        OR COALESCE(today > ends_on, false) <> ('flight_ended' = ANY(holds))
        OR ('outside_schedule' = ANY(holds)) <> (
            EXISTS (SELECT FROM dayparts WHERE dayparts.brand_id = campaigns.brand_id AND campaign_id = campaigns.id)
            AND NOT EXISTS (
                SELECT FROM dayparts WHERE dayparts.brand_id = campaigns.brand_id AND campaign_id = campaigns.id
                    AND dayparts.weekday = local.weekday AND minute >= starts_minute AND minute < ends_minute
            )
        )
        OR (array_to_string(holds, ' ') LIKE '%\\_budget%' AND NOT ARRAY(
            SELECT hold FROM unnest(holds) AS held(hold) WHERE hold LIKE '%\\_budget'
        ) <@ ARRAY(
            SELECT CASE WHEN campaign_id IS NULL THEN 'brand_' ELSE 'campaign_' END || period || '_budget' FROM budgets
            WHERE budgets.brand_id = campaigns.brand_id AND (campaign_id IS NULL OR campaign_id = campaigns.id)
        )))
    ORDER BY brand_id
""")  # noqa: S608 - the same


class BrandBudgetState(NamedTuple):
    """The state of a brand's budgets compared with its campaigns' holds.

    `left_micros`: the least that is left of the brand's own budgets; None: it has none. `is_unknown`: the budget holds
    that its campaigns have are not stored with the brand. `budget_holds`: the holds of its own exhausted budgets.
    `crossed_campaigns`: the asked campaigns that have the hold of a budget of their own which is not exhausted, or lack
    the hold of an exhausted one. `is_crossed`: campaigns lack holds of the brand's own budgets or have wrong ones, or
    there are too many campaigns to compare.
    """

    left_micros: int | None
    is_unknown: bool
    budget_holds: tuple[str, ...]
    crossed_campaigns: tuple[int, ...]
    is_crossed: bool


def crossed(connection: Connection, zones: Iterable[str], at: datetime) -> list[int]:
    """The ids, in order, of brands in `zones` with a campaign whose holds are wrong for one of its budgets at `at`.

    The campaign lacks the hold of an exhausted budget, or has the hold of a budget that is not exhausted. Leaves out
    brands with a pass (enforcement in parts) in progress, which decides their campaigns again.
    """
    return list(connection.scalars(CROSSED, current_windows(zones, at)))


def budget_states(
    connection: Connection,
    zones: Iterable[str],
    at: datetime,
    brand_ids: Collection[int],
    campaign_ids: Iterable[int],
    most: int,
    also: Sequence[Query] = (),
) -> tuple[dict[int, BrandBudgetState], list[list[tuple[Any, ...]]]]:
    """The state of the brands' budgets compared with their campaigns' holds, by brand id; and the rows of `also`.

    Call it after counting spend of the brands, which are of one shard. `campaign_ids`: campaigns whose own budgets are
    compared too. If a brand does not store its campaigns' budget holds and has more than `most` campaigns, it counts as
    crossed. `also`: queries to send in the same round trip.
    """
    parameters = {"brand_ids": array_of(brand_ids), "campaign_ids": array_of(campaign_ids), "most": most}
    queries = [(BUDGET_STATES, parameters | current_windows(zones, at)), *also]
    rows, *others = query_pipelined(connection, *(on_shard(connection, min(brand_ids), query) for query in queries))
    states = {
        brand_id: BrandBudgetState(
            None if left is None else int(left), is_unknown, tuple(holds), tuple(campaigns or ()), bool(crossed)
        )
        for brand_id, left, is_unknown, holds, campaigns, crossed in rows
    }
    return states, others


def brands_with_wrong_kept_holds(connection: Connection, zones: Iterable[str], at: datetime) -> list[int]:
    """The ids, in order, of brands whose stored budget holds differ from the holds of their own exhausted budgets.

    Leaves out brands that store none, and brands with a pass (enforcement in parts) in progress.
    """
    return list(connection.scalars(BRANDS_WITH_WRONG_KEPT_HOLDS, current_windows(zones, at)))


def opening(connection: Connection, zones: Iterable[str], at: datetime) -> dict[int, date]:
    """The first day of the earliest window of a budget that is not exhausted but holds a campaign, by brand id."""
    rows = connection.execute(OPENING, current_windows(zones, at))
    return {row.brand_id: row.first_day for row in rows}


def drifted(connection: Connection, zones: Iterable[str], at: datetime) -> list[int]:
    """The ids, in order, of brands with a due campaign, or a campaign that lacks a hold or has a wrong one at `at`.

    Among wrong budget holds, finds only holds of removed budgets. Also finds brands with a campaign that was never
    enforced, or was enforced after `at`. Leaves out brands with a pass (enforcement in parts) in progress or an unknown
    time zone.
    """
    local = {zone: at.astimezone(rules) for zone, rules in readable_zones(zones).items()}
    parameters = {
        "at": at,
        "settable": sorted(SET_HOLDS),
        "zones": list(local),
        "todays": [wall.date() for wall in local.values()],
        "weekdays": [wall.isoweekday() for wall in local.values()],
        "minutes": [wall.hour * 60 + wall.minute for wall in local.values()],
    }
    return list(connection.scalars(DRIFTED, parameters))
