"""Counters and totals made anew from the ledger, under the locks that counting takes, in its order."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from db.repository.shared.arrays import array_of
from domain.periods import ONE_DAY, day_starts_at

# The counters of days that have none yet; what another transaction is making is waited for.
MAKE_CAMPAIGN_DAYS = text("""
    INSERT INTO campaign_days (brand_id, campaign_id, day)
    SELECT :brand_id, sent.campaign_id, sent.day
    FROM unnest(CAST(:campaign_ids AS bigint[]), CAST(:days AS date[])) AS sent(campaign_id, day)
    WHERE EXISTS (SELECT FROM campaigns WHERE id = sent.campaign_id AND brand_id = :brand_id)
    ORDER BY sent.day, sent.campaign_id
    ON CONFLICT (brand_id, campaign_id, day) DO NOTHING
""")

LOCK_CAMPAIGN_DAYS = text("""
    SELECT campaign_id, day, spent_micros FROM campaign_days
    WHERE brand_id = :brand_id AND (campaign_id, day) IN (
        SELECT * FROM unnest(CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]))
    )
    ORDER BY day, campaign_id FOR NO KEY UPDATE
""")

# What the ledger holds of campaigns between instants.
LEDGER_SUMS = text("""
    SELECT stretch.campaign_id, stretch.day, COALESCE(sum(amount_micros), 0)
    FROM unnest(
        CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]), CAST(:starts AS timestamptz[]),
        CAST(:ends AS timestamptz[])
    ) AS stretch(campaign_id, day, starts_at, ends_at)
    LEFT JOIN spend_events ON brand_id = :brand_id AND spend_events.campaign_id = stretch.campaign_id
        AND occurred_at >= stretch.starts_at AND occurred_at < stretch.ends_at
        AND occurred_at >= :earliest AND occurred_at < :latest
    GROUP BY 1, 2
""")

SET_CAMPAIGN_DAY = text("""
    UPDATE campaign_days SET spent_micros = :micros
    WHERE brand_id = :brand_id AND campaign_id = :campaign_id AND day = :day
""")

# The brand's days whose counter is not the sum of its campaigns', in the order in which counting locks them.
BRAND_DAYS_UNLIKE = text("""
    SELECT day FROM (
        SELECT day, sum(spent_micros) AS spent_micros FROM campaign_days WHERE brand_id = :brand_id GROUP BY day
    ) AS summed
    FULL JOIN (SELECT day, spent_micros FROM brand_days WHERE brand_id = :brand_id) AS counted USING (day)
    WHERE COALESCE(summed.spent_micros, 0) <> COALESCE(counted.spent_micros, 0)
    ORDER BY day
""")

MAKE_BRAND_DAYS = text("""
    INSERT INTO brand_days (brand_id, day)
    SELECT :brand_id, sent.day FROM unnest(CAST(:days AS date[])) AS sent(day) ORDER BY sent.day
    ON CONFLICT (brand_id, day) DO NOTHING
""")

LOCK_BRAND_DAYS = text("""
    SELECT day, spent_micros FROM brand_days WHERE brand_id = :brand_id AND day = ANY(CAST(:days AS date[]))
    ORDER BY day FOR NO KEY UPDATE
""")

BRAND_SUMS = text("""
    SELECT sent.day, COALESCE(sum(spent_micros), 0)
    FROM unnest(CAST(:days AS date[])) AS sent(day)
    LEFT JOIN campaign_days ON brand_id = :brand_id AND campaign_days.day = sent.day
    GROUP BY sent.day
""")

SET_BRAND_DAY = text("UPDATE brand_days SET spent_micros = :micros WHERE brand_id = :brand_id AND day = :day")

ZONE_OF = text("SELECT time_zone FROM brands WHERE id = :brand_id")


CURRENCY_OF = text("SELECT currency FROM brands WHERE id = :brand_id")


class Recounted(NamedTuple):
    """One counter: what it said, and what it should say. Of the brand's own day where there is no campaign."""

    campaign_id: int | None
    day: date
    counter_micros: int
    right_micros: int


def zone_of(connection: Connection, brand_id: int) -> str | None:
    """The name of the brand's time zone; None where there is no such brand."""
    found: str | None = connection.scalar(ZONE_OF, {"brand_id": brand_id})
    return found


def currency_of(connection: Connection, brand_id: int) -> str | None:
    """The brand's currency; None where there is no such brand."""
    found: str | None = connection.scalar(CURRENCY_OF, {"brand_id": brand_id})
    return found


def campaign_days(
    connection: Connection, brand_id: int, zone: ZoneInfo, keys: Iterable[tuple[int, date]]
) -> list[Recounted]:
    """Locks the counters of (campaign, day) pairs of the brand, then compares each with the ledger; what differs.

    The ledger is read in a statement that starts after the locks: whoever counts meanwhile has either added to both,
    or waits, and will add to the counter that the caller sets.
    """
    wanted = sorted(set(keys), key=lambda key: (key[1], key[0]))
    if not wanted:
        return []
    chosen = {
        "brand_id": brand_id,
        "campaign_ids": array_of(campaign_id for campaign_id, _ in wanted),
        "days": array_of(day for _, day in wanted),
    }
    connection.execute(MAKE_CAMPAIGN_DAYS, chosen)
    locked = connection.execute(LOCK_CAMPAIGN_DAYS, chosen).all()
    if not locked:
        return []
    starts = [day_starts_at(day, zone) for _, day, _ in locked]
    ends = [day_starts_at(day + ONE_DAY, zone) for _, day, _ in locked]
    parameters = {
        "brand_id": brand_id,
        "campaign_ids": [campaign_id for campaign_id, _, _ in locked],
        "days": [day for _, day, _ in locked],
        "starts": starts,
        "ends": ends,
        "earliest": min(starts),
        "latest": max(ends),
    }
    right = {
        (campaign_id, day): int(micros) for campaign_id, day, micros in connection.execute(LEDGER_SUMS, parameters)
    }
    return [
        Recounted(campaign_id, day, micros, right[campaign_id, day])
        for campaign_id, day, micros in locked
        if micros != right[campaign_id, day]
    ]


def set_campaign_days(connection: Connection, brand_id: int, recounted: Sequence[Recounted]) -> None:
    """Sets locked counters of campaigns' days to what they should say."""
    if recounted:
        connection.execute(SET_CAMPAIGN_DAY, [_setting(brand_id, one) for one in recounted])


def has_brand_days_unlike(connection: Connection, brand_id: int) -> bool:
    """Whether one of the brand's own counters is not the sum of its campaigns'."""
    return connection.execute(BRAND_DAYS_UNLIKE, {"brand_id": brand_id}).first() is not None


def brand_days(connection: Connection, brand_id: int) -> list[Recounted]:
    """Locks the brand's own counters that are not the sum of its campaigns', and compares again; what differs."""
    days = array_of(connection.scalars(BRAND_DAYS_UNLIKE, {"brand_id": brand_id}).all())
    chosen = {"brand_id": brand_id, "days": days}
    connection.execute(MAKE_BRAND_DAYS, chosen)
    locked = connection.execute(LOCK_BRAND_DAYS, chosen).all()
    right = {day: int(micros) for day, micros in connection.execute(BRAND_SUMS, chosen)}
    return [Recounted(None, day, micros, right[day]) for day, micros in locked if micros != right[day]]


def set_brand_days(connection: Connection, brand_id: int, recounted: Sequence[Recounted]) -> None:
    """Sets locked counters of the brand's days to what they should say."""
    if recounted:
        connection.execute(SET_BRAND_DAY, [_setting(brand_id, one) for one in recounted])


def _setting(brand_id: int, one: Recounted) -> dict[str, object]:
    return {"brand_id": brand_id, "campaign_id": one.campaign_id, "day": one.day, "micros": one.right_micros}
