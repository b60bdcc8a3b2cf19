"""Set-based searches: which brands and campaigns enforcement must look at."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.engine import fetched
from db.repository.shared.arrays import array_of
from db.repository.shared.windows import (
    IS_EXHAUSTED,
    LEFT_MICROS,
    SPEND_OF_BUDGETS,
    current_windows,
)
from db.repository.shared.zones import readable_zones
from domain.holds import SET_HOLDS

# Every budget with what is left of it, and the hold that it puts on campaigns when it is exhausted.
JUDGED = f"""
    SELECT budgets.brand_id, campaign_id, first_day, {LEFT_MICROS} AS left_micros, {IS_EXHAUSTED} AS exhausted,
        CASE WHEN campaign_id IS NULL THEN 'brand_' ELSE 'campaign_' END || budgets.period || '_budget' AS hold
    {SPEND_OF_BUDGETS}
"""

# A brand whose pass is not over is not out of step: the pass brings its campaigns there.
NOT_PENDING = "NOT EXISTS (SELECT FROM pending_enforcements AS pending WHERE pending.brand_id = campaigns.brand_id)"

# The brands with a campaign on which a budget's hold is not what spent and limit say.
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

# The brands on which the counters would lift a budget's hold, and the first day of the windows that say so.
OPENING = text(f"""
    WITH judged AS MATERIALIZED ({JUDGED})
    SELECT brand_id, min(first_day) AS first_day FROM judged
    WHERE NOT exhausted AND EXISTS (
        SELECT FROM campaigns WHERE campaigns.brand_id = judged.brand_id AND hold = ANY(holds)
            AND (judged.campaign_id IS NULL OR campaigns.id = judged.campaign_id)
    )
    GROUP BY brand_id ORDER BY brand_id
""")  # noqa: S608 - a constant, put together once

# The budget holds of each brand beside those to which its campaigns were brought, and the least that is left of its
# budgets; of the chosen campaigns those on which a budget of their own crossed its limit.
STANDING = f"""
    WITH judged AS MATERIALIZED (
        {JUDGED}
        WHERE budgets.brand_id = ANY(CAST(:brand_ids AS bigint[]))
            AND (campaign_id IS NULL OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))
    ), standing AS (
        SELECT brands.id AS brand_id, enforced_budget_holds AS enforced,
            min(left_micros) FILTER (WHERE judged.campaign_id IS NULL) AS left_micros,
            COALESCE(array_agg(hold ORDER BY hold COLLATE "C")
                FILTER (WHERE judged.campaign_id IS NULL AND exhausted), '{{}}') AS holds,
            array_agg(DISTINCT campaigns.id) FILTER (WHERE exhausted <> (hold = ANY(campaigns.holds))) AS crossed
        FROM brands
        LEFT JOIN judged ON judged.brand_id = brands.id
        LEFT JOIN campaigns ON campaigns.brand_id = judged.brand_id AND campaigns.id = judged.campaign_id
        WHERE brands.id = ANY(CAST(:brand_ids AS bigint[]))
        GROUP BY brands.id
    )
"""  # noqa: S608 - the same

# Where it is unknown to which holds a brand's campaigns were brought, they are looked at, no more than `most` of them;
# so are those of an exhausted brand that enforcement has not seen.
STANDING_OF_BRANDS = text(rf"""
    {STANDING}
    SELECT brand_id, left_micros, enforced IS NULL, holds, crossed, CASE
        WHEN enforced IS NULL THEN (
            SELECT count(*) > :most OR bool_or(standing.holds <> ARRAY(
                SELECT hold FROM unnest(looked_at.holds) AS hold WHERE hold LIKE 'brand\_%\_budget'
                ORDER BY hold COLLATE "C"
            ))
            FROM (SELECT campaigns.holds FROM campaigns WHERE campaigns.brand_id = standing.brand_id LIMIT :most + 1)
                AS looked_at
        )
        ELSE enforced <> holds OR (holds <> '{{}}' AND EXISTS (
            SELECT FROM campaigns
            WHERE campaigns.brand_id = standing.brand_id AND enforced_at IS NULL AND {NOT_PENDING}
        ))
    END
    FROM standing
""")  # noqa: S608 - the same

# The brands of which other holds are known than those of their exhausted budgets.
MISREMEMBERED = text(f"""
    WITH judged AS MATERIALIZED ({JUDGED} WHERE campaign_id IS NULL)
    SELECT brands.id FROM brands LEFT JOIN judged ON judged.brand_id = brands.id
    WHERE enforced_budget_holds IS NOT NULL
        AND NOT EXISTS (SELECT FROM pending_enforcements AS pending WHERE pending.brand_id = brands.id)
    GROUP BY brands.id
    HAVING enforced_budget_holds
        <> COALESCE(array_agg(hold ORDER BY hold COLLATE "C") FILTER (WHERE exhausted), '{{}}')
    ORDER BY brands.id
""")  # noqa: S608 - the same

# The brands with a campaign whose other holds are not what its row, flight and schedule say at the given local times,
# or which was decided at a moment yet to come: by a clock that was ahead, which passed over changes still due.
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
            EXISTS (SELECT FROM dayparts WHERE campaign_id = campaigns.id)
            AND NOT EXISTS (
                SELECT FROM dayparts WHERE campaign_id = campaigns.id AND dayparts.weekday = local.weekday
                    AND minute >= starts_minute AND minute < ends_minute
            )
        )
        OR EXISTS (
            SELECT FROM unnest(holds) AS held(hold)
            WHERE hold LIKE '%\\_budget' AND NOT EXISTS (
                SELECT FROM budgets WHERE budgets.brand_id = campaigns.brand_id AND hold = CASE
                    WHEN campaign_id IS NULL THEN 'brand_' || period || '_budget'
                    WHEN campaign_id = campaigns.id THEN 'campaign_' || period || '_budget'
                END
            )
        ))
    ORDER BY brand_id
""")  # noqa: S608 - the same

# Each zone in use, found by hopping through the index from one to the next.
ZONES = text("""
    WITH RECURSIVE zone AS (
        (SELECT time_zone FROM brands ORDER BY time_zone LIMIT 1)
        UNION ALL
        SELECT (SELECT time_zone FROM brands WHERE time_zone > zone.time_zone ORDER BY time_zone LIMIT 1)
        FROM zone WHERE zone.time_zone IS NOT NULL
    )
    SELECT time_zone FROM zone WHERE time_zone IS NOT NULL
""")

# Each brand has a second of the day at which its counters are compared with the ledger: those whose came since.
COMPARED_SINCE = text("""
    SELECT id, came_at FROM (
        SELECT id, date_trunc('second', CAST(:at AS timestamptz)) - make_interval(secs => mod(
            mod(floor(extract(epoch FROM CAST(:at AS timestamptz)))::bigint, 86400)
                - mod(mod(id, 86400) * 7919, 86400) + 86400,
            86400
        )) AS came_at
        FROM brands
    ) AS due
    WHERE came_at > :since ORDER BY came_at, id
""")

BRANDS_OF_ZONES = text("SELECT id FROM brands WHERE time_zone = ANY(CAST(:zones AS text[])) ORDER BY id")

BRANDS_UNSEEN = text("SELECT DISTINCT brand_id FROM campaigns WHERE enforced_at IS NULL ORDER BY brand_id")

ALL_BRANDS = text("SELECT id FROM brands WHERE id > :after ORDER BY id LIMIT :limit")

CAMPAIGNS_AFTER = text("""
    SELECT brand_id, id FROM campaigns WHERE (brand_id, id) > (:after_brand, :after_campaign)
    ORDER BY brand_id, id LIMIT :limit
""")

# Campaigns that the clock may have changed, or that enforcement has not seen yet; by brand, a page at a time.
DUE = text("""
    SELECT brand_id, id FROM (
        SELECT brand_id, id FROM campaigns WHERE next_change_at <= :at
        UNION
        SELECT brand_id, id FROM campaigns WHERE enforced_at IS NULL
    ) AS due
    WHERE (brand_id, id) > (:after_brand, :after_campaign)
    ORDER BY brand_id, id
    LIMIT :limit
""")


class BrandStanding(NamedTuple):
    """A brand's own budgets: what is left of the one with the least (None: it has none), and whether its campaigns'
    holds are other than the budgets say; and the chosen campaigns of which a budget of their own crossed its limit.

    `is_unknown`: to which holds the campaigns were brought was not known, so that they were looked at.
    """

    left_micros: int | None
    is_unknown: bool
    budget_holds: tuple[str, ...]
    crossed_campaigns: tuple[int, ...]
    is_crossed: bool


def crossed(connection: Connection, zones: Iterable[str], at: datetime) -> list[int]:
    """The brands on which a budget's hold is not what the counters say, either way."""
    return list(connection.scalars(CROSSED, current_windows(zones, at)))


def standing_of(
    connection: Connection,
    zones: Iterable[str],
    at: datetime,
    brand_ids: Iterable[int],
    campaign_ids: Iterable[int],
    most: int,
) -> dict[int, BrandStanding]:
    """How the budgets of these brands stand to the holds of their campaigns, and those of the chosen campaigns.

    A brand of which it is unknown, and which has more than `most` campaigns, is taken for crossed.
    """
    chosen = {"brand_ids": array_of(brand_ids), "campaign_ids": array_of(campaign_ids), "most": most}
    (rows,) = fetched(connection, (STANDING_OF_BRANDS, chosen | current_windows(zones, at)))
    return {
        brand_id: BrandStanding(
            None if left is None else int(left), is_unknown, tuple(holds), tuple(campaigns or ()), bool(crossed)
        )
        for brand_id, left, is_unknown, holds, campaigns, crossed in rows
    }


def misremembered(connection: Connection, zones: Iterable[str], at: datetime) -> list[int]:
    """The brands whose kept budget holds are not those of the budgets that are exhausted."""
    return list(connection.scalars(MISREMEMBERED, current_windows(zones, at)))


def opening(connection: Connection, zones: Iterable[str], at: datetime) -> dict[int, date]:
    """The brands on which a budget's hold would be lifted, and from which day on the counters say so."""
    rows = connection.execute(OPENING, current_windows(zones, at))
    return {row.brand_id: row.first_day for row in rows}


def drifted(connection: Connection, zones: Iterable[str], at: datetime) -> list[int]:
    """The brands on which a hold of another kind is not what rows and clock say, or whose time has come."""
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


def zones_in_use(connection: Connection) -> list[str]:
    """Every time zone that a brand has."""
    return list(connection.scalars(ZONES))


def to_compare(connection: Connection, since: datetime, at: datetime) -> list[tuple[int, datetime]]:
    """The brands whose second of the day came between two moments, a day apart at the most, and when it came."""
    parameters = {"since": since, "at": at}
    return [(brand_id, came_at) for brand_id, came_at in connection.execute(COMPARED_SINCE, parameters)]


def brands_of_zones(connection: Connection, zones: Sequence[str]) -> list[int]:
    """The brands that live by one of the zones, in id order."""
    return list(connection.scalars(BRANDS_OF_ZONES, {"zones": list(zones)}))


def brands_unseen(connection: Connection) -> list[int]:
    """The brands with a campaign that enforcement has not seen yet, in id order."""
    return list(connection.scalars(BRANDS_UNSEEN))


def brands_after(connection: Connection, brand_id: int, limit: int) -> list[int]:
    """One page of all brands, in id order."""
    return list(connection.scalars(ALL_BRANDS, {"after": brand_id, "limit": limit}))


def campaigns_after(connection: Connection, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """One page of all (brand, campaign) pairs, in order."""
    parameters = {"after_brand": after[0], "after_campaign": after[1], "limit": limit}
    return [(brand_id, campaign_id) for brand_id, campaign_id in connection.execute(CAMPAIGNS_AFTER, parameters)]


def due(connection: Connection, at: datetime, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """One page of the (brand, campaign) pairs that the clock may have changed by `at`."""
    parameters = {"at": at, "after_brand": after[0], "after_campaign": after[1], "limit": limit}
    return [(brand_id, campaign_id) for brand_id, campaign_id in connection.execute(DUE, parameters)]
