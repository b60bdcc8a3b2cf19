"""Recounts counters from the ledger, taking locks in the same order as counting does."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from db.repository.shared.arrays import array_of
from domain.periods import ONE_DAY, day_starts_at

# Creates missing counters; waits for a transaction that is creating the same ones.
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

# The ledger's sum for each campaign and day.
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

# The first days of the months in which a brand has counters.
MONTHS_COUNTED = text("""
    SELECT DISTINCT date_trunc('month', day)::date AS month FROM campaign_days
    WHERE brand_id = :brand_id AND (CAST(:after AS date) IS NULL OR day > :after)
    ORDER BY month
""")

# The brand's days whose counter is not the sum of its campaigns' counters, in the order in which counting locks them.
MISMATCHED_BRAND_DAYS = text("""
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
    """A wrong counter of a day and its right value, in micros. `campaign_id` None: the brand's own counter."""

    campaign_id: int | None
    day: date
    counter_micros: int
    right_micros: int


def zone_of(connection: Connection, brand_id: int) -> str | None:
    """The name of the brand's time zone; None if there is no such brand."""
    zone: str | None = connection.scalar(ZONE_OF, {"brand_id": brand_id})
    return zone


def currency_of(connection: Connection, brand_id: int) -> str | None:
    """The brand's currency; None if there is no such brand."""
    currency: str | None = connection.scalar(CURRENCY_OF, {"brand_id": brand_id})
    return currency


def campaign_days(
    connection: Connection, brand_id: int, zone: ZoneInfo, keys: Iterable[tuple[int, date]]
) -> list[Recounted]:
    """Locks the counters of (campaign id, day) pairs and returns those that differ from the ledger.

    Creates missing counters; leaves out pairs whose campaign is not the brand's. Reads the ledger in a statement after
    the locks, so that a concurrent transaction has either written ledger and counter, or waits and will add to the
    counter that the caller sets.
    """
    wanted = sorted(set(keys), key=lambda key: (key[1], key[0]))
    if not wanted:
        return []
    pairs = {
        "brand_id": brand_id,
        "campaign_ids": array_of(campaign_id for campaign_id, _ in wanted),
        "days": array_of(day for _, day in wanted),
    }
    connection.execute(MAKE_CAMPAIGN_DAYS, pairs)
    locked = connection.execute(LOCK_CAMPAIGN_DAYS, pairs).all()
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
    """Sets counters of campaign days to their right values. Call `campaign_days` first, which locks them."""
    if recounted:
        connection.execute(SET_CAMPAIGN_DAY, [_setting(brand_id, one) for one in recounted])


def months_counted(connection: Connection, brand_id: int, after: date | None) -> list[date]:
    """The first days of the months in which the brand's campaigns have counters of days after `after`, in order.

    `after` None: of any day.
    """
    return list(connection.scalars(MONTHS_COUNTED, {"brand_id": brand_id, "after": after}))


def has_mismatched_brand_days(connection: Connection, brand_id: int) -> bool:
    """Whether any of the brand's own counters differs from the sum of its campaigns' counters."""
    return connection.execute(MISMATCHED_BRAND_DAYS, {"brand_id": brand_id}).first() is not None


def brand_days(connection: Connection, brand_id: int) -> list[Recounted]:
    """Locks the brand's own counters that differ from the sums of its campaigns' counters.

    Returns those that differ once they are locked. Creates missing counters.
    """
    days = array_of(connection.scalars(MISMATCHED_BRAND_DAYS, {"brand_id": brand_id}).all())
    parameters = {"brand_id": brand_id, "days": days}
    connection.execute(MAKE_BRAND_DAYS, parameters)
    locked = connection.execute(LOCK_BRAND_DAYS, parameters).all()
    right = {day: int(micros) for day, micros in connection.execute(BRAND_SUMS, parameters)}
    return [Recounted(None, day, micros, right[day]) for day, micros in locked if micros != right[day]]


def set_brand_days(connection: Connection, brand_id: int, recounted: Sequence[Recounted]) -> None:
    """Sets counters of brand days to their right values. Call `brand_days` first, which locks them."""
    if recounted:
        connection.execute(SET_BRAND_DAY, [_setting(brand_id, one) for one in recounted])


def _setting(brand_id: int, one: Recounted) -> dict[str, object]:
    return {"brand_id": brand_id, "campaign_id": one.campaign_id, "day": one.day, "micros": one.right_micros}
