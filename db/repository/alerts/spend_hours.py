"""Stores the hours in which campaigns and sources got spend; finds silent ones, and stopped campaigns that spend."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from domain.alerts.silence import HISTORY, hour_of

FRESH: Final = "interval '2 days'"
"""SQL of an interval: an event received longer than this after it occurred is backfill, and its hour is not stored."""

# The first run reads the ledger of two weeks.
TAKE_TIME = text("SET LOCAL statement_timeout = '10min'")

# Adds the hours of spend received since the last run, for campaigns and for sources; not for those that tell the spend
# of one account on the day of a move alone (`added_source` in app/platforms/spend.py). Returns, for campaigns that are
# stopped, when their newest spend occurred.
NOTE_SPEND = text(f"""
    WITH seen AS MATERIALIZED (
        SELECT brand_id, campaign_id, source, floor(extract(epoch FROM received_at) / 3600)::integer AS hour,
            max(occurred_at) AS occurred_at
        FROM spend_events
        WHERE received_at >= :since AND received_at < :until AND occurred_at >= :earliest
            AND occurred_at >= received_at - {FRESH} AND amount_micros > 0
        GROUP BY 1, 2, 3, 4
    ), kept AS (
        INSERT INTO spend_hours AS known (brand_id, campaign_id, source, hours, last_hour)
        SELECT brand_id, campaign_id, source, array_agg(hour ORDER BY hour), max(hour)
        FROM (
            SELECT brand_id, campaign_id, '' AS source, hour FROM seen
            UNION
            SELECT brand_id, 0, source, hour FROM seen
            WHERE NOT EXISTS (
                SELECT FROM platform_accounts AS moved WHERE source = moved.platform || ':' || moved.account_id
            )
        ) AS hours
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (brand_id, campaign_id, source) DO UPDATE
        SET last_hour = greatest(known.last_hour, excluded.last_hour), hours = (
            SELECT array_agg(DISTINCT hour ORDER BY hour) FROM unnest(known.hours || excluded.hours) AS hour
            WHERE hour > :oldest_hour OR hour = known.last_hour
        )
        WHERE NOT known.hours @> excluded.hours
    )
    SELECT seen.brand_id, campaign_id, max(occurred_at) AS occurred_at
    FROM seen JOIN campaigns ON campaigns.brand_id = seen.brand_id AND campaigns.id = campaign_id
    WHERE effective_status = 'inactive'
    GROUP BY 1, 2 ORDER BY 1, 2
""")  # noqa: S608 - a constant, put together once

FORGET = text("DELETE FROM spend_hours WHERE last_hour <= :oldest_hour")

# Campaigns that may serve and have not spent since the hour :last, with the hours in which they did.
SILENT_CAMPAIGNS = text("""
    SELECT spend_hours.brand_id, campaign_id, hours
    FROM spend_hours JOIN campaigns ON campaigns.brand_id = spend_hours.brand_id AND campaigns.id = campaign_id
    WHERE last_hour <= :last AND cardinality(hours) > :least AND effective_status = 'active'
    ORDER BY 1, 2
""")

# Sources that have not reported since the hour :last, of brands with a campaign that may serve, with the moment since
# which one may without a break. A feed of a single campaign is left out: its silence is the campaign's.
SILENT_SOURCES = text("""
    SELECT spend_hours.brand_id, source, hours, serving.since
    FROM spend_hours CROSS JOIN LATERAL (
        SELECT min(COALESCE(change.changed_at, campaigns.created_at)) AS since
        FROM campaigns LEFT JOIN LATERAL (
            SELECT changed_at FROM status_changes
            WHERE campaign_id = campaigns.id /*citus AND status_changes.brand_id = campaigns.brand_id */
            ORDER BY id DESC LIMIT 1
        ) AS change ON true
        WHERE campaigns.brand_id = spend_hours.brand_id AND effective_status = 'active'
    ) AS serving
    WHERE campaign_id = 0 AND last_hour <= :last AND cardinality(hours) > :least AND serving.since IS NOT NULL
        AND (SELECT count(*) FROM (
            SELECT FROM spend_hours AS other
            WHERE other.brand_id = spend_hours.brand_id AND campaign_id > 0 LIMIT 2
        ) AS two) = 2
    ORDER BY 1, 2
""")

# Campaigns whose spend occurred longer than :grace after they were stopped, or that have an open alert about it and got
# spend since the hour :last.
HELD = text("""
    SELECT campaigns.brand_id, campaigns.id, change.id, change.changed_at
    FROM campaigns JOIN LATERAL (
        SELECT id, changed_at FROM status_changes
        WHERE campaign_id = campaigns.id /*citus AND status_changes.brand_id = campaigns.brand_id */
        ORDER BY id DESC LIMIT 1
    ) AS change ON true
    WHERE effective_status = 'inactive' AND (
        campaigns.id IN (
            SELECT seen.campaign_id FROM unnest(
                CAST(:campaign_ids AS bigint[]), CAST(:occurred AS timestamptz[])
            ) AS seen(campaign_id, occurred_at)
            WHERE seen.campaign_id = campaigns.id AND occurred_at > change.changed_at + CAST(:grace AS interval)
        ) OR campaigns.id IN (
            SELECT alerts.campaign_id FROM alerts JOIN spend_hours
                ON spend_hours.brand_id = alerts.brand_id AND spend_hours.campaign_id = alerts.campaign_id
            WHERE kind = 'held_but_spending' AND state = 'open' AND last_hour > :last
        )
    )
    ORDER BY 1, 2
""")


class SilentCampaign(NamedTuple):
    """An active campaign without recent spend.

    `hours`: the hours in which its spend was received, at least those of the last two weeks, as whole hours since 1970
    (UTC), ascending.
    """

    brand_id: int
    campaign_id: int
    hours: Sequence[int]


class SilentSource(NamedTuple):
    """A source of a brand without recent reports.

    `hours`: the hours in which it reported spend, at least those of the last two weeks, as whole hours since 1970
    (UTC), ascending. `serving_since`: since when the brand's longest active campaign is active without a break.
    """

    brand_id: int
    source: str
    hours: Sequence[int]
    serving_since: datetime


class HeldCampaign(NamedTuple):
    """An inactive campaign that still spends. `change_id`, `held_since`: id and time of the change that stopped it."""

    brand_id: int
    campaign_id: int
    change_id: int
    held_since: datetime


def note_spend(connection: Connection, since: datetime, until: datetime) -> list[tuple[int, datetime]]:
    """Stores, for campaigns and sources, the hours in which spend was received in [since, until).

    Leaves out refunds and backfills. A repeated or overlapping call adds no hour twice. Deletes campaigns and sources
    whose newest hour is more than two weeks before `until`. Returns (campaign id, when its newest spend occurred) pairs
    of the inactive campaigns with spend in [since, until).
    """
    connection.execute(TAKE_TIME)
    oldest_hour = hour_of(until - HISTORY)
    parameters = {"since": since, "until": until, "earliest": since - HISTORY, "oldest_hour": oldest_hour}
    seen = [(row.campaign_id, row.occurred_at) for row in connection.execute(NOTE_SPEND, parameters)]
    connection.execute(FORGET, {"oldest_hour": oldest_hour})
    return seen


def silent_campaigns(connection: Connection, last_hour: int, least: int) -> list[SilentCampaign]:
    """Active campaigns whose newest hour with spend is `last_hour` or earlier, in order of brand and campaign.

    `last_hour`: the number of an hour, counted since 1970 (UTC). Leaves out campaigns with at most `least` stored hours
    with spend.
    """
    rows = connection.execute(SILENT_CAMPAIGNS, {"last": last_hour, "least": least})
    return [SilentCampaign(*row) for row in rows]


def silent_sources(connection: Connection, last_hour: int, least: int) -> list[SilentSource]:
    """Sources whose newest hour with reported spend is `last_hour` or earlier, in order of brand and source.

    `last_hour`: the number of an hour, counted since 1970 (UTC). Leaves out sources with at most `least` stored hours,
    brands without an active campaign, and brands with fewer than two campaigns that have stored hours with spend.
    """
    rows = connection.execute(SILENT_SOURCES, {"last": last_hour, "least": least})
    return [SilentSource(*row) for row in rows]


def held_but_spending(
    connection: Connection, seen: Sequence[tuple[int, datetime]], grace_seconds: int, last_hour: int
) -> list[HeldCampaign]:
    """Inactive campaigns with spend that occurred more than `grace_seconds` after they were stopped, in order of brand.

    `seen`: (campaign id, when its newest spend occurred) pairs to check. A campaign with an open alert of this kind is
    returned too while its newest hour with spend is after `last_hour`.
    """
    parameters: dict[str, Any] = {
        "campaign_ids": [campaign_id for campaign_id, _ in seen],
        "occurred": [occurred_at for _, occurred_at in seen],
        "grace": f"{grace_seconds} seconds",
        "last": last_hour,
    }
    return [HeldCampaign(*row) for row in connection.execute(HELD, parameters)]
