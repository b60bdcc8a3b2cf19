"""Reads an account's confirmed pauses and ended days, and stores its bound: how far its spend may exceed a limit."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.amounts import MAX_MICROS, bounded
from domain.reporting.bounds import Bound, DaySeen, PauseSeen, day_seen

# Decisions to pause because of budgets, with the spend of their day that was received until a release. The lowest
# bound of `occurred_at` leaves out old partitions.
PAUSES = text(f"""
    SELECT (decided_at AT TIME ZONE time_zone)::date AS day, {bounded("max(beyond_micros)")},
        {bounded("COALESCE(sum(amount_micros), 0)")},
        COALESCE(max(extract(epoch FROM received_at - confirmed_at)) FILTER (WHERE amount_micros > 0), 0)::bigint
    FROM platform_confirmations AS pause
    JOIN brands ON brands.id = pause.brand_id
    JOIN status_changes ON status_changes.id = status_change_id
        /*citus AND status_changes.brand_id = pause.brand_id */
    CROSS JOIN LATERAL (
        SELECT max((figures->>'spent_micros')::numeric - (figures->>'limit_micros')::numeric) AS beyond_micros
        FROM jsonb_each(details->'budgets') AS budget(hold, figures) WHERE hold = ANY(holds_after)
    ) AS excess
    CROSS JOIN LATERAL (
        SELECT COALESCE(min(later.changed_at), 'infinity') AS released_at FROM status_changes AS later
        WHERE later.brand_id = pause.brand_id AND later.campaign_id = pause.campaign_id
            AND later.changed_at > decided_at AND later.to_status = 'active'
    ) AS release
    LEFT JOIN spend_events ON spend_events.brand_id = pause.brand_id
        AND spend_events.campaign_id = pause.campaign_id AND source = :source
        AND received_at > decided_at AND received_at < released_at
        AND occurred_at >= CAST(:since AS timestamptz) - interval '2 days'
        AND (occurred_at AT TIME ZONE time_zone)::date = (decided_at AT TIME ZONE time_zone)::date
    WHERE pause.platform_account_id = :account AND desired = 'inactive' AND decided_at >= :since
        AND beyond_micros IS NOT NULL
    GROUP BY pause.brand_id, time_zone, decided_at
    ORDER BY decided_at, pause.brand_id
""")  # noqa: S608 - a constant, put together once

# The spend of each ended day by how many days after its end it was received (-1: on the day). Leaves out days that
# began before the account's first spend was received: those arrived complete.
DAYS = text(f"""
    SELECT brand_id, day, days_late, {bounded("sum(amount_micros)")} AS micros
    FROM (
        SELECT spend_events.brand_id, day, amount_micros, min(received_at) OVER () AS first_at,
            day::timestamp AT TIME ZONE time_zone AS starts_at, ends_at,
            greatest(-1, floor(extract(epoch FROM received_at - ends_at) / 86400))::integer AS days_late
        FROM spend_events
        JOIN campaigns ON campaigns.id = campaign_id /*citus AND campaigns.brand_id = spend_events.brand_id */
        JOIN brands ON brands.id = spend_events.brand_id
        CROSS JOIN LATERAL (SELECT (occurred_at AT TIME ZONE time_zone)::date AS day) AS local
        CROSS JOIN LATERAL (SELECT (day + 1)::timestamp AT TIME ZONE time_zone AS ends_at) AS ended
        WHERE platform_account_id = :account AND source = :source AND occurred_at >= :since
    ) AS received
    WHERE starts_at > first_at AND ends_at <= CAST(:at AS timestamptz)
    GROUP BY brand_id, day, days_late
    ORDER BY day, brand_id
""")  # noqa: S608 - a constant, put together once

KEEP = text("""
    INSERT INTO platform_bounds AS known
        (platform_account_id, measured_at, pauses, days, bound_micros, grows_seconds, settles_after_days)
    VALUES (:account, :at, :pauses, :days, :bound_micros, :grows_seconds, :settles_after_days)
    ON CONFLICT (platform_account_id) DO UPDATE
    SET measured_at = excluded.measured_at, pauses = excluded.pauses, days = excluded.days,
        bound_micros = excluded.bound_micros, grows_seconds = excluded.grows_seconds,
        settles_after_days = excluded.settles_after_days
""")

BOUNDS = text("""
    SELECT accounts.id, platform, account_id, COALESCE(connected.currency, brands.currency) AS currency, pauses, days,
        bound_micros, grows_seconds, settles_after_days
    FROM platform_account_brands
    JOIN platform_accounts AS accounts ON accounts.id = platform_account_brands.platform_account_id
    JOIN platform_connections AS connected ON connected.platform_account_id = accounts.id
    JOIN brands ON brands.id = brand_id
    LEFT JOIN platform_bounds ON platform_bounds.platform_account_id = accounts.id
    WHERE brand_id = :brand_id AND mode <> 'off'
    ORDER BY accounts.id
""")

BOUNDS_OF_ACCOUNTS = text("""
    SELECT platform_account_id, pauses, days, bound_micros, grows_seconds, settles_after_days FROM platform_bounds
    WHERE platform_account_id = ANY(CAST(:accounts AS bigint[]))
""")


class AccountBound(NamedTuple):
    """A connected account, and how far spend there may exceed a limit (`bound`); None if that was never measured.

    `account`: Spendgate's id of the account. `account_id`: the platform's id; None for a brand's default account.
    `currency`: the account's if the platform reported it, else the brand's.
    """

    account: int
    platform: str
    account_id: str | None
    currency: str
    bound: Bound | None


def pauses_seen(connection: Connection, account: int, source: str, since: datetime) -> list[PauseSeen]:
    """The account's confirmed decisions since `since` to pause because of budgets, by time.

    Each has the spend above the limit at the decision, and the spend of its day received later. `source`: the source
    name of the spend that is read from the account.
    """
    values = {"account": account, "source": source, "since": since}
    return [PauseSeen(*row) for row in connection.execute(PAUSES, values)]


def days_seen(connection: Connection, account: int, source: str, since: datetime, at: datetime) -> list[DaySeen]:
    """The days of each brand in the account from `since` that ended by `at`, with their spend, by day.

    `source`: the source name of the spend that is read from the account. Leaves out days without spend, and days that
    began before the account's first spend (from `since` on) was received.
    """
    values = {"account": account, "source": source, "since": since, "at": at}
    rows = connection.execute(DAYS, values)
    return [
        day_seen(day, {row.days_late: row.micros for row in of_day})
        for (day, _), of_day in groupby(rows, key=lambda row: (row.day, row.brand_id))
    ]


def keep(connection: Connection, account: int, bound: Bound, at: datetime) -> None:
    """Stores how far spend of the account may exceed a limit, as measured at `at`."""
    micros = bound.bound_micros
    stored = bound._replace(bound_micros=None if micros is None else min(micros, MAX_MICROS))
    connection.execute(KEEP, {"account": account, "at": at, **stored._asdict()})


def bounds_of_accounts(connection: Connection, accounts: Sequence[int]) -> dict[int, Bound]:
    """How far spend of each of these platform accounts may exceed a limit, by account id.

    Accounts that were never measured are left out.
    """
    found = connection.execute(BOUNDS_OF_ACCOUNTS, {"accounts": list(accounts)}) if accounts else ()
    return {row[0]: Bound(*row[1:]) for row in found}


def bounds_of_brand(connection: Connection, brand_id: int) -> list[AccountBound]:
    """How far spend of each connected account of the brand may exceed a limit, in order of account ids.

    An account that was never measured is listed with the bound None. Leaves out accounts whose mode is `off`.
    """
    return [
        AccountBound(row.id, row.platform, row.account_id, row.currency, None if row[4] is None else Bound(*row[4:]))
        for row in connection.execute(BOUNDS, {"brand_id": brand_id})
    ]
